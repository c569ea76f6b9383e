/**
 * Rooms against the real server: who is there, and what they say, through the channel and over a mesh without a network.
 *
 * Breakages tried on purpose, each of which makes tests fail: what the mesh had is not sent through the channel; the mesh is
 * used over the cap; nobody is told after a drop that was not resumed; no position is shown after a drop; early messages are dropped;
 * events are told before anybody can listen; `to` is not looked at; no acknowledgement is sent; `@user` is not looked at, or may be
 * absent; parcels are not published `named`; one stay counts for another's; the
 * oldest counts are forgotten, whose they may be.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { type Client, type ClientOptions, createClient } from '../src/channels/client.js';
import { LiveRoom, type Room, type RoomOptions } from '../src/rooms/room.js';
import { Rooms } from '../src/rooms/rooms.js';
import { mint, Node, until } from './node.js';
import { Blocked } from './visitors.js';
import { FakeConnection, network, reset, setNetwork } from './wires.js';

let node: Node;
let rooms = 0;
const open: Client[] = [];
const everything = [{ match: '*', can: ['subscribe', 'publish'] }];
beforeAll(async () => {
  node = await Node.start();
});
afterEach(() => {
  for (const client of open.splice(0)) client.close();
  reset();
});
afterAll(() => node[Symbol.asyncDispose]());

/** Everybody has an identity for each room, `ann-room-7`: one has one stream only. */
const nameOf = (peer: { id: string }) => peer.id.split('-', 1)[0] ?? '';
const routeTo = (guest: Guest, name: string) => guest.room.peers.find((peer) => nameOf(peer) === name)?.route;
const fresh = () => `room-${++rooms}`;
const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);

/** A socket that a test can cut. */
class Cuttable extends WebSocket {
  static readonly all: Cuttable[] = [];
  constructor(url: string, protocols: string) {
    super(url, protocols);
    Cuttable.all.push(this);
  }
}

interface Guest {
  client: Client;
  room: Room;
  /** What happened, in words. */
  log: string[];
  /** What was said, and by whom. */
  heard: Record<string, unknown[]>;
  errors: string[];
}

async function enter(name: string, id: string, options: ClientOptions & RoomOptions = {}): Promise<Guest> {
  const { channel, cap, ...rest } = options;
  const client = createClient({
    targets: node.url,
    token: mint(600, everything, `${name}-${id.replaceAll(' ', '')}`),
    WebSocket,
    ...rest,
  });
  open.push(client);
  const [log, errors]: string[][] = [[], []];
  const heard: Record<string, unknown[]> = {};
  client.on('error', (error) => errors?.push(error.message));
  const room = await client.room(id, { ...(channel && { channel }), ...(cap && { cap }) });
  room.on('join', (peer) => log?.push(`join ${nameOf(peer)}`));
  room.on('leave', (peer) => log?.push(`leave ${nameOf(peer)}`));
  room.on('route', (peer) => log?.push(`${nameOf(peer)} by ${peer.route}`));
  room.on('gap', () => log?.push('gap'));
  room.on('end', (reason) => log?.push(`end ${reason}`));
  room.on('error', (error) => errors?.push(error.message));
  room.on('message', (peer, data) => {
    const name = nameOf(peer);
    heard[name] = [...(heard[name] ?? []), data];
  });
  return { client, room, log: log ?? [], heard, errors: errors ?? [] };
}

const mesh = { RTCPeerConnection: FakeConnection as unknown as typeof RTCPeerConnection };

describe.each([
  ['WebSockets', {}],
  ['event streams and POSTs', { WebSocket: undefined as never }],
] as const)('over %s', (_name, options: ClientOptions) => {
  // Node 20 has no WebSocket of its own; from 22 on it has to be hidden.
  const own = globalThis.WebSocket;
  beforeAll(() => {
    Reflect.deleteProperty(globalThis, 'WebSocket');
  });
  afterAll(() => {
    if (own) globalThis.WebSocket = own;
  });

  test('who comes and goes is told, and everybody hears everybody in order', async () => {
    const id = fresh();
    const ann = await enter('ann', id, options);
    const ben = await enter('ben', id, options);
    await until(() => ann.room.peers.length === 1 && ben.room.peers.length === 1);
    expect(ann.room.peers).toEqual([{ id: `ben-${id}`, username: 'ann', route: 'channel' }]);
    for (const n of numbers(10)) {
      ann.room.broadcast({ n });
      ben.room.broadcast(n);
    }
    await until(() => ann.heard.ben?.length === 10 && ben.heard.ann?.length === 10);
    expect(ben.heard.ann).toEqual(numbers(10).map((n) => ({ n })));
    expect(ann.heard.ben).toEqual(numbers(10));

    const cat = await enter('cat', id, options);
    await until(() => ann.room.peers.length === 2 && cat.room.peers.length === 2);
    expect(ann.room.send(`cat-${id}`, 'only you')).toBe(true);
    expect(ann.room.send('nobody', 'hello?')).toBe(false);
    ann.room.broadcast('all');
    await until(() => cat.heard.ann?.length === 2 && ben.heard.ann?.length === 11);
    expect(cat.heard.ann).toEqual(['only you', 'all']);

    await ben.room.leave();
    expect(ben.log.at(-1)).toBe('end left');
    await until(() => ann.room.peers.length === 1);
    expect(ann.log).toEqual(['join ben', 'join cat', 'leave ben']);
    expect(() => ben.room.broadcast('I am gone')).toThrow('was left');
    ann.room.broadcast('still here');
    await until(() => cat.heard.ann?.length === 3);
    expect(ben.heard.ann).toHaveLength(11);
    expect([ann, ben, cat].flatMap(({ errors }) => errors)).toEqual([]);
  });

  test('nobody speaks in the name of another', async () => {
    const id = fresh();
    const [ann, ben] = [await enter('ann', id, options), await enter('ben', id, options)];
    await until(() => ann.room.peers.length === 1 && ben.room.peers.length === 1);
    ann.room.broadcast('mine');
    await until(() => ben.heard.ann);
    const channel = `board:${id}:live`;
    const stranger = createClient({ targets: node.url, token: mint(600, everything, 'eve'), ...options });
    open.push(stranger);
    // What Ann has said stands in the channel for everybody who may read it, and her next is made from it.
    const { value: hers } = await stranger.messages(channel, '0').next();
    expect(hers).toMatchObject({ '@user': `ann-${id}`, from: `ann-${id}` });
    for (const publishOptions of [{}, { named: true }]) {
      const { offset: _offset, '@user': _user, ...parcel } = hers ?? {};
      await stranger.publish(channel, { ...parcel, n: '2', data: '"forged"' }, publishOptions);
      await stranger.publish(channel, { ...parcel, n: '9', stay: 'new', data: '"forged"' }, publishOptions);
    }
    ann.room.broadcast('mine, too');
    await until(() => ben.heard.ann?.includes('mine, too'));
    expect(ben.heard).toEqual({ ann: ['mine', 'mine, too'] });
  });

  test('who closes has left at once', async () => {
    const id = fresh();
    const [ann, ben] = [await enter('ann', id, options), await enter('ben', id, options)];
    await until(() => ann.room.peers.length === 1);
    const from = Date.now();
    ben.client.close();
    await until(() => ann.log.at(-1) === 'leave ben');
    // The grace time of a dropped peer is 5 s; who says goodbye is not waited for.
    if (!('WebSocket' in options)) expect(Date.now() - from).toBeLessThan(4_500);
    expect(ben.log.at(-1)).toBe('end closed');
  });
});

describe('a drop', () => {
  test('that is resumed is seen by nobody, and loses nothing', async () => {
    const id = fresh();
    const ann = await enter('ann', id, { WebSocket: Cuttable });
    const ben = await enter('ben', id);
    await until(() => ann.room.peers.length === 1 && ben.room.peers.length === 1);
    const sockets = Cuttable.all.length;
    Cuttable.all.at(-1)?.terminate();
    for (const n of numbers(5)) ben.room.broadcast(n);
    for (const n of numbers(5)) ann.room.broadcast(n);
    const cat = await enter('cat', id);
    await until(() => ann.heard.ben?.length === 5 && ben.heard.ann?.length === 5);
    await until(() => ann.room.peers.length === 2);
    expect(Cuttable.all.length).toBeGreaterThan(sockets);
    expect(ann.log).toEqual(['join ben', 'join cat']);
    expect(ben.log).toEqual(['join ann', 'join cat']);
    await until(() => cat.room.peers.length === 2);
  });

  test.each(['at once', 'when it is known'])(
    'in which a room is left (%s) leaves nobody there',
    async (when) => {
      const id = fresh();
      const ben = await enter('ben', id);
      const ann = await enter('ann', id, { WebSocket: Cuttable, random: () => 0.1 });
      await until(() => ben.room.peers.length === 1);
      const known = new Promise((resolve) => ann.client.on('disconnect', resolve));
      Cuttable.all.at(-1)?.terminate();
      if (when === 'when it is known') await known;
      await ann.room.leave();
      await until(() => ben.log.includes('leave ann'));
      // And whoever comes back is there again.
      await ann.client.room(id);
      await until(() => ben.room.peers.length === 1);
      expect(ben.log).toEqual(['join ann', 'leave ann', 'join ann']);
    },
  );

  test('of event streams is resumed as well', async () => {
    let cut = new AbortController();
    let streams = 0;
    const cuttable = (url: string, init: RequestInit) => {
      if (url.endsWith('/connect')) streams += 1;
      const signals = [cut.signal, ...(init.signal ? [init.signal] : [])];
      return fetch(url, { ...init, signal: AbortSignal.any(signals) });
    };
    const id = fresh();
    const ann = await enter('ann', id, { WebSocket: Blocked, fetch: cuttable, random: () => 0.1 });
    const ben = await enter('ben', id);
    await until(() => ann.room.peers.length === 1 && ben.room.peers.length === 1);
    const lost: string[] = [];
    ann.client.on('disconnect', (reason) => lost.push(reason));
    const before = cut;
    cut = new AbortController();
    before.abort();
    for (const n of numbers(5)) ben.room.broadcast(n);
    const cat = await enter('cat', id);
    await until(() => ann.room.peers.length === 2 && ann.heard.ben?.length === 5);
    expect(lost).toHaveLength(1);
    expect(streams).toBe(2);
    expect(ann.log).toEqual(['join ben', 'join cat']);
    expect(ben.log).toEqual(['join ann', 'join cat']);
    await until(() => cat.room.peers.length === 2);

    // Another stream of the identity ends the room, and not the channels.
    const twin = await enter('ann', id);
    await until(() => ann.log.at(-1) === 'end replaced');
    await ann.client.publish(`${id}:on`, 'n', '1');
    expect(lost).toHaveLength(1);
    expect(twin.log).not.toContain('end replaced');
    // And it may come back.
    await ann.client.room(id);
    await until(() => twin.log.at(-1) === 'end replaced');
  });

  test('of the server: everybody has left, and comes again', async () => {
    const own = await Node.start();
    const id = fresh();
    const [ann, ben] = [
      await enter('ann', id, { targets: own.url }),
      await enter('ben', id, { targets: own.url }),
    ];
    await until(() => ann.room.peers.length === 1 && ben.room.peers.length === 1);
    await own.end();
    await own.start();
    await until(() => ann.log.length === 3 && ben.log.length === 3);
    expect(ann.log).toEqual(['join ben', 'leave ben', 'join ben']);
    ann.room.broadcast('again');
    await until(() => ben.heard.ann?.length === 1);
    await own[Symbol.asyncDispose]();
  });

  test('another stream of the identity ends the rooms, and the channels go on', async () => {
    const id = fresh();
    const ann = await enter('ann', id);
    const twin = await enter('ann', id);
    await until(() => ann.log.at(-1) === 'end replaced');
    await ann.client.subscribe('r:twin');
    expect(twin.log).toEqual([]);
  });
});

describe('the mesh', () => {
  test('carries what it can, and the channel the rest, in order and once', async () => {
    const id = fresh();
    const [ann, ben] = [await enter('ann', id, mesh), await enter('ben', id, mesh)];
    const node = await enter('node', id);
    let said = 0;
    const say = (count: number) => {
      for (let n = 0; n < count; n += 1) {
        ann.room.broadcast(said);
        said += 1;
      }
    };
    await until(() => ann.room.peers.length === 2);
    say(10);
    await until(() => routeTo(ann, 'ben') === 'mesh');
    say(100);
    await until(() => ben.heard.ann?.length === 110);
    // Cut in the middle: what was on its way goes through the channel.
    say(50);
    setNetwork(false);
    say(50);
    await until(() => ben.heard.ann?.length === 210 && node.heard.ann?.length === 210);
    expect(ann.log).toContain('ben by channel');
    setNetwork(true);
    say(10);
    await until(() => ben.heard.ann?.length === 220 && node.heard.ann?.length === 220);
    for (const guest of [ben, node]) expect(guest.heard.ann).toEqual(numbers(220));
    expect(routeTo(ann, 'node')).toBe('channel');
    expect([ann, ben, node].flatMap(({ errors }) => errors)).toEqual([]);
  });

  test('alone carries what its peers say: nothing goes through the server', async () => {
    const id = fresh();
    const [ann, ben] = [await enter('ann', id, mesh), await enter('ben', id, mesh)];
    const byMesh = ({ room }: Guest) => room.peers[0]?.route === 'mesh';
    await until(() => byMesh(ann) && byMesh(ben));
    // More than the window: acknowledgements make room in it.
    for (let round = 0; round < 5; round += 1) {
      for (const n of numbers(300)) ann.room.broadcast(round * 300 + n);
      await until(() => ben.heard.ann?.length === (round + 1) * 300);
      await until(() => byMesh(ann));
    }
    expect(ben.heard.ann).toEqual(numbers(1_500));
    const kept = await fetch(`${node.url}/channels/board:${id}:live?after=0`, {
      headers: { authorization: `Bearer ${mint()}` },
    });
    expect(await kept.json()).toMatchObject({ messages: [] });
  });

  test('is left over the cap, and comes back when there is room', async () => {
    const id = fresh();
    const options = { ...mesh, cap: 2 };
    const ann = await enter('ann', id, options);
    const ben = await enter('ben', id, options);
    await until(() => routeTo(ann, 'ben') === 'mesh' && routeTo(ben, 'ann') === 'mesh');
    const [cat, dan] = [await enter('cat', id, options), await enter('dan', id, options)];
    await until(
      () => ann.room.peers.length === 3 && ann.room.peers.every((peer) => peer.route === 'channel'),
    );
    for (const n of numbers(10)) ann.room.broadcast(n);
    await until(() => [ben, cat, dan].every(({ heard }) => heard.ann?.length === 10));
    await Promise.all([cat.room.leave(), dan.room.leave()]);
    await until(() => ann.room.peers.length === 1);
    for (const n of numbers(10)) ann.room.broadcast(10 + n);
    await until(() => ben.heard.ann?.length === 20);
    expect(ben.heard.ann).toEqual(numbers(20));
    expect(network.up).toBe(true);
  });
});

describe('a room by itself', () => {
  const ben = { id: 'ben', username: 'ben' };
  /** A room without a server: what it sends, and what it tells. */
  function alone() {
    const sent: string[] = [];
    const published: Record<string, string>[] = [];
    const told: unknown[] = [];
    let outcome: 'sent' | 'full' | 'closed' = 'sent';
    const room = new LiveRoom('r', 8, {
      me: () => 'ann',
      publish: async (fields) => published.push(fields),
      meshSend: (_peer, text) => {
        if (outcome === 'sent') sent.push(text);
        return outcome;
      },
      link: () => undefined,
      unlink: () => undefined,
      leave: async () => undefined,
    });
    room.on('message', (_peer, data) => told.push(data));
    room.on('route', ({ route }) => told.push(route));
    room.on('gap', () => told.push('gap'));
    room.begin();
    return {
      ...{ room, sent, published, told },
      mesh: (now: typeof outcome) => {
        outcome = now;
      },
    };
  }
  const letter = (n: number, data: unknown, more = {}) => ({
    ...{ offset: `${n}-0`, '@user': 'ben', from: 'ben', stay: 's', n: String(n) },
    ...{ data: JSON.stringify(data), ...more },
  });

  test('what comes before its sender waits for them, and not for long', () => {
    vi.useFakeTimers();
    const { room, told } = alone();
    room.take(letter(1, 'old'));
    vi.advanceTimersByTime(6_000);
    room.take(letter(2, 'early'));
    room.add(ben, false);
    room.take(letter(3, 'now'));
    expect(told).toEqual(['early', 'now']);
    vi.useRealTimers();
  });

  test('a peer that does not keep up is served by the channel until it does', () => {
    const { room, sent, published, told, mesh } = alone();
    room.add(ben, true);
    room.reach('ben', true);
    mesh('full');
    for (const n of numbers(600)) room.broadcast(n);
    expect(sent).toHaveLength(0);
    expect(published.map(({ data }) => Number(data))).toEqual(numbers(600));
    mesh('sent');
    room.drain('ben');
    room.broadcast('by mesh');
    expect(sent).toHaveLength(1);
    expect(JSON.parse(sent[0] ?? '')).toMatchObject({ c: 600, data: 'by mesh' });
    expect(told).toEqual(['mesh', 'channel', 'mesh']);
    mesh('closed');
    room.broadcast('by channel');
    expect(published.slice(600).map(({ data }) => JSON.parse(data ?? ''))).toEqual(['by mesh', 'by channel']);
  });

  test('a frame that waits for the channel is given when the channel has a gap', () => {
    const { room, told } = alone();
    room.add(ben, false);
    const frame = (m: number, c: number) =>
      room.hear('ben', { kind: 'frame', room: 'r', lane: 's.1', frame: { m, c, data: `m${m}` } });
    room.take(letter(1, 'c1'));
    frame(1, 3);
    expect(told).toEqual(['c1']);
    room.gap();
    frame(2, 9);
    expect(told).toEqual(['c1', 'gap', 'm1', 'm2']);
    room.take(letter(10, 'c10'));
    frame(3, 11);
    room.take(letter(11, 'for others', { to: '["cat"]' }));
    expect(told.slice(4)).toEqual(['c10', 'm3']);
  });

  test('nobody counts for another: a frame waits for what its own sender has said', () => {
    const { room, told } = alone();
    room.add(ben, false);
    room.take(letter(1, 'c1'));
    room.hear('ben', { kind: 'frame', room: 'r', lane: 's.1', frame: { m: 1, c: 2, data: 'm1' } });
    room.take(letter(99, 'eve', { from: 'eve', '@user': 'eve' }));
    room.hear('ben', { kind: 'frame', room: 'r', lane: 's.1', frame: { m: 2, c: 2, data: 'm2' } });
    expect(told).toEqual(['c1']);
    room.take(letter(2, 'c2'));
    expect(told).toEqual(['c1', 'c2', 'm1', 'm2']);
  });

  test('a crowd of strangers makes nobody forget what the peers have said', () => {
    const { room, told } = alone();
    room.add(ben, false);
    room.take(letter(7, 'c7'));
    for (const n of numbers(3_000))
      room.take(letter(n, n, { from: `eve${n}`, '@user': `eve${n}`, stay: `${n}` }));
    room.hear('ben', { kind: 'frame', room: 'r', lane: 's.1', frame: { m: 1, c: 7, data: 'm1' } });
    expect(told).toEqual(['c7', 'm1']);
  });

  test('nonsense is no message', () => {
    const { room, told } = alone();
    room.add(ben, false);
    for (const bad of [
      { from: 7 },
      { '@user': undefined },
      { '@user': 'eve' },
      { stay: undefined },
      { n: '-1' },
      { data: '{' },
      { to: '"ben"' },
    ])
      room.take({ ...letter(1, 'x'), ...bad } as never);
    room.take(letter(2, 'fine'));
    expect(told).toEqual(['fine']);
  });
});

describe('refusals', () => {
  test('a name that is none, and a channel that is not ours', async () => {
    await expect(enter('ann', 'no room')).rejects.toMatchObject({ code: 'invalid' });
    const few = mint(600, [{ match: 'other', can: ['subscribe'] }], 'ann');
    await expect(enter('ann', fresh(), { token: few })).rejects.toMatchObject({ code: 'forbidden' });
  });

  test('the channel of a room is nobody else’s', async () => {
    const { client, room } = await enter('ann', fresh(), { channel: 'live:taken' });
    await expect(client.messages('live:taken').next()).rejects.toMatchObject({ code: 'conflict' });
    await expect(client.subscribe('live:taken')).rejects.toMatchObject({ code: 'conflict' });
    await expect(client.unsubscribe('live:taken')).rejects.toMatchObject({ code: 'conflict' });
    await room.leave();
    await client.subscribe('live:taken');
  });

  test('a room that is entered while another stream takes the place of this one', async () => {
    const unfollowed: string[] = [];
    let follows: (() => void) | undefined;
    const rooms = new Rooms({
      ...{ state: () => ({ kind: 'idle' }), ask: () => undefined, random: () => 0, fault: () => {} },
      follow: () =>
        new Promise<void>((done) => {
          follows = done;
        }),
      unfollow: (channel) => unfollowed.push(channel),
      ...{ publish: async () => {}, ice: async () => {}, Connection: undefined },
    });
    const entering = rooms.enter('room', { channel: 'live:late' });
    await until(() => follows !== undefined);
    rooms.hear('replaced', {});
    follows?.();
    await expect(entering).rejects.toMatchObject({ code: 'closed' });
    expect(unfollowed).toEqual(['live:late']);
  });

  test('a second room in the channel of a first, which hears as before', async () => {
    const [id, channel] = [fresh(), 'live:shared'];
    const ann = await enter('ann', id, { channel });
    const bob = await enter('bob', id, { channel });
    await until(() => [ann, bob].every(({ room }) => room.peers.length === 1));
    await expect(ann.client.room(fresh(), { channel })).rejects.toMatchObject({ code: 'conflict' });
    bob.room.broadcast('still there?');
    await until(() => ann.heard.bob?.length === 1);
  });

  test('twice, too large, nothing at all', async () => {
    const id = fresh();
    const { client, room } = await enter('ann', id, { channel: 'live:here' });
    await expect(client.room(id)).rejects.toMatchObject({ code: 'conflict' });
    expect(() => room.broadcast('x'.repeat(400_000))).toThrow('characters');
    expect(() => room.broadcast(undefined)).toThrow(TypeError);
    client.close();
    expect(() => room.broadcast('late')).toThrow('was left');
    await expect(client.room(id)).rejects.toMatchObject({ code: 'closed' });
  });
});
