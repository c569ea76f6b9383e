/** Read-only links: whoever has one sees the board live, and can change nothing, by hand neither. */
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { boardOf, draw, linked, PATIENCE, sameBoard, saved } from '../src/board.js';
import { drop } from '../src/drawing.js';
import { forgive, house, picture } from '../src/house.js';
import { png } from '../src/pixels.js';

const home = house();

/** Waits until a view shows so many elements. */
const holds = (page: Page, count: number) =>
  page.waitForFunction(
    (wanted) => window.inkwire?.board().filter(({ isDeleted }) => !isDeleted).length === wanted,
    count,
    { timeout: PATIENCE },
  );

test('a read-only page follows the board, and can change nothing', async () => {
  const url = home.room();
  const room = new URL(url).pathname.slice(1);
  const ann = await home.enter(url, { name: 'Ann', permissions: ['clipboard-read', 'clipboard-write'] });
  await linked(ann.page, 0);
  await draw(ann.page, [
    [400, 300],
    [500, 350],
  ]);
  await drop(ann, 'rows.png', 'image/png', png(60, 64));
  await holds(ann.page, 2);
  await saved(ann.page);
  await ann.page.getByTestId('main-menu-trigger').click();
  await ann.page.getByText('Copy read-only link').click();
  await ann.page.getByText('The link is copied.').waitFor({ timeout: PATIENCE });
  const link = await ann.page.evaluate(() => navigator.clipboard.readText());
  expect(link).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v\.[A-Za-z0-9_-]{39,}$/);
  const heard: string[] = [];
  const eve = await home.enter(link);
  eve.page.on('websocket', (socket) =>
    socket.on('framereceived', ({ payload }) => heard.push(String(payload))),
  );
  await eve.page.reload();
  await holds(eve.page, 2);
  await eve.page.locator('.standing', { hasText: 'Live' }).waitFor({ timeout: PATIENCE });
  await sameBoard(eve.page, ann.page);
  await picture(eve.page, 'view');
  // Live.
  await draw(ann.page, [
    [700, 300],
    [800, 350],
  ]);
  await holds(eve.page, 3);
  // With the hand: nothing happens.
  await eve.page.keyboard.press('p');
  await draw(eve.page, [
    [300, 500],
    [400, 550],
  ]);
  await eve.page.keyboard.press('Control+a');
  await eve.page.keyboard.press('Delete');
  expect(await eve.page.locator('.greeting, .people-button').count()).toBe(0);
  await saved(ann.page);
  expect(await boardOf(eve.page)).toHaveLength(3);
  expect(eve.frames.filter((frame) => /"op":"(publish|join|claim)"/.test(frame))).toEqual([]);
  // By hand: a token like hers, and everything that writes.
  const view = new URL(link).pathname.slice(1);
  const answers = await eve.page.evaluate(async (viewId) => {
    const access = await fetch('/access', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: 'eve', view: viewId }),
    });
    const { token } = (await access.json()) as { token: string };
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const name = encodeURIComponent(`view:${viewId}`);
    const ask = async (path: string, init: RequestInit) => (await fetch(path, { ...init, headers })).status;
    const body = '{"element":"{}"}';
    const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/ws`);
    const said: string[] = [];
    socket.onmessage = ({ data }) => said.push(String(data));
    await new Promise((opened) => {
      socket.onopen = opened;
    });
    socket.send(JSON.stringify({ id: 1, op: 'auth', token }));
    const publish = {
      id: 2,
      op: 'publish',
      channel: `view:${viewId}`,
      fields: { element: '{}' },
      key: 'k',
      version: 'z',
    };
    socket.send(JSON.stringify(publish));
    socket.send(JSON.stringify({ ...publish, id: 3, tombstone: true }));
    while (!said.some((text) => text.includes('"id":3')))
      await new Promise((heardMore) => socket.addEventListener('message', heardMore, { once: true }));
    socket.close();
    return {
      http: [
        await ask(`/channels/${name}`, { method: 'POST', body }),
        await ask(`/channels/${name}?key=k&version=z&tombstone=true`, { method: 'POST', body }),
        await ask(`/${viewId}/join`, { method: 'POST' }),
        await ask(`/rooms/${viewId}/view`, { method: 'POST' }),
        await ask(`/rooms/${viewId}/files/${'0'.repeat(64)}`, { method: 'PUT', body }),
      ],
      ws: said
        .filter((text) => /"id":[23]/.test(text))
        .map((text) => (JSON.parse(text) as { ok: boolean }).ok),
    };
  }, view);
  for (const status of answers.http) expect(status).toBeGreaterThanOrEqual(400);
  expect(answers.ws).toEqual([false, false]);
  expect(await boardOf(ann.page)).toHaveLength(3);
  // Nothing she was told names the room.
  expect(heard.length).toBeGreaterThan(0);
  expect(heard.filter((text) => text.includes(room))).toEqual([]);
  expect(eve.requests.filter((text) => text.includes(room))).toEqual([]);
  forgive(eve, /status of 4\d\d/);
});

test('a link that leads nowhere says so in plain sight, and asks no more', async () => {
  const eve = await home.enter(`${home.url}/v.${'a'.repeat(40)}`);
  const notice = eve.page.getByRole('alert');
  await notice.getByText('This link is no longer valid').waitFor({ timeout: PATIENCE });
  await eve.page.locator('.standing', { hasText: 'Link not valid' }).waitFor({ timeout: PATIENCE });
  expect(await eve.page.getByRole('button', { name: 'Connect again' }).count()).toBe(0);
  const asked = () => eve.requests.filter((url) => /\/(access|ws|connect)$/.test(url));
  expect(asked()).toHaveLength(1);
  // What wakes others does not wake her, in all the time that somebody else takes to go live.
  await eve.page.evaluate(() => window.dispatchEvent(new Event('online')));
  const ann = await home.enter(home.room(), { name: 'Ann' });
  await linked(ann.page, 0);
  expect(asked()).toHaveLength(1);
  forgive(eve, /status of 404/);
});
