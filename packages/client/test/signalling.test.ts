/** The signalling against a stand-in for the server: resuming, beginning anew, stopping. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Signalling, type SignallingHappening } from '../src/signalling.js';
import { SILENCE } from '../src/stream.js';
import { type Connection, StandIn } from './server.js';

let server: StandIn;
let signalling: Signalling;
let happenings: SignallingHappening[];

beforeEach(() => {
  server = new StandIn();
  signalling = new Signalling({ base: 'http://node', username: 'ann', fetch: server.fetch, random: () => 0 });
  happenings = [];
  signalling.listen((happening) => {
    happenings.push(happening);
    server.stir();
  });
});

afterEach(() => {
  signalling.close();
  vi.useRealTimers();
});

const user = { id: 'u1', username: 'ann' };
const told = (type: SignallingHappening['type']) => happenings.filter((happening) => happening.type === type);

function greet(connection: Connection, resumed: boolean, position = '1-0'): void {
  if (!resumed) connection.write(`retry: 1000\n\nid: ${position}\n\n`);
  connection.say('connected', { user, resumed });
}

async function live(): Promise<Connection> {
  signalling.start();
  const first = await server.connection(0);
  greet(first, false);
  await server.until(() => told('start').length === 1);
  return first;
}

test('it asks for a token, keeps it out of the URL, and joins its rooms', async () => {
  signalling.join('room');
  const first = await live();
  expect(first.headers.get('authorization')).toMatch(/^Bearer h\./);
  expect(first.headers.get('accept')).toBe('text/event-stream');
  expect(first.url).toBe('http://node/connect');
  expect(first.headers.get('last-event-id')).toBeNull();
  const post = await server.until(() => server.posts[0]);
  expect(post.path).toBe('/room/join');
  expect(signalling.state).toEqual({ kind: 'live', user, resumed: false });
});

test('events are handed on in their order', async () => {
  const first = await live();
  first.say('add-peer', { peer: { id: 'b', username: 'bob' }, roomId: 'r', offer: true }, '2-0');
  first.say('wave', { peer: { id: 'b', username: 'bob' }, data: 7 }, '3-0');
  first.say('nonsense!', {}, '4-0');
  first.say('remove-peer', { peer: { id: 'b', username: 'bob' }, roomId: 'r' }, '5-0');
  await server.until(() => told('remove-peer').length === 1);
  expect(happenings.slice(-4).map(({ type }) => type)).toEqual([
    'add-peer',
    'relayed',
    'fault',
    'remove-peer',
  ]);
  expect(told('relayed')[0]).toMatchObject({ name: 'wave', data: 7 });
});

test.each(['end', 'cut'] as const)(
  'after a drop (%s) it resumes where it stood, and begins nothing anew',
  async (how) => {
    signalling.join('room');
    const first = await live();
    await server.until(() => server.posts.length === 1);
    first.say('wave', { peer: { id: 'b', username: 'bob' }, data: 1 }, '9-3');
    first.say('ping', {});
    await server.until(() => told('relayed').length === 1);
    first[how]();
    const second = await server.connection(1);
    expect(second.headers.get('last-event-id')).toBe('9-3');
    expect(server.issued).toBe(1);
    greet(second, true);
    await server.until(() => signalling.state.kind === 'live' && signalling.state.resumed);
    expect(told('start')).toHaveLength(1);
    expect(server.posts).toHaveLength(1);
  },
);

test('a room that is left between two streams is left when the second stands', async () => {
  for (const room of ['room', '..']) signalling.join(room);
  const first = await live();
  await server.until(() => server.posts.length === 1);
  first.cut();
  await server.until(() => signalling.state.kind === 'waiting');
  await signalling.leave('room');
  expect(server.posts).toHaveLength(1);
  greet(await server.connection(1), true);
  await server.until(() => server.posts.length === 2);
  expect(server.posts[1]?.path).toBe('/room/leave');
});

test('a room that is left before the server has us in it is left once more', async () => {
  let refusals = 0;
  server.answer = (_method, path) => {
    if (path !== '/room/join' || refusals > 0) return undefined;
    refusals += 1;
    void signalling.leave('room');
    return Response.json({ code: 'conflict' }, { status: 409 });
  };
  signalling.join('room');
  await live();
  await server.until(() => server.posts.length === 3);
  expect(server.posts.map(({ path }) => path)).toEqual(['/room/leave', '/room/join', '/room/leave']);
});

test('a name that leads elsewhere is a fault, and no request', async () => {
  for (const room of ['..', '', '\ud800', 'a/b?c']) signalling.join(room);
  await live();
  await server.until(() => told('fault').length === 3 && server.posts[0]);
  expect(server.posts[0]?.path).toBe('/a%2Fb%3Fc/join');
  expect(await signalling.relay('..', 'wave', 1)).toBe('lost');
  expect(await signalling.relay('b', '..', 1)).toBe('lost');
  expect(server.posts).toHaveLength(1);
});

test('a gap is one new beginning, and the rooms are joined again', async () => {
  signalling.join('room');
  const first = await live();
  await server.until(() => server.posts.length === 1);
  first.cut();
  const second = await server.connection(1);
  greet(second, false, '20-0');
  second.say('gap', {}, '20-1');
  await server.until(() => server.posts.length === 2);
  expect(told('start')).toHaveLength(2);
});

test('a gap on a living stream too', async () => {
  const first = await live();
  first.say('gap', {}, '2-0');
  await server.until(() => told('start').length === 2);
  expect(server.connections).toHaveLength(1);
});

test('replaced: it stops, and does not fight for the identity', async () => {
  const first = await live();
  first.say('replaced', {});
  await server.until(() => signalling.state.kind === 'stopped');
  expect(signalling.state).toMatchObject({ reason: 'replaced' });
  expect(first.released).toBe(true);
  await new Promise((resolve) => setImmediate(resolve));
  expect(server.connections).toHaveLength(1);
});

test('draining: it goes elsewhere at once, with its position', async () => {
  const slow = new Signalling({ base: 'http://node', fetch: server.fetch, random: () => 0.999 });
  slow.start();
  const first = await server.connection(0);
  greet(first, false, '5-5');
  const before = Date.now();
  first.say('draining', {});
  const second = await server.connection(1);
  expect(second.headers.get('last-event-id')).toBe('5-5');
  expect(first.released).toBe(true);
  // A retry after a drop would have waited a second here.
  expect(Date.now() - before).toBeLessThan(900);
  slow.close();
});

test('an old token that is refused is replaced, and the new identity begins anew', async () => {
  const first = await live();
  let refusals = 1;
  server.answer = (_method, path) => {
    if (path !== '/connect' || refusals === 0) return undefined;
    refusals -= 1;
    return Response.json({ code: 'forbidden' }, { status: 403 });
  };
  first.cut();
  const second = await server.connection(1);
  expect(server.issued).toBe(2);
  expect(second.headers.get('last-event-id')).toBeNull();
  greet(second, false);
  await server.until(() => told('start').length === 2);
});

test('a fresh token that is refused is a refusal', async () => {
  server.answer = (_method, path) =>
    path === '/connect' ? Response.json({ code: 'forbidden', detail: 'no' }, { status: 403 }) : undefined;
  signalling.start();
  await server.until(() => signalling.state.kind === 'stopped');
  expect(signalling.state).toMatchObject({ reason: 'refused', detail: 'no' });
});

test('a server without anonymous access is a refusal; one that is busy is not', async () => {
  let busy = 2;
  server.answer = (_method, path) => {
    if (path !== '/access') return undefined;
    busy -= 1;
    return busy >= 0
      ? new Response('', { status: 503 })
      : Response.json({ code: 'forbidden' }, { status: 403 });
  };
  signalling.start();
  await server.until(() => signalling.state.kind === 'stopped');
  expect(busy).toBe(-1);
});

test('a join that comes between two streams is tried again', async () => {
  let conflicts = 2;
  server.answer = (_method, path) => {
    if (path !== '/room/join' || conflicts === 0) return undefined;
    conflicts -= 1;
    return Response.json({ code: 'conflict' }, { status: 409 });
  };
  signalling.join('room');
  await live();
  await server.until(() => server.posts.some(({ path }) => path === '/room/join'));
  expect(conflicts).toBe(0);
});

describe('relays', () => {
  test('reach the inbox, or say why not', async () => {
    await live();
    expect(await signalling.relay('b/c', 'wave', { a: 1 })).toBe('delivered');
    expect(server.posts.at(-1)).toMatchObject({ path: '/relay/b%2Fc/wave', body: { a: 1 } });
    server.answer = () => Response.json({ code: 'not-found' }, { status: 404 });
    expect(await signalling.relay('b', 'wave', 1)).toBe('gone');
    server.answer = () => Response.json({ code: 'invalid' }, { status: 400 });
    expect(await signalling.relay('b', 'wave', 1)).toBe('lost');
  });

  test('are repeated while the server is busy or away', async () => {
    await live();
    let failures = 3;
    server.answer = () => {
      failures -= 1;
      if (failures === 1) throw new TypeError('network');
      return failures >= 0 ? new Response('', { status: 503 }) : undefined;
    };
    expect(await signalling.relay('b', 'wave', 1)).toBe('delivered');
    expect(server.posts).toHaveLength(1);
  });
});

test('close leaves the rooms by a request that outlives the page', async () => {
  signalling.join('room');
  const first = await live();
  await server.until(() => server.posts.length === 1);
  signalling.close();
  const post = await server.until(() => server.posts[1]);
  expect(post.path).toBe('/room/leave');
  expect(post.headers.get('authorization')).toMatch(/^Bearer /);
  expect(first.released).toBe(true);
  expect(signalling.state).toMatchObject({ kind: 'stopped', reason: 'closed' });
});

test('after a close it can be started again, as somebody new', async () => {
  await live();
  signalling.close();
  signalling.start();
  const second = await server.connection(1);
  expect(server.issued).toBe(2);
  expect(second.headers.get('last-event-id')).toBeNull();
});

describe('with time in hand', () => {
  const settle = async () => {
    for (let turn = 0; turn < 20; turn += 1) await vi.advanceTimersByTimeAsync(0);
  };

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
  });

  /** The first connection, greeted. */
  async function begun() {
    signalling.start();
    await settle();
    const first = server.connections[0];
    if (!first) throw new Error('no connection');
    greet(first, false);
    await settle();
    return first;
  }

  test('a stream that is silent is dead; one that pings is not', async () => {
    const first = await begun();
    for (let ping = 0; ping < 10; ping += 1) {
      await vi.advanceTimersByTimeAsync(10_000);
      first.say('ping', {});
      await settle();
    }
    expect(server.connections).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(SILENCE - 1);
    expect(server.connections).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2);
    await settle();
    expect(first.released).toBe(true);
    expect(server.connections).toHaveLength(2);
    expect(server.connections[1]?.headers.get('last-event-id')).toBe('1-0');
  });

  test('before a token ends the identity changes in good order', async () => {
    signalling.join('room');
    const first = await begun();
    const ping = async (milliseconds: number) => {
      for (let gone = 0; gone < milliseconds; gone += 10_000) {
        await vi.advanceTimersByTimeAsync(10_000);
        if (!first.released) first.say('ping', {});
        await settle();
      }
    };
    await ping(3_500_000);
    expect(server.issued).toBe(1);
    await ping(50_000);
    expect(server.issued).toBe(2);
    // The old identity says goodbye with its old token.
    const leave = server.posts.find(({ path }) => path === '/room/leave');
    expect(leave?.headers.get('authorization')).toMatch(/\.1$/);
    expect(server.connections[1]?.headers.get('authorization')).toMatch(/\.2$/);
    expect(server.connections[1]?.headers.get('last-event-id')).toBeNull();
  });

  test('tokens of a few seconds are not asked for without end', async () => {
    server.identity = 'u1';
    server.tokenLife = 20;
    await begun();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(server.issued).toBe(2);
    expect(server.connections).toHaveLength(1);
  });

  /** The first connection, kept until its token was renewed. */
  async function afterAnHour() {
    server.identity = 'u1';
    const first = await begun();
    for (let gone = 0; gone < 3_560_000; gone += 10_000) {
      await vi.advanceTimersByTimeAsync(10_000);
      first.say('ping', {});
      await settle();
    }
    expect(server.issued).toBe(2);
    return first;
  }

  test('a renewed token that is refused later is replaced once more', async () => {
    const first = await afterAnHour();
    let refusals = 1;
    server.answer = (_method, path) => {
      if (path !== '/connect' || refusals === 0) return undefined;
      refusals -= 1;
      return Response.json({ code: 'unauthorized' }, { status: 401 });
    };
    first.cut();
    for (let turn = 0; turn < 5; turn += 1) await vi.advanceTimersByTimeAsync(10);
    expect(signalling.state.kind).toBe('connecting');
    expect(server.issued).toBe(3);
    expect(server.connections).toHaveLength(2);
  });

  test('a renewed token of the same identity changes nothing but the token', async () => {
    await afterAnHour();
    // The server keeps the identity of whoever shows a token that is still valid.
    expect(server.shown[0]).toBeNull();
    expect(server.shown[1]).toMatch(/\.1$/);
    expect(server.connections).toHaveLength(1);
    void signalling.relay('b', 'wave', 1);
    await settle();
    expect(server.posts.at(-1)?.headers.get('authorization')).toMatch(/\.2$/);
  });
});
