/** The npm package in a real browser, against the real server. */

import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { createClient } from '../../packages/client/src/index.js';
import { mint, Node } from '../../packages/client/test/node.js';
import { launch } from '../src/browser.js';
import { type Bundle, enterWorkshop, furnish, toolkit } from '../src/workshop.js';

let server: Node;
let browser: Browser;
let files: Bundle;
const contexts: BrowserContext[] = [];
const complaints: string[] = [];

beforeAll(async () => {
  [server, browser, files] = await Promise.all([Node.start(), launch(), toolkit()]);
});
afterEach(async () => {
  await Promise.all(contexts.splice(0).map((context) => context.close()));
  expect(complaints.splice(0)).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  await server?.[Symbol.asyncDispose]();
});

/** Another browser, as far as pages can tell. */
async function context(): Promise<BrowserContext> {
  const made = await browser.newContext();
  contexts.push(made);
  await furnish(made, server.url, files);
  return made;
}

async function open(where: BrowserContext): Promise<Page> {
  const page = await where.newPage();
  page.on('pageerror', (error) => complaints.push(error.message));
  await enterWorkshop(page, server.url);
  return page;
}

test('ten thousand messages outlive a reload in IndexedDB, and one more is one more', async () => {
  const writer = createClient({ targets: server.url, token: mint(), WebSocket });
  const publish = (n: number) =>
    writer.publish('board:many', { text: 'x'.repeat(100) }, { key: `k${n}`, version: '1' });
  await Promise.all(Array.from({ length: 10_000 }, (_, n) => publish(n)));
  writer.close();
  const page = await open(await context());
  const filled = await page.evaluate(async (token) => {
    const { createClient, indexedDb } = window.toolkit;
    const client = createClient({ token, cache: indexedDb() });
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
  }, mint());
  expect(filled.kept).toBe(10_000);

  await page.reload();
  await page.waitForFunction(() => window.toolkit !== undefined);
  const found = await page.evaluate(async (token) => {
    const { createClient, indexedDb } = window.toolkit;
    const client = createClient({ token, cache: indexedDb() });
    const before = performance.now();
    const { messages, lastOffset } = await client.load('board:many');
    const loaded = performance.now() - before;
    const heard: string[] = [];
    client.on('messages', (_channel, some) => heard.push(...some.map((message) => String(message['@key']))));
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
  }, mint());
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
