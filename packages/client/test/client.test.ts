/**
 * Channels against the real server: what an application sees, and what it does not see of servers that are killed.
 *
 * Breakages tried on purpose, each of which makes tests fail: a cursor that does not move; a loop that is never
 * full; a channel that is not resumed; a token that is not renewed, or not forgotten when it was refused; `named` that is not sent.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type Client, type ClientOptions, createClient } from '../src/channels/client.js';
import type { ClientError } from '../src/channels/errors.js';
import { HIGH } from '../src/channels/reader.js';
import { mint, Node, until } from './node.js';

let node: Node;
const open: { close(): void }[] = [];
let channels = 0;

beforeAll(async () => {
  node = await Node.start();
});
afterAll(async () => {
  for (const client of open) client.close();
  await node[Symbol.asyncDispose]();
});

function connect<Value = string>(options: ClientOptions<Value> = {}): Client<Value> {
  const access = options.getToken ? {} : { token: mint() };
  const client = createClient<Value>({ targets: node.url, WebSocket, ...access, ...options });
  open.push(client);
  return client;
}

/** A channel that no other test uses. */
function fresh(): string {
  channels += 1;
  return `test:${channels}`;
}

/** What a client hears of a channel, by one of its fields. */
function hear(client: Client, channel: string, field = 'n'): string[] {
  const heard: string[] = [];
  client.on('messages', (from, messages) => {
    if (from === channel) heard.push(...messages.map((message) => String(message[field])));
  });
  return heard;
}

const numbers = (count: number) => Array.from({ length: count }, (_, n) => String(n));

test('what is published is heard by all, oneself included', async () => {
  const [ann, bob] = [connect(), connect()];
  const channel = fresh();
  const [toAnn, toBob] = [hear(ann, channel, 'text'), hear(bob, channel, 'text')];
  expect(await ann.subscribe(channel)).toEqual({ offset: '0-0', gap: false });
  await bob.subscribe(channel);
  const offset = await ann.publish(channel, 'text', 'hello', 'size', 7);
  expect(offset).toMatch(/^\d+-\d+$/);
  await bob.publish(channel, { text: { a: [1] } });
  await until(() => toAnn.length === 2 && toBob.length === 2);
  expect(toAnn).toEqual(['hello', '{"a":[1]}']);
  expect(toBob).toEqual(toAnn);
  await ann.unsubscribe(channel);
  await bob.publish(channel, 'text', 'more');
  await until(() => toBob.length === 3);
  expect(toAnn).toHaveLength(2);
});

test('a subscription begins where one likes', async () => {
  const client = connect();
  const channel = fresh();
  const offsets = [];
  for (const n of numbers(5)) offsets.push(await client.publish(channel, 'n', n));
  const heard = hear(client, channel);
  await client.subscribe(channel, offsets[2]);
  await until(() => heard.length === 2);
  expect(heard).toEqual(['3', '4']);
  await client.unsubscribe(channel);
  heard.length = 0;
  await client.subscribe(channel, '0');
  await until(() => heard.length === 5);
});

test('an offset that the log cannot continue is told as a gap', async () => {
  const client = connect();
  const channel = fresh();
  const heard = hear(client, channel);
  const gaps: string[] = [];
  client.on('gap', (from, { after }) => gaps.push(`${from} ${after}`));
  await client.publish(channel, 'n', 'a');
  const { gap } = await client.subscribe(channel, '9999999999999999-0');
  expect(gap).toBe(true);
  expect(gaps).toEqual([`${channel} 9999999999999999-0`]);
  await until(() => heard.length === 1);
});

describe('arguments', () => {
  const client = () => connect();
  test.each([
    [[]],
    [['a']],
    [['a', 'b', 'c']],
    [[{}]],
    [[7, 'b']],
    [['a', undefined]],
    [[{ a: 'b' }, {}, {}]],
  ])('%j make no message', async (message) => {
    const publish = client().publish as (channel: string, ...message: unknown[]) => Promise<string>;
    await expect(publish.apply(client(), [fresh(), ...message])).rejects.toBeInstanceOf(TypeError);
  });
  test('an offset is checked', async () => {
    await expect(client().subscribe(fresh(), 'yesterday')).rejects.toBeInstanceOf(TypeError);
  });
  test('a client needs a token and a target', () => {
    expect(() => createClient({ targets: node.url, WebSocket })).toThrow(TypeError);
    expect(() => createClient({ targets: node.url, token: '', WebSocket })).toThrow(TypeError);
    expect(() => createClient({ token: 'a', WebSocket })).toThrow(TypeError);
    expect(() => createClient({ token: 'a', targets: 'ftp://a', WebSocket })).toThrow(TypeError);
  });
});

describe('refusals', () => {
  const code = (promise: Promise<unknown>) => promise.then(String, (error: ClientError) => error.code);
  test('have the code of the server', async () => {
    const client = connect({ token: mint(600, [{ match: 'a', can: ['subscribe'] }]) });
    expect(await code(client.subscribe('b'))).toBe('forbidden');
    expect(await code(client.publish('a', 'x', 'y'))).toBe('forbidden');
    await client.subscribe('a');
    expect(await code(client.subscribe('a'))).toBe('conflict');
    expect(await code(client.publish('a b', 'x', 'y'))).toBe('invalid');
    expect(await code(client.publish('a', 'x', 'y'.repeat(1 << 20)))).toBe('too-large');
    expect(await code(client.messages('b').next())).toBe('forbidden');
    expect(await code(client.messages('a', '0').next())).toBe('conflict');
  });
  test('of a token that never changes end the client', async () => {
    const client = connect({ token: 'nonsense' });
    const publish = client.publish(fresh(), 'a', 'b');
    expect(await code(publish)).toBe('unauthorized');
    expect(client.state).toMatchObject({ kind: 'stopped', reason: 'refused' });
    expect(await code(client.publish(fresh(), 'a', 'b'))).toBe('closed');
  });
  test('of a token that can be renewed do not', async () => {
    let asked = 0;
    const errors: Error[] = [];
    const client = connect({ getToken: () => (++asked < 3 ? 'nonsense' : mint()) });
    client.on('error', (error) => errors.push(error));
    await client.publish(fresh(), 'a', 'b');
    expect(asked).toBe(3);
    expect(errors).toHaveLength(2);
  });
  test('after close everything waits in vain', async () => {
    const client = connect({ targets: 'http://127.0.0.1:9' });
    const [publish, subscribe, loop] = [
      client.publish('a', 'b', 'c'),
      client.subscribe('a'),
      client.messages('c').next(),
    ];
    client.close();
    client.close();
    expect([await code(publish), await code(subscribe)]).toEqual(['closed', 'closed']);
    expect(await loop).toEqual({ done: true, value: undefined });
  });
});

test('encode and decode are the application’s', async () => {
  const client = connect<number>({ encode: (value) => `n${value}`, decode: (text) => Number(text.slice(1)) });
  const channel = fresh();
  await client.publish(channel, 'n', 41);
  for await (const message of client.messages(channel, '0')) {
    expect((message.n ?? 0) + 1).toBe(42);
    break;
  }
});

test('what cannot be decoded is told, and what follows is heard', async () => {
  const channel = fresh();
  const anybody = connect();
  const client = connect<{ n: number }>({ decode: (text) => JSON.parse(text) });
  const errors: Error[] = [];
  client.on('error', (error) => errors.push(error));
  await client.subscribe(channel, '0');
  const loop = client.messages(channel);
  await anybody.publish(channel, 'v', 'hello');
  await anybody.publish(channel, 'v', '{"n":1}');
  expect((await loop.next()).value).toMatchObject({ v: { n: 1 } });
  expect(errors.map(({ name }) => name)).toEqual(['SyntaxError']);
});

test('keyed messages, and what stands beside them', async () => {
  const client = connect();
  const channel = fresh();
  const first = await client.publish(channel, { n: 'old' }, { key: 'k', version: '2' });
  expect(await client.publish(channel, { n: 'older' }, { key: 'k', version: '1' })).toBe(first);
  await client.publish(channel, { n: '' }, { key: 'k', version: '3', tombstone: true });
  const { value } = await client.messages(channel, '0').next();
  expect(value).toMatchObject({ '@key': 'k', '@version': '3', '@deleted': true });
});

test('a message says who published it, where that is asked for, and nobody can write it', async () => {
  const channel = fresh();
  const [ann, eve] = ['ann', 'eve'].map((id) => connect({ token: mint(600, undefined, id) }));
  await ann?.publish(channel, { n: '1' }, { named: true });
  await ann?.publish(channel, { n: '2' });
  await expect(eve?.publish(channel, { n: '4', '@user': 'ann' })).rejects.toMatchObject({ code: 'invalid' });
  await eve?.publish(channel, { n: '5' }, { named: true });
  const reader = connect<number>({ decode: Number });
  const heard = [];
  for await (const message of reader.messages(channel, '0')) {
    heard.push([message.n, message['@user']]);
    if (message.n === 5) break;
  }
  expect(heard).toEqual([
    [1, 'ann'],
    [2, undefined],
    [5, 'eve'],
  ]);
});

describe('loops', () => {
  test('end the subscription they began', async () => {
    const client = connect();
    const channel = fresh();
    for (const n of numbers(3)) await client.publish(channel, 'n', n);
    const read = [];
    for await (const { n } of client.messages(channel, '0')) {
      read.push(n);
      if (read.length === 3) break;
    }
    expect(read).toEqual(numbers(3));
    await client.subscribe(channel);
  });

  test('share a channel, and the last one turns out the light', async () => {
    const client = connect();
    const channel = fresh();
    const [a, b] = [client.messages(channel, '0'), client.messages(channel)];
    await client.publish(channel, 'n', '0');
    expect([(await a.next()).value?.n, (await b.next()).value?.n]).toEqual(['0', '0']);
    await a.return?.();
    await client.publish(channel, 'n', '1');
    expect((await b.next()).value?.n).toBe('1');
    await b.return?.();
    await client.subscribe(channel);
  });

  test('that are slow pause the channel, and miss nothing', async () => {
    const [client, writer] = [connect(), connect()];
    const channel = fresh();
    const count = HIGH * 6;
    const heard = hear(client, channel);
    const loop = client.messages(channel, '0');
    // Long texts, so that many frames are needed.
    const text = 'x'.repeat(200);
    await Promise.all(numbers(count).map((n) => writer.publish(channel, { n, text })));
    await until(() => heard.length >= HIGH);
    const last = await writer.publish(channel, 'n', String(count));
    expect(last).toBeDefined();
    expect(heard.length).toBeLessThan(count);
    const read: string[] = [];
    for await (const { n } of loop) {
      read.push(n ?? '');
      if (read.length === count + 1) break;
    }
    expect(read).toEqual(numbers(count + 1));
  });
});

describe('tokens', () => {
  test('are renewed before they end, on the same connection', async () => {
    let asked = 0;
    const lost: string[] = [];
    const client = connect({
      getToken: async () => {
        asked += 1;
        return mint(asked === 1 ? 7 : 600);
      },
    });
    client.on('disconnect', (reason) => lost.push(reason));
    const channel = fresh();
    const heard = hear(client, channel);
    await client.subscribe(channel);
    await until(() => asked === 2);
    // Past the end of the first, and the server's leeway of five seconds.
    await new Promise((resolve) => setTimeout(resolve, 8_000));
    await client.publish(channel, 'n', 'still here');
    await until(() => heard.length === 1);
    expect(lost).toEqual([]);
  });

  test('that end make place for others', async () => {
    let asked = 0;
    const lost: string[] = [];
    const errors = new Set<string>();
    const client = connect({
      getToken: () => {
        asked += 1;
        // Renewals fail, and the first token runs out.
        if (asked > 1 && lost.length === 0) throw new Error('not now');
        return mint(asked === 1 ? 1 : 600);
      },
    });
    client.on('disconnect', (reason) => lost.push(reason));
    client.on('error', ({ message }) => errors.add(message));
    const channel = fresh();
    const heard = hear(client, channel);
    await client.subscribe(channel);
    await until(() => lost.length === 1);
    await client.publish(channel, 'n', '0');
    await until(() => heard.length === 1);
    expect([...errors]).toEqual(['not now']);
  });
});
