/** The npm package in a real browser, against the real server. */

import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { type Client, createClient, type Room } from '../../packages/client/src/index.js';
import { mint, Node } from '../../packages/client/test/node.js';
import { launch } from '../src/browser.js';
import { enterWorkshop, startWorkshop, toolkit, type Workshop } from '../src/workshop.js';

let server: Node;
let browser: Browser;
let workshop: Workshop;
const contexts: BrowserContext[] = [];
const complaints: string[] = [];

beforeAll(async () => {
  [server, browser, workshop] = await Promise.all([Node.start(), launch(), toolkit().then(startWorkshop)]);
});
afterEach(async () => {
  await Promise.all(contexts.splice(0).map((context) => context.close()));
  expect(complaints.splice(0)).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  await workshop?.close();
  await server?.[Symbol.asyncDispose]();
});

/** Another browser, as far as pages can tell. */
async function context(): Promise<BrowserContext> {
  const made = await browser.newContext();
  contexts.push(made);
  return made;
}

async function open(where: BrowserContext): Promise<Page> {
  const page = await where.newPage();
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (said) => {
    if (said.type() === 'error') complaints.push(said.text());
  });
  await enterWorkshop(page, workshop.url);
  return page;
}

test('ten thousand messages outlive a reload in IndexedDB, and one more is one more', async () => {
  const writer = createClient({ targets: server.url, token: mint(), WebSocket });
  const publish = (n: number) =>
    writer.publish('board:many', { text: 'x'.repeat(100) }, { key: `k${n}`, version: '1' });
  await Promise.all(Array.from({ length: 10_000 }, (_, n) => publish(n)));
  writer.close();
  const page = await open(await context());
  const filled = await page.evaluate(
    async ([targets = '', token = '']) => {
      const { createClient, indexedDb } = window.toolkit;
      const client = createClient({ targets, token, cache: indexedDb() });
      let heard = 0;
      client.on('messages', (_channel, messages) => {
        heard += messages.length;
      });
      const before = performance.now();
      await client.subscribe('board:many', 'last');
      while (heard < 10_000) await new Promise((resolve) => client.on('messages', resolve));
      const told = performance.now();
      // A look writes first what is new.
      const { messages } = await client.load('board:many');
      const written = performance.now();
      client.close();
      return { kept: messages.length, told: told - before, written: written - told };
    },
    [server.url, mint()],
  );
  expect(filled.kept).toBe(10_000);

  await page.reload();
  await page.waitForFunction(() => window.toolkit !== undefined);
  const found = await page.evaluate(
    async ([targets = '', token = '']) => {
      const { createClient, indexedDb } = window.toolkit;
      const client = createClient({ targets, token, cache: indexedDb() });
      const before = performance.now();
      const { messages, lastOffset } = await client.load('board:many');
      const loaded = performance.now() - before;
      const heard: string[] = [];
      client.on('messages', (_channel, some) =>
        heard.push(...some.map((message) => String(message['@key']))),
      );
      const { gap, offset } = await client.subscribe('board:many', 'last');
      const next = new Promise((resolve) => client.on('messages', resolve));
      await client.publish('board:many', { text: 'y' }, { key: 'k7', version: '2' });
      await next;
      const again = performance.now();
      const kept = (await client.load('board:many')).messages;
      const updated = performance.now() - again;
      client.close();
      return {
        count: messages.length,
        level: offset === lastOffset && !gap,
        loaded,
        heard,
        updated,
        last: kept.at(-1),
      };
    },
    [server.url, mint()],
  );
  console.log(
    `10,000 messages: told in ${Math.round(filled.told)} ms, written ${Math.round(filled.written)} ms later, ` +
      `loaded in ${Math.round(found.loaded)} ms`,
  );
  expect(found).toMatchObject({
    count: 10_000,
    level: true,
    heard: ['k7'],
    last: { '@key': 'k7', text: 'y' },
  });
});

/** A page in a room, which keeps what it hears. */
async function enterRoom(page: Page, room: string, token: string): Promise<void> {
  await page.evaluate(
    async ([targets = '', id = '', token = '']) => {
      const client = window.toolkit.createClient({ targets, token });
      const room = await client.room(id);
      const heard: unknown[] = [];
      room.on('message', (peer, data) => heard.push([peer.id, data]));
      Object.assign(window, { guest: { client, room, heard } });
    },
    [server.url, room, token],
  );
}

interface Guest {
  client: Client;
  room: Room;
  heard: [string, unknown][];
}

const guest = <T>(page: Page, look: (guest: Guest) => T) =>
  page.evaluate(`(${look})(window.guest)`) as Promise<T>;
const eventually = (page: Page, look: (guest: Guest) => boolean) =>
  page.waitForFunction(`(${look})(window.guest)`, undefined, { timeout: 20_000 });

test('pages and a program in one room: over WebRTC, and through the channel', async () => {
  const id = (name: string) => mint(600, [{ match: '*', can: ['subscribe', 'publish'] }], name);
  const [ann, ben] = [await open(await context()), await open(await context())];
  const program = createClient({ targets: server.url, token: id('node'), WebSocket });
  const room = await program.room('toolkit');
  const heard: unknown[] = [];
  room.on('message', (peer, data) => heard.push([peer.id, data]));
  await enterRoom(ann, 'toolkit', id('ann'));
  await enterRoom(ben, 'toolkit', id('ben'));
  await eventually(ann, ({ room }) => room.peers.some(({ id, route }) => id === 'ben' && route === 'mesh'));
  await eventually(ben, ({ room }) => room.peers.length === 2);

  await guest(ann, ({ room }) => {
    for (let n = 0; n < 1_000; n += 1) room.broadcast(n);
  });
  room.broadcast({ from: 'Node' });
  await eventually(ben, ({ heard }) => heard.length === 1_001);
  await vi.waitFor(() => expect(heard).toHaveLength(1_000), { timeout: 20_000 });
  const told = await guest(ben, ({ heard }) => heard);
  const numbers = Array.from({ length: 1_000 }, (_, n) => ['ann', n]);
  expect(told.filter(([from]) => from === 'ann')).toEqual(numbers);
  expect(told.filter(([from]) => from === 'node')).toEqual([['node', { from: 'Node' }]]);
  expect(heard).toEqual(numbers);

  await ben.close();
  await vi.waitFor(() => expect(room.peers).toHaveLength(1), { timeout: 20_000 });
  expect(await guest(ann, ({ room }) => room.peers.find(({ id }) => id === 'node')?.route)).toBe('channel');
  program.close();
});

/** A page behind a proxy that knows no WebSocket, which follows a channel and keeps what it hears. */
async function openBlocked(where: BrowserContext, token: string): Promise<Page> {
  const page = await open(where);
  await page.evaluate(
    async ([targets = '', given = '']) => {
      class Blocked {
        onclose: ((event: { code: number; reason: string }) => void) | undefined;
        constructor() {
          setTimeout(() => this.onclose?.({ code: 1006, reason: 'blocked' }));
        }
        send(): void {}
        close(): void {}
      }
      const client = window.toolkit.createClient({ targets, token: given, WebSocket: Blocked as never });
      const heard: unknown[] = [];
      client.on('messages', (_channel, messages) => heard.push(...messages.map(({ n }) => n)));
      Object.assign(window, { guest: { client, heard } });
      void client.subscribe('board:tabs', '0');
    },
    [server.url, token],
  );
  return page;
}

test('eight tabs without a WebSocket, over HTTP/1.1: all live, and whoever has the stream may go', async () => {
  const where = await context();
  const writer = createClient({ targets: server.url, token: mint(), WebSocket });
  let said = 0;
  const say = async (count: number) => {
    for (let n = 0; n < count; n += 1, said += 1) await writer.publish('board:tabs', { n: String(said) });
  };
  await say(5);
  const tabs: Page[] = [];
  for (let n = 0; n < 8; n += 1) tabs.push(await openBlocked(where, mint()));
  const level = async () => {
    const wanted = Array.from({ length: said }, (_, n) => String(n));
    for (const tab of tabs) {
      await tab.waitForFunction(
        (count) => (window as unknown as { guest: Guest }).guest.heard.length >= count,
        said,
        { timeout: 20_000 },
      );
      expect(await guest(tab, ({ heard }) => heard)).toEqual(wanted);
    }
  };
  await level();
  await say(20);
  await level();
  // Each can still publish: connections are left.
  for (const tab of tabs) {
    await tab.evaluate(
      ([n = '']) => (window as unknown as { guest: Guest }).guest.client.publish('board:tabs', { n }),
      [String(said)],
    );
    said += 1;
  }
  await level();
  // One after the other goes, the one that has the stream among them, while messages come.
  while (tabs.length > 2) {
    const talking = say(20);
    await tabs.shift()?.close();
    await talking;
    await level();
  }
  writer.close();
});
