/**
 * The example `examples/sketch`, served as its README line says, on two pages.
 *
 * Breakages tried on purpose, each of which makes tests fail: nothing is published; nothing is broadcast; nothing is loaded;
 * `clear` is ignored.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { createServer, type ViteDevServer } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Node } from '../../packages/client/test/node.js';
import { launch } from '../src/browser.js';
import { picture } from '../src/house.js';

const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

let server: Node;
let browser: Browser;
let vite: ViteDevServer;
const complaints: string[] = [];

beforeAll(async () => {
  [server, browser, vite] = await Promise.all([
    Node.start(),
    launch(),
    createServer({
      root: at('examples/sketch'),
      configFile: false,
      logLevel: 'error',
      cacheDir: at('node_modules/.vite-sketch'),
      resolve: { alias: { inkwire: at('packages/client/src/index.ts') } },
      server: { port: 0, host: '127.0.0.1' },
    }),
  ]);
  await vite.listen();
});
afterAll(async () => {
  await browser?.close();
  await vite?.close();
  await server?.[Symbol.asyncDispose]();
});

/** A person of their own, at the board. */
async function open(): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 900, height: 600 } });
  const page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (said) => {
    // That our looking at pixels is slow is no fault of the page's.
    if (/error|warning/.test(said.type()) && !/getImageData/.test(said.text())) complaints.push(said.text());
  });
  const address = vite.httpServer?.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  await page.goto(`http://127.0.0.1:${port}/?server=${server.url}#drawing`);
  return page;
}

const people = (page: Page, count: number) =>
  page.waitForFunction(
    (wanted) => document.querySelector('output')?.value.startsWith(`${wanted} here`),
    count,
  );

/** Waits until a page has this colour at a place. */
const shows = (page: Page, x: number, y: number, colour: readonly number[]) =>
  page.waitForFunction(
    ([left, top, ...wanted]) => {
      const canvas = document.querySelector('canvas');
      const pixel = canvas?.getContext('2d')?.getImageData(left ?? 0, top ?? 0, 1, 1).data;
      return wanted.every((part, at) => pixel?.[at] === part);
    },
    [x, y, ...colour],
    { timeout: 20_000 },
  );

const RED = [224, 49, 49, 255];
const BLUE = [25, 113, 194, 255];
const NOTHING = [0, 0, 0, 0];

test('two people draw, one comes back, one clears', async () => {
  const [ann, ben] = [await open(), await open()];
  await Promise.all([people(ann, 2), people(ben, 2)]).finally(() => expect(complaints).toEqual([]));

  await ann.getByTitle('Red').click();
  await ann.mouse.move(100, 200);
  await ann.mouse.down();
  await ann.mouse.move(300, 400, { steps: 20 });
  // Before the pencil is lifted: it came through the room.
  await shows(ben, 200, 300, RED);
  await ann.mouse.up();

  await ben.getByTitle('Blue').click();
  await ben.getByTitle('Rectangle').click();
  await ben.mouse.move(450, 150);
  await ben.mouse.down();
  await ben.mouse.move(700, 350, { steps: 5 });
  await ben.mouse.up();
  await shows(ann, 450, 250, BLUE);
  await picture(ann, 'sketch');

  await ben.reload();
  await Promise.all([shows(ben, 200, 300, RED), shows(ben, 450, 250, BLUE)]);
  await Promise.all([people(ann, 2), people(ben, 2)]);
  await ben.keyboard.press('Backspace');
  await Promise.all([shows(ann, 200, 300, NOTHING), shows(ben, 450, 250, NOTHING)]);
  await ann.reload();
  await people(ann, 2);
  await shows(ann, 200, 300, NOTHING);
  expect(complaints).toEqual([]);
});

test('it is a page to read', () => {
  const lines = readFileSync(at('examples/sketch/index.html'), 'utf8').split('\n');
  expect(lines.length).toBeLessThan(150);
});
