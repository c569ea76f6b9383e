import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  boardOf,
  draw,
  drawLine,
  idsOf,
  keeps,
  linked,
  PATIENCE,
  sameBoard,
  saved,
  shows,
  take,
} from '../src/board.js';
import type { Visitor } from '../src/browser.js';
import { forgive, house, picture } from '../src/house.js';
import { type Line, startLine } from '../src/proxy.js';

const home = house();
let lines: Line[] = [];

beforeEach(() => {
  lines = [];
});
afterEach(async () => {
  await Promise.all(lines.map((line) => line.close()));
});

const path = (room: string) => new URL(room).pathname;

async function line(): Promise<Line> {
  const made = await startLine(home.url);
  lines.push(made);
  return made;
}

/** Complaints that a network which is not there is bound to cause. */
const ofTheNetwork = /ERR_|WebSocket connection/;

test('a late joiner sees the board when everybody else has gone', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  await linked(ann.page, 0);
  for (const [x, y] of [
    [400, 250],
    [600, 250],
    [400, 450],
  ] as const)
    await drawLine(ann.page, x, y);
  await ann.page.keyboard.press('Control+z');
  await saved(ann.page);
  const drawn = await boardOf(ann.page);
  expect(drawn).toHaveLength(2);
  await home.leave(ann);
  const bob = await home.enter(room, { name: 'Bob' });
  await shows(
    bob.page,
    drawn.map(({ id }) => id),
  );
  expect((await boardOf(bob.page)).map(({ points }) => points)).toEqual(drawn.map(({ points }) => points));
  await picture(bob.page, 'remembered');
});

/** Everything a page learns the board from; the page itself is still served. */
const API = /\/(access|connect|channels|rooms|relay)/;
const goOffline = (visitor: Visitor) => visitor.context.route(API, (route) => route.abort());
const comeBack = (visitor: Visitor) => visitor.context.unroute(API);

test('a reload shows the board from this browser, with the network gone', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  await linked(ann.page, 0);
  await drawLine(ann.page, 400, 250);
  await drawLine(ann.page, 600, 350);
  await saved(ann.page);
  await keeps(ann.page, 0);
  const drawn = await idsOf(ann.page);
  await goOffline(ann);
  await ann.page.reload();
  await shows(ann.page, drawn);
  await ann.page.locator('.standing', { hasText: 'Connecting' }).waitFor({ timeout: PATIENCE });
  await picture(ann.page, 'from-the-copy');
  await comeBack(ann);
  await linked(ann.page, 0);
  await saved(ann.page);
  expect(await idsOf(ann.page)).toEqual(drawn);
  forgive(ann, ofTheNetwork);
});

test('two pages draw offline, one of them is reloaded, and both come back to the same board', async () => {
  const room = home.room();
  const near = await line();
  // They have the server only: what is drawn without it is known to one page alone.
  const ann = await home.enter(`${near.url}${path(room)}`, { name: 'Ann', withoutWebRtc: true });
  const bob = await home.enter(room, { name: 'Bob', withoutWebRtc: true });
  for (const { page } of [ann, bob]) await saved(page);
  await drawLine(ann.page, 400, 250);
  await drawLine(ann.page, 400, 450);
  await saved(ann.page);
  await sameBoard(bob.page, ann.page);
  const byHeight = (await boardOf(ann.page)).sort((a, b) => a.y - b.y);
  const [first = '', second = ''] = byHeight.map(({ id }) => id);
  near.block();
  await keeps(bob.page, 0);
  await goOffline(bob);
  await bob.page.reload();
  await shows(bob.page, [first, second]);
  await ann.page.locator('.standing', { hasText: /Reconnecting|Offline/ }).waitFor({ timeout: PATIENCE });
  // Ann deletes what Bob goes on to move; each draws something of their own.
  await take(ann.page, 'e');
  await draw(ann.page, [
    [380, 250],
    [500, 280],
  ]);
  await take(ann.page, 'p');
  await drawLine(ann.page, 600, 250);
  await drawLine(bob.page, 600, 450);
  await keeps(bob.page, 1);
  await bob.page.reload();
  await bob.page.waitForFunction(() => window.inkwire?.board().length === 3, undefined, {
    timeout: PATIENCE,
  });
  await keeps(bob.page, 1);
  await ann.page
    .locator('.standing', { hasText: /(Reconnecting…|Offline) · 2 unsent/ })
    .waitFor({ timeout: PATIENCE });
  await picture(ann.page, 'offline');
  near.mend();
  await comeBack(bob);
  for (const { page } of [ann, bob]) {
    await page.evaluate(() => window.dispatchEvent(new Event('online')));
    await page.waitForFunction(() => window.inkwire?.board().length === 4, undefined, { timeout: PATIENCE });
    await saved(page);
  }
  await sameBoard(ann.page, bob.page);
  const both = await idsOf(bob.page);
  expect(both).toHaveLength(3);
  expect(both).toContain(second);
  expect(both).not.toContain(first);
  // And so does the server, which alone is asked by somebody new.
  for (const visitor of [ann, bob]) {
    forgive(visitor, ofTheNetwork);
    await home.leave(visitor);
  }
  const cay = await home.enter(room, { name: 'Cay' });
  await shows(cay.page, both);
});

test('the server is killed in the middle of a stroke and started again: nothing is lost', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann', withoutWebRtc: true });
  const bob = await home.enter(room, { name: 'Bob', withoutWebRtc: true });
  for (const { page } of [ann, bob]) await saved(page);
  await drawLine(ann.page, 400, 250);
  await saved(ann.page);
  await draw(
    ann.page,
    [
      [400, 400],
      [500, 350],
      [600, 450],
    ],
    () => home.server.kill(),
  );
  await drawLine(bob.page, 700, 250);
  await drawLine(ann.page, 700, 450);
  for (const { page } of [ann, bob])
    await page.locator('.standing', { hasText: /unsent/ }).waitFor({ timeout: PATIENCE });
  await home.server.restart();
  for (const { page } of [ann, bob]) {
    await page.waitForFunction(() => window.inkwire?.board().length === 4, undefined, { timeout: PATIENCE });
    await saved(page);
  }
  await sameBoard(bob.page, ann.page);
  const drawn = await boardOf(ann.page);
  for (const visitor of [ann, bob]) {
    forgive(visitor, ofTheNetwork);
    await home.leave(visitor);
  }
  // Killed once more with everybody gone: what comes now comes from the disk.
  await home.server.kill();
  await home.server.restart();
  const cay = await home.enter(room, { name: 'Cay' });
  await shows(
    cay.page,
    drawn.map(({ id }) => id),
  );
  const kept = await boardOf(cay.page);
  expect(kept.map(({ id, version, points }) => ({ id, version, points }))).toEqual(
    expect.arrayContaining(drawn.map(({ id, version, points }) => ({ id, version, points }))),
  );
});
