/**
 * The example `examples/sketch`, served as its README line says, on two pages.
 *
 * Breakages tried on purpose, each of which makes tests fail: nothing is published; nothing is broadcast; nothing is loaded;
 * `clear` is ignored; what comes through the channel, or the room, is not checked, or one of the checks is missing; anybody may go on with
 * what another draws.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { createServer, type ViteDevServer } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient } from '../../packages/client/src/index.js';
import { mint, Node } from '../../packages/client/test/node.js';
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
async function open(board = 'drawing'): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 900, height: 600 } });
  const page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (said) => {
    // That our looking at pixels is slow is no fault of the page's.
    if (/error|warning/.test(said.type()) && !/getImageData/.test(said.text())) complaints.push(said.text());
  });
  const address = vite.httpServer?.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  await page.goto(`http://127.0.0.1:${port}/?server=${server.url}#${board}`);
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

/** What somebody may send who wrote a page of their own. */
const point = [10, 10, 0.5];
const NONSENSE: unknown[] = [
  ...[null, 0, 1, true, '', '1', 'text', [], [[]], {}],
  ...[{ id: 'a' }, { id: 'a', points: [point] }, { id: 7, colour: '#222', points: [point] }],
  ...[{ toString: 1 }, 7, null].map((colour) => ({ id: 'a', tool: 'pencil', colour, points: [point] })),
  ...[
    ...[
      undefined,
      null,
      7,
      'abc',
      {},
      { length: 1 },
      [],
      [null],
      [7],
      ['abc'],
      [[]],
      [[1, 2]],
      [[1, 2, 3, 4]],
    ],
    ...[[[1, 2, '3']], [[1, null, 3]], [[1, 2, { toString: 1 }]], [point, null], [[point]]],
  ].flatMap((points) => ['pencil', 'rectangle'].map((tool) => ({ id: 'a', tool, colour: '#222', points }))),
];

const RED = [224, 49, 49, 255];
const BLUE = [25, 113, 194, 255];
const BLACK = [34, 34, 34, 255];
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

test('what is no shape harms nobody', async () => {
  const client = createClient({ targets: server.url, token: mint(600, undefined, 'eve') });
  try {
    const room = await client.room('thrown');
    const drawn = new Promise<{ id: string }>((told) => {
      room.on('message', (_peer, data) => told(data as { id: string }));
    });
    const ann = await open('thrown');
    await people(ann, 2);
    const thrown: string[] = [];
    ann.on('pageerror', (error) => thrown.push(error.message));
    await ann.getByTitle('Rectangle').click();
    await ann.mouse.move(450, 150);
    await ann.mouse.down();
    await ann.mouse.move(700, 350, { steps: 5 });
    // Her own unfinished shape, as it was told to everybody, is not another's to go on with.
    room.broadcast({ ...(await drawn), points: [[800, 500, 0.5]] });
    for (const data of NONSENSE) room.broadcast(data);
    room.broadcast({
      id: 'b',
      tool: 'pencil',
      colour: '#e03131',
      points: [
        [100, 100, 1],
        [200, 100, 1],
      ],
    });
    await shows(ann, 150, 100, RED);
    await ann.mouse.up();
    for (const shape of NONSENSE) await client.publish('board:thrown', { shape });
    const points = [
      [100, 300, 1],
      [200, 300, 1],
    ];
    await client.publish('board:thrown', { shape: { id: 'c', tool: 'pencil', colour: '#e03131', points } });
    await shows(ann, 150, 300, RED);
    await shows(ann, 450, 250, BLACK);
    await shows(ann, 800, 350, NOTHING);
    expect(thrown).toEqual([]);
    // And whoever comes later.
    await Promise.all([ann.reload(), people(ann, 2)]);
    await shows(ann, 150, 300, RED);
    expect(thrown).toEqual([]);
  } finally {
    client.close();
  }
});

test('it is a page to read', () => {
  const lines = readFileSync(at('examples/sketch/index.html'), 'utf8').split('\n');
  expect(lines.length).toBeLessThan(150);
});
