/** Links that break between the browsers themselves, while the server is well. */
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { comingsOf, draw, linked, PATIENCE, peersOf, sameBoard } from '../src/board.js';
import type { Visitor } from '../src/browser.js';
import { house } from '../src/house.js';

const home = house();

declare global {
  interface Window {
    connections?: RTCPeerConnection[];
  }
}

/** Lets the test at the connections a page makes from now on. */
async function enterWatched(room: string, name: string): Promise<Visitor> {
  const visitor = await home.enter(home.url, { name });
  await visitor.page.addInitScript(() => {
    const made: RTCPeerConnection[] = [];
    window.connections = made;
    window.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(configuration?: RTCConfiguration) {
        super(configuration);
        made.push(this);
      }
    };
  });
  await visitor.page.goto(room);
  return visitor;
}

const round = (page: Page) =>
  page.evaluate(
    () => /a=ice-ufrag:(\S+)/.exec(window.connections?.at(-1)?.localDescription?.sdp ?? '')?.[1] ?? '',
  );

async function expectShared(from: Page, to: Page): Promise<void> {
  const before = (await peersOf(to))[0]?.counters.updates.messagesReceived ?? 0;
  await draw(from, [
    [400, 300],
    [500, 350],
  ]);
  await sameBoard(to, from);
  expect((await peersOf(to))[0]?.counters.updates.messagesReceived).toBeGreaterThan(before);
}

test('a connection that dies is dialled anew, and nobody has left for it', async () => {
  const room = home.room();
  const ann = await enterWatched(room, 'Ann');
  await linked(ann.page, 0);
  const bob = await enterWatched(room, 'Bob');
  for (const { page } of [ann, bob]) await linked(page, 1);
  const before = await comingsOf(bob.page);
  // As if her browser had lost it: hers is gone without a word to our code.
  await ann.page.evaluate(() => window.connections?.at(-1)?.close());
  await bob.page.waitForFunction(() => window.inkwire?.peers()[0]?.state.kind !== 'connected', undefined, {
    timeout: PATIENCE,
  });
  for (const { page } of [ann, bob]) await linked(page, 1);
  expect(await ann.page.evaluate(() => window.connections?.length)).toBe(2);
  await expectShared(ann.page, bob.page);
  await expectShared(bob.page, ann.page);
  expect(await comingsOf(bob.page)).toEqual(before);
});

test('a way that is lost is looked for again, over the same connection', async () => {
  const room = home.room();
  const ann = await enterWatched(room, 'Ann');
  await linked(ann.page, 0);
  const bob = await enterWatched(room, 'Bob');
  for (const { page } of [ann, bob]) await linked(page, 1);
  const [first, other] = [await round(ann.page), await round(bob.page)];
  // Loopback cannot be unplugged: the pages are told what a browser tells them when a network changes.
  for (const { page } of [ann, bob]) {
    await page.evaluate(() => {
      const connection = window.connections?.at(-1);
      if (!connection) return;
      Object.defineProperty(connection, 'connectionState', { value: 'disconnected', configurable: true });
      connection.dispatchEvent(new Event('connectionstatechange'));
      Reflect.deleteProperty(connection, 'connectionState');
    });
  }
  expect((await peersOf(ann.page))[0]?.state.kind).toBe('reconnecting');
  await expect.poll(() => round(ann.page), { timeout: PATIENCE }).not.toBe(first);
  await expect.poll(() => round(bob.page), { timeout: PATIENCE }).not.toBe(other);
  for (const { page } of [ann, bob]) {
    await page.waitForFunction(() => window.connections?.at(-1)?.signalingState === 'stable', undefined, {
      timeout: PATIENCE,
    });
    await linked(page, 1);
  }
  await expectShared(ann.page, bob.page);
  await expectShared(bob.page, ann.page);
  for (const { page } of [ann, bob]) {
    expect(await page.evaluate(() => window.connections?.length)).toBe(1);
  }
});
