/**
 * Channels where no WebSocket passes: event streams and POSTs, against the real server.
 *
 * Breakages tried on purpose, each of which makes tests fail: a POST without a name; POSTs of a channel side by
 * side; another kind of line while a publish is in doubt.
 */
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { ClientOptions } from '../src/channels/client.js';
import type { ClientError } from '../src/channels/errors.js';
import { mint, Node, until } from './node.js';
import { Blocked, visitors } from './visitors.js';

const home = visitors();
const connect = (options: ClientOptions = {}) => home.connect({ WebSocket: Blocked, ...options });

const numbers = (count: number) => Array.from({ length: count }, (_, n) => String(n));

test('publish, follow, and hear those who have a socket', async () => {
  const [blocked, free] = [connect(), connect({ WebSocket })];
  await Promise.all([blocked.subscribe('f:talk'), free.subscribe('f:talk')]);
  const offsets = await Promise.all(numbers(50).map((n) => blocked.publish('f:talk', 'n', n)));
  expect(new Set(offsets).size).toBe(50);
  await free.publish('f:talk', 'n', 'free');
  await until(() => blocked.heard.length === 51 && free.heard.length === 51);
  expect(blocked.heard).toEqual([...numbers(50), 'free']);
  expect(free.heard).toEqual(blocked.heard);

  await blocked.unsubscribe('f:talk');
  await blocked.publish('f:talk', 'n', 'last');
  await until(() => free.heard.length === 52);
  blocked.heard.length = 0;
  await blocked.subscribe('f:talk', offsets[48]);
  await until(() => blocked.heard.length === 3);
  expect(blocked.heard).toEqual(['49', 'free', 'last']);
});

test('where there is no WebSocket at all, none is missed', async () => {
  const { WebSocket: had } = globalThis;
  Object.assign(globalThis, { WebSocket: undefined });
  const client = home.connect({ WebSocket: undefined as never });
  Object.assign(globalThis, { WebSocket: had });
  expect(await client.publish('f:none', 'n', '0')).toMatch(/^\d+-\d+$/);
});

test('an `unsubscribe` that overtakes the answer leaves no stream', async () => {
  const client = connect();
  await client.publish('f:quick', 'n', '0');
  const begun = client.subscribe('f:quick', '0').catch((error: ClientError) => error.code);
  await client.unsubscribe('f:quick');
  expect(await begun).toBe('closed');
  await client.subscribe('f:quick', '0');
  await client.publish('f:quick', 'n', '1');
  await until(() => client.heard.length === 2);
  expect(client.heard).toEqual(['0', '1']);
});

test('keys, versions and gaps', async () => {
  const client = connect();
  const first = await client.publish('f:keyed', { n: 'a' }, { key: 'k', version: '2' });
  expect(await client.publish('f:keyed', { n: 'b' }, { key: 'k', version: '1' })).toBe(first);
  const gaps: string[] = [];
  client.on('gap', (channel) => gaps.push(channel));
  await client.subscribe('f:keyed', '9999999999999999-0');
  await until(() => client.heard.length === 1);
  expect(gaps).toEqual(['f:keyed']);
});

test('refusals are those of the socket', async () => {
  const code = (promise: Promise<unknown>) => promise.then(String, (error: ClientError) => error.code);
  const client = connect({ token: mint(600, [{ match: 'a', can: ['subscribe'] }]) });
  expect(await code(client.publish('a', 'b', 'c'))).toBe('forbidden');
  expect(await code(client.subscribe('b'))).toBe('forbidden');
  expect(await code(client.publish('a b', 'c', 'd'))).toBe('invalid');
  expect(await code(connect({ token: 'nonsense' }).publish('a', 'b', 'c'))).toBe('unauthorized');
});

test('names that are none are refused, and the line stands', async () => {
  const code = (promise: Promise<unknown>) => promise.then(String, (error: ClientError) => error.code);
  const client = connect();
  const lost: string[] = [];
  client.on('disconnect', (reason) => lost.push(reason));
  const given: unknown[] = ['', '.', '..', '\ud800', 'a b', undefined, 7, {}];
  for (const name of given as string[]) {
    expect(await code(client.publish(name, 'n', '0')), String(name)).toBe('invalid');
    expect(await code(client.subscribe(name)), String(name)).toBe('invalid');
    expect(await code(client.room(name)), String(name)).toBe('invalid');
  }
  expect(await code(client.room('r/join?'))).toBe('invalid');
  await client.publish('f:names', 'n', '0');
  expect(lost).toEqual([]);
});

test('kills: nothing lost, nothing twice, nothing out of order', { timeout: 120_000 }, async () => {
  await using other = await Node.start();
  const [writer, reader] = [connect({ targets: other.url }), connect({ targets: other.url })];
  await reader.subscribe('f:kill', '0');
  const promises: Promise<string>[] = [];
  let isOver = false;
  const talk = async () => {
    while (!isOver) {
      promises.push(writer.publish('f:kill', 'n', String(promises.length)));
      // A server that is slow to come back is waited for, with a few hundred on their way.
      await promises[promises.length - 300];
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  const talked = talk();
  for (let kill = 0; kill < 3; kill += 1) {
    const before = reader.heard.length;
    await until(() => reader.heard.length > before + 20, 30_000);
    await other.end('SIGKILL');
    await other.start();
  }
  isOver = true;
  await talked;
  await Promise.all(promises);
  await until(() => reader.heard.length >= promises.length);
  expect(reader.heard).toEqual(numbers(promises.length));
});

test('a cut answer is asked for again, under the same name', async () => {
  let cut = 0;
  const client = connect({
    fetch: async (url, init) => {
      const response = await fetch(url, init);
      if (init.method !== 'POST' || cut > 2) return response;
      cut += 1;
      throw new TypeError('the network is gone');
    },
  });
  await client.publish('f:cut', 'n', '0');
  await client.subscribe('f:cut', '0');
  await client.publish('f:cut', 'n', '1');
  await until(() => client.heard.length >= 2);
  expect(client.heard).toEqual(['0', '1']);
  expect(cut).toBe(3);
});

test('what was sent on a socket is not sent again by POST, where the server would not know it', async () => {
  let [isBlocked, wasCut] = [false, false];
  let sockets = 0;
  class Fickle extends WebSocket {
    constructor(url: string, protocol: string) {
      super(isBlocked ? 'ws://127.0.0.1:9' : url, protocol);
      sockets += 1;
    }
    // The publish arrives, its answer does not.
    override send(text: string): void {
      if (text.includes('"publish"') && !wasCut) {
        isBlocked = wasCut = true;
        super.send(text, () => setTimeout(() => this.terminate(), 100));
        this.onmessage = null;
      } else super.send(text);
    }
  }
  const [client, other] = [connect({ WebSocket: Fickle }), connect({ WebSocket })];
  await other.subscribe('f:doubt');
  const offset = client.publish('f:doubt', 'n', '0');
  await until(() => sockets === 4);
  isBlocked = false;
  await offset;
  await other.publish('f:doubt', 'n', '1');
  await until(() => other.heard.includes('1'));
  expect(other.heard).toEqual(['0', '1']);
});

test('a token that ends makes place for another', async () => {
  let asked = 0;
  const client = connect({ getToken: () => mint(++asked === 1 ? -2 : 600) });
  await client.subscribe('f:token');
  await client.publish('f:token', 'n', '0');
  await until(() => client.heard.length === 1);
  await until(() => asked === 2);
});
