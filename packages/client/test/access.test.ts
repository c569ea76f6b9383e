/** Guests, and what becomes of them when the server no longer knows them. */
import { afterEach, expect, test, vi } from 'vitest';
import { guestToken } from '../src/access.js';

afterEach(() => {
  vi.unstubAllGlobals();
});

const exp = Math.floor(Date.now() / 1000) + 3600;
const tokenOf = (id: string) => `h.${Buffer.from(JSON.stringify({ id, exp })).toString('base64url')}.s`;

/** Answers `POST /access` as the server does: a token that it does not know is refused, and not passed over. */
function serve() {
  const server = { secret: 'first', isOpen: true, asked: 0 };
  const known = new Map<string, string>();
  vi.stubGlobal('fetch', async (_url: string, init: RequestInit) => {
    server.asked += 1;
    const shown = new Headers(init.headers).get('authorization')?.replace('Bearer ', '');
    if (!server.isOpen || (shown && known.get(shown) !== server.secret))
      return Response.json({ code: 'forbidden' }, { status: 403 });
    const token = shown ?? tokenOf(`guest-${known.size + 1}`);
    known.set(token, server.secret);
    return Response.json({ token });
  });
  return server;
}

test('guests stay who they are, and are new to a server with another secret', async () => {
  const server = serve();
  const token = guestToken('http://node', 'ann');
  const first = await token();
  expect(await token()).toBe(first);
  server.secret = 'second';
  expect(await token()).not.toBe(first);
});

test('where there are no guests, that is the answer', async () => {
  const server = serve();
  const token = guestToken('http://node', 'ann');
  await token();
  server.isOpen = false;
  await expect(token()).rejects.toMatchObject({ status: 403 });
  expect(server.asked).toBe(3);
});
