/** What the worker makes its business, and what not. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { fontsOf, freshRoom, ROOM_BYTES, ROUTES, treatmentOf } from '../worker/rules.js';

const HERE = 'https://board.example';
const treated = (path: string, mode = 'navigate', method = 'GET') =>
  treatmentOf({ url: new URL(path, HERE).href, method, mode }, HERE);

test('pages, their parts and their fonts are the worker’s; nothing else is', () => {
  expect(treated('/')).toBe('start');
  for (const board of ['/lobby', '/a?b=c', '/A_-9#there', `/v.${'a'.repeat(39)}`])
    expect(treated(board)).toBe('board');
  expect(treated('/static/assets/index-1.js', 'cors')).toBe('part');
  expect(treated('/static/fonts/Virgil/Virgil-Regular.woff2', 'cors')).toBe('font');
  const others = [
    '/lobby/join',
    '/v.short',
    `/${'a'.repeat(65)}`,
    '/a%20b',
    '/favicon.ico',
    '/static/index.html',
  ];
  for (const path of [...ROUTES.map((route) => `/${route}`), ...others])
    expect(treated(path), path).toBe('pass');
  for (const path of [
    '/',
    '/lobby',
    '/access',
    '/channels/board:lobby',
    '/static/worker.js',
    '/rooms/lobby/files/1',
  ])
    expect(treated(path, 'cors'), path).toBe('pass');
  expect(treated('/lobby', 'navigate', 'POST')).toBe('pass');
  expect(treated('https://elsewhere.example/static/assets/index-1.js', 'cors')).toBe('pass');
});

test('the routes are those of the server', () => {
  const source = readFileSync(new URL('../../../crates/protocol/src/id.rs', import.meta.url), 'utf8');
  const list = /const ROUTES: &\[&str\] = &\[([^\]]+)\]/.exec(source)?.[1] ?? '';
  expect([...list.matchAll(/"([^"]+)"/g)].map(([, route]) => route)).toEqual(ROUTES);
});

test('a fresh room is one the server would have made', () => {
  for (const byte of [0, 62, 251, 255]) {
    const room = freshRoom(new Uint8Array(ROOM_BYTES).fill(byte));
    expect(room).toHaveLength(16);
    expect(treated(`/${room}`)).toBe('board');
  }
});

test('of what a page says only fonts are kept', () => {
  const font = `${HERE}/static/fonts/a.woff2`;
  expect(
    fontsOf([font, `${HERE}/access`, 'nonsense', 7, `https://elsewhere.example/static/fonts/a.woff2`], HERE),
  ).toEqual([font]);
  for (const said of [undefined, null, 'text', {}]) expect(fontsOf(said, HERE)).toEqual([]);
});
