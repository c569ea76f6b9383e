/**
 * The board without the network: opened, drawn on and filled with photos while there is no server at all.
 * Seen to fail: a worker without a shell, that takes a 503 for the page, answers for /nowhere, leaves out one part or the fonts,
 * stores a 404 as a part, does not look at the shell, deletes editions at once or never, waits for the last tab, never leaves.
 */
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  canvasReady,
  drawLine,
  idsOf,
  keeps,
  linked,
  PATIENCE,
  saved,
  shows,
  showsRows,
} from '../src/board.js';
import { launch, type Visitor, visit } from '../src/browser.js';
import { drop } from '../src/drawing.js';
import { anotherEdition, type Edition, type Front, startFront } from '../src/front.js';
import { forgive, house, picture } from '../src/house.js';
import { photo } from '../src/pixels.js';
import { type Line, startLine } from '../src/proxy.js';

const home = house();
let undo: (() => unknown)[] = [];

beforeEach(() => {
  undo = [];
});
afterEach(async () => {
  for (const act of undo.reverse()) await act();
});

/** Complaints that a server which is not there is bound to cause. */
const ofTheNetwork = /ERR_|WebSocket connection|status of 50\d/;

const path = (room: string) => new URL(room).pathname;

/** Waits until the page can be opened without the network. */
const isReady = (page: Page) =>
  page.waitForFunction(() => navigator.serviceWorker.controller?.state === 'activated', undefined, {
    timeout: PATIENCE,
  });

/** Waits until there is one worker, and none on its way. */
async function isSettled(page: Page): Promise<void> {
  const states = () =>
    page.evaluate(async () => {
      const { active, installing, waiting } = (await navigator.serviceWorker.getRegistration()) ?? {};
      return [active, installing, waiting].flatMap((worker) => (worker ? [worker.state] : []));
    });
  await expect.poll(states, { timeout: PATIENCE }).toEqual(['activated']);
}

/** The editions that the browser keeps. */
const editions = (page: Page) =>
  page.evaluate(async () => (await caches.keys()).filter((name) => name.startsWith('inkwire edition')));

/** How many of them are whole. */
const shells = (page: Page) =>
  page.evaluate(async () => {
    const kept = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
    const found = await Promise.all(kept.map((cache) => cache.match('/static/index.html')));
    return found.filter((shell) => shell !== undefined).length;
  });

async function front(edition: Edition): Promise<Front> {
  const made = await startFront(home.url, edition);
  undo.push(() => made.close());
  return made;
}

async function edition(suffix: string): Promise<Edition> {
  const made = await anotherEdition(suffix);
  undo.push(made.remove);
  return made;
}

/** The script that a page has begun with. */
const entryOf = (page: Page) =>
  page.evaluate(() =>
    document.querySelector('script[type=module]')?.getAttribute('src')?.replace('/static/', ''),
  );

test('with no server, boards open from this browser, and what is drawn goes out when there is one', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  await linked(ann.page, 0);
  await drawLine(ann.page, 400, 250);
  await saved(ann.page);
  await keeps(ann.page, 0);
  const before = await idsOf(ann.page);
  await isReady(ann.page);
  await home.server.kill();
  await ann.page.reload();
  await canvasReady(ann.page);
  await shows(ann.page, before);
  await drawLine(ann.page, 600, 250);
  await keeps(ann.page, 1);
  await picture(ann.page, 'no-server');
  // Once more, to see that what was drawn offline is there; then somewhere new, by the front door.
  await ann.page.reload();
  await keeps(ann.page, 1);
  const drawn = await idsOf(ann.page);
  expect(drawn).toHaveLength(2);
  const tab = await ann.context.newPage();
  await tab.goto(home.url);
  await canvasReady(tab);
  const fresh = tab.url();
  expect(path(fresh)).toMatch(/^\/[A-Za-z0-9_-]{16}$/);
  // The word of welcome, in the font of its own that the first page has used.
  await tab.waitForFunction(
    () => [...document.fonts].some(({ family, status }) => family === 'Handwriting' && status === 'loaded'),
    undefined,
    { timeout: PATIENCE },
  );
  await drawLine(tab, 500, 400);
  await keeps(tab, 1);
  const inFresh = await idsOf(tab);
  // What is the server's own is nobody else's to answer.
  for (const route of ['/metrics', '/healthz', '/nowhere/at/all']) {
    const other = await ann.context.newPage();
    await expect(other.goto(home.url + route)).rejects.toThrow(/ERR_CONNECTION_REFUSED/);
    await other.close();
  }
  await tab.reload();
  await shows(tab, inFresh);
  await home.server.restart();
  for (const page of [ann.page, tab]) await saved(page);
  forgive(ann, ofTheNetwork);
  const bob = await home.enter(room, { name: 'Bob' });
  await shows(bob.page, drawn);
  const cay = await home.enter(fresh, { name: 'Cay' });
  await shows(cay.page, inFresh);
});

/** A photo dropped while there is no server, and what somebody else gets of it later. */
async function dropsPhoto(ann: Visitor, room: string, part: () => Promise<void>, meet: () => Promise<void>) {
  await part();
  await drop(ann, 'photo.png', 'image/png', photo());
  await showsRows(ann.page);
  // The element and its image.
  await keeps(ann.page, 2);
  await meet();
  await saved(ann.page);
  forgive(ann, ofTheNetwork);
  const bob = await home.enter(room, { name: 'Bob' });
  await showsRows(bob.page);
}

test('a large photo is put on the board offline, and arrives later', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  await linked(ann.page, 0);
  await isReady(ann.page);
  await dropsPhoto(
    ann,
    room,
    () => home.server.kill(),
    () => home.server.restart(),
  );
});

test('a large photo is put on the board offline where there are no service workers', async () => {
  const browser = await launch(['--host-resolver-rules=MAP board.test 127.0.0.1']);
  undo.push(() => browser.close());
  const line: Line = await startLine(home.url);
  undo.push(() => line.close());
  const room = home.room();
  const url = `http://board.test:${new URL(line.url).port}${path(room)}`;
  const ann = await visit(browser, url, { name: 'Ann' });
  await canvasReady(ann.page);
  await linked(ann.page, 0);
  expect(await ann.page.evaluate(() => 'serviceWorker' in navigator)).toBe(false);
  const parts = (await (await fetch(`${home.url}/static/parts.json`)).json()) as string[];
  await ann.page.waitForFunction(
    (wanted) => {
      const fetched = performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname);
      return wanted.every((part) => fetched.includes(part));
    },
    parts.filter((part) => part.endsWith('.js')),
    { timeout: PATIENCE },
  );
  await dropsPhoto(
    ann,
    room,
    async () => line.block(),
    async () => line.mend(),
  );
  // The editor misses a door that browsers close on plain HTTP, and says so; it does without.
  forgive(ann, /reading 'digest'/);
  expect(ann.complaints).toEqual([]);
});

/** Ann, behind a gate that serves one edition; hers can be opened without the network. */
async function behind(first: Parameters<typeof front>[0]) {
  const gate = await front(first);
  const url = gate.url + path(home.room());
  const ann = await home.enter(url, { name: 'Ann' });
  await linked(ann.page, 0);
  await isReady(ann.page);
  return { gate, url, ann };
}

test('a new edition takes over, and a tab of the old one goes on working', async () => {
  const [first, second] = [await edition('a'), await edition('b')];
  const { gate, url, ann } = await behind(first);
  const old = await ann.context.newPage();
  await old.goto(url);
  await saved(old);
  const [before] = await editions(old);
  gate.serve(second);
  await ann.page.reload();
  await canvasReady(ann.page);
  expect(await entryOf(ann.page)).toBe(second.entry);
  await expect.poll(() => editions(ann.page), { timeout: PATIENCE }).toHaveLength(2);
  await isSettled(ann.page);
  // The old one has not loaded this part yet, and no server has it any more.
  expect(await entryOf(old)).toBe(first.entry);
  await drop({ ...ann, page: old }, 'photo.png', 'image/png', photo());
  await showsRows(old);
  await saved(old);
  expect(await editions(old)).toContain(before);
  await old.close();
  // With nobody left, the first is let go.
  await ann.page.reload();
  await expect.poll(() => editions(ann.page), { timeout: PATIENCE }).not.toContain(before);
  expect(await editions(ann.page)).toHaveLength(1);
  await gate.close();
  await ann.page.reload();
  await canvasReady(ann.page);
  expect(await entryOf(ann.page)).toBe(second.entry);
  // She may have asked for the photo before it was there.
  forgive(ann, /ERR_|WebSocket connection|status of 404/);
});

test('half an edition is never shown, nor an error in its place', async () => {
  const [first, second] = [await edition('a'), await edition('b')];
  const { gate, ann } = await behind(first);
  // A node that has the new shell, and not all that belongs to it.
  let refused = 0;
  gate.serve(second, (file) => {
    if (!/assets\/pica-/.test(file)) return undefined;
    refused += 1;
    return 404;
  });
  await ann.page.reload();
  await linked(ann.page, 0);
  // Only the new worker asks for it; and then gives up.
  await expect.poll(() => refused, { timeout: PATIENCE }).toBeGreaterThan(0);
  await isSettled(ann.page);
  expect(await shells(ann.page)).toBe(1);
  // And one that has all the rest of it, but not the shell.
  const mixed = await edition('b');
  copyFileSync(join(first.folder, 'index.html'), join(mixed.folder, 'index.html'));
  let asked = 0;
  gate.serve(mixed, (file) => {
    if (file === 'index.html') asked += 1;
    return undefined;
  });
  await ann.page.reload();
  await expect.poll(() => asked, { timeout: PATIENCE }).toBeGreaterThan(1);
  await isSettled(ann.page);
  expect(await shells(ann.page)).toBe(1);
  for (const status of [502, 503]) {
    gate.serve(second, () => status);
    await ann.page.reload();
    await canvasReady(ann.page);
    expect(await entryOf(ann.page)).toBe(first.entry);
  }
  await gate.close();
  await ann.page.reload();
  await canvasReady(ann.page);
  expect(await entryOf(ann.page)).toBe(first.entry);
  forgive(ann, ofTheNetwork);
});

test('a server that has no worker any more is rid of it', async () => {
  const gate = await front(await edition('a'));
  const url = gate.url + path(home.room());
  const ann = await home.enter(url, { name: 'Ann' });
  await linked(ann.page, 0);
  await isReady(ann.page);
  // Another program altogether, where the board was. Its first page is asked for while the board's is still open.
  const other = await edition('b');
  writeFileSync(join(other.folder, 'index.html'), '<!doctype html><title>Another</title>');
  gate.serve(other, (file) => (file === 'worker.js' ? 404 : undefined));
  for (let visits = 0; visits < 2; visits += 1) {
    await ann.page.goto(url);
    expect(await ann.page.title()).toBe('Another');
  }
  const left = () =>
    ann.page.evaluate(async () => {
      const registrations = await navigator.serviceWorker.getRegistrations();
      return [...(await caches.keys()), ...registrations.map(({ scope }) => scope)];
    });
  await expect.poll(left, { timeout: PATIENCE }).toEqual([]);
  forgive(ann, /favicon/);
});
