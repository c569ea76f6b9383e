/**
 * What a page remembers in IndexedDB: over reloads, in several tabs, in a database that is full, damaged or forbidden, and
 * against the real server. The browser's own IndexedDB is tried in e2e/test/toolkit.test.ts.
 *
 * Breakages tried on purpose, each of which makes tests fail: the seal is not looked at; the sum is not; the generation
 * is not; a gap clears nothing; replaced messages are not subtracted; a keyed channel is trimmed; nobody is evicted; a full
 * database is not tried again.
 */
import 'fake-indexeddb/auto';
import { IDBFactory, IDBObjectStore } from 'fake-indexeddb';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Cache } from '../src/channels/cache.js';
import type { Client, ClientOptions } from '../src/channels/client.js';
import { openDatabase, transact } from '../src/channels/database.js';
import { type IndexedDbOptions, indexedDb } from '../src/channels/database-cache.js';
import type { WireMessage } from '../src/channels/heard.js';
import { StorageCache } from '../src/channels/storage-cache.js';
import { until } from './node.js';
import { pick, seeded } from './random.js';
import { visitors } from './visitors.js';

let factory: IDBFactory;
beforeEach(() => {
  factory = new IDBFactory();
});
afterEach(() => {
  vi.restoreAllMocks();
});

const plain = (n: number, text = 'x'): WireMessage => ({ offset: `${n}-0`, text });
const keyed = (n: number, key: string, more = {}): WireMessage =>
  ({ offset: `${n}-0`, '@key': key, '@version': String(n), n: String(n), ...more }) as WireMessage;
const nothing = { messages: [], lastOffset: '0' };

/** A page that has just been loaded. */
const page = (options: IndexedDbOptions = {}) => indexedDb({ factory, ...options });

/** A page that follows a channel, and is told these. */
async function follow(
  channel: string,
  messages: WireMessage[],
  options: IndexedDbOptions = {},
): Promise<Cache> {
  const cache = page(options);
  await cache.open(channel);
  cache.add(channel, messages);
  await cache.load(channel);
  return cache;
}

/** Changes what is stored behind the cache's back. */
async function meddle(act: (rows: IDBObjectStore, heads: IDBObjectStore) => Promise<unknown> | unknown) {
  const database = await openDatabase(factory, 'inkwire:channels');
  if (!database) throw new Error('no database');
  await transact(database, async ({ rows, heads }) => act(rows as IDBObjectStore, heads as IDBObjectStore));
  database.close();
}

async function stored(): Promise<{ rows: number; heads: number }> {
  let found = { rows: 0, heads: 0 };
  const count = (store: IDBObjectStore) =>
    new Promise<number>((resolve) => {
      const request = store.count();
      request.onsuccess = () => resolve(request.result);
    });
  await meddle(async (rows, heads) => {
    found = { rows: await count(rows), heads: await count(heads) };
  });
  return found;
}

describe('a channel', () => {
  test('that nobody knows begins at the beginning', async () => {
    expect(await page().load('a')).toEqual(nothing);
  });

  test('survives a reload, and goes on', async () => {
    await follow('a', [plain(1), plain(2, 'é🖌" ')]);
    await follow('a', [plain(2), plain(3), plain(10)]);
    const { messages, lastOffset } = await page().load('a');
    expect(messages).toEqual([plain(1), plain(2, 'é🖌" '), plain(3), plain(10)]);
    expect(lastOffset).toBe('10-0');
  });

  test('is written by itself, a moment after the last message', async () => {
    const cache = page();
    await cache.open('a');
    cache.add('a', [plain(1)]);
    await vi.waitFor(async () => expect((await page().load('a')).messages).toEqual([plain(1)]));
  });

  test('keeps the newest message of each key, deletions too, in order', async () => {
    const deletion = keyed(4, 'b', { '@deleted': true });
    await follow('a', [keyed(1, 'a'), keyed(2, 'b'), keyed(3, 'a'), deletion]);
    await follow('a', [keyed(5, 'c'), keyed(6, 'a')]);
    expect((await page().load('a')).messages).toEqual([deletion, keyed(5, 'c'), keyed(6, 'a')]);
    expect(await stored()).toEqual({ rows: 3, heads: 1 });
  });

  test('is trimmed from its old end', async () => {
    const options = { maxMessages: 3 };
    const cache = page(options);
    await cache.open('a');
    for (let n = 1; n <= 9; n += 1) {
      cache.add('a', [plain(n)]);
      await cache.load('a');
    }
    const kept = { messages: [plain(7), plain(8), plain(9)], lastOffset: '9-0' };
    expect(await page(options).load('a')).toEqual(kept);
    await follow('a', [plain(10, 'x'.repeat(900))], { maxSize: 1_000 });
    expect(await page().load('a')).toEqual({ messages: [], lastOffset: '10-0' });
  });

  test('of too many keys is not kept at all, and not by the one who has seen it so', async () => {
    const options = { maxMessages: 3 };
    const cache = await follow('a', [keyed(1, 'a'), keyed(2, 'b'), keyed(3, 'c')], options);
    expect((await page().load('a')).messages).toHaveLength(3);
    cache.add('a', [keyed(4, 'd')]);
    expect(await cache.load('a')).toEqual(nothing);
    cache.add('a', [keyed(5, 'a')]);
    expect(await cache.load('a')).toEqual(nothing);
    expect(await stored()).toEqual({ rows: 0, heads: 0 });
  });

  test('that is cleared begins anew', async () => {
    const cache = await follow('a', [plain(1), plain(2)]);
    cache.clear('a');
    cache.add('a', [plain(1, 'another log')]);
    expect(await cache.load('a')).toEqual({ messages: [plain(1, 'another log')], lastOffset: '1-0' });
    expect(await page().load('a')).toEqual(await cache.load('a'));
  });

  test('is what following it gave, whatever happens: the same as in a storage', async () => {
    for (let seed = 0; seed < 20; seed += 1) {
      factory = new IDBFactory();
      const random = seeded(seed);
      const limits = { maxMessages: 8, maxSize: 100_000 };
      const items = new Map<string, string>();
      const storage = {
        length: 0,
        key: () => null,
        getItem: (key: string) => items.get(key) ?? null,
        setItem: (key: string, value: string) => void items.set(key, value),
        removeItem: (key: string) => void items.delete(key),
      };
      let [mine, model] = [page(limits), new StorageCache(storage, limits)];
      await mine.open('a');
      for (let n = 1; n < 60; n += 1) {
        const message = seed % 2 ? plain(n) : keyed(n, pick(['a', 'b', 'c', 'd', 'e'], random));
        mine.add('a', [message]);
        model.add('a', [message]);
        const next = random();
        if (next < 0.1) for (const cache of [mine, model]) cache.clear('a');
        if (next > 0.8) {
          expect(await mine.load('a'), `seed ${seed}, ${n}`).toEqual(model.load('a'));
          model.flush();
          mine.close('a');
          [mine, model] = [page(limits), new StorageCache(storage, limits)];
          await mine.open('a');
        }
      }
      mine.close('a');
      await mine.load('a');
    }
  });

  test('of ten thousand messages is not written again for one more', async () => {
    const many = Array.from({ length: 10_000 }, (_, n) => keyed(n + 1, `k${n}`));
    const cache = await follow('a', many);
    const puts = vi.spyOn(IDBObjectStore.prototype, 'put');
    cache.add('a', [keyed(10_001, 'k5'), keyed(10_002, 'new')]);
    const { messages, lastOffset } = await cache.load('a');
    expect(messages).toHaveLength(10_001);
    expect(lastOffset).toBe('10002-0');
    // Two rows and the head, and the head again for being looked at.
    expect(puts).toHaveBeenCalledTimes(4);
  });
});

describe('damage', () => {
  const isRemoved = async () => {
    expect(await page().load('a')).toEqual(nothing);
    expect(await stored()).toEqual({ rows: 0, heads: 0 });
    await follow('a', [plain(1)]);
    expect((await page().load('a')).messages).toEqual([plain(1)]);
  };
  const rowOf = (n: number, text: string) => {
    const order = `${String(n).padStart(20, '0')}-${'0'.repeat(20)}`;
    return { channel: 'a', id: order, order, text };
  };
  const asText = (message: WireMessage) => JSON.stringify(message);
  const damages: [string, Parameters<typeof meddle>[0]][] = [
    ['a row is missing', (rows) => rows.delete(['a', rowOf(1, '').id])],
    ['a row is changed', (rows) => rows.put(rowOf(1, asText(plain(1, 'y'))))],
    ['a row is no message', (rows) => rows.put(rowOf(1, '{'))],
    ['a row is added', (rows) => rows.put(rowOf(7, asText(plain(7))))],
    [
      'the head says more than there is',
      (_rows, heads) => {
        const request = heads.get('a');
        request.onsuccess = () => heads.put({ ...(request.result as object), lastOffset: '9-0' });
      },
    ],
  ];
  test.each(damages)('%s: it is removed', async (_name, act) => {
    await follow('a', [plain(1), plain(2)]);
    await meddle(act);
    await isRemoved();
  });

  test('rows without a head are none', async () => {
    await follow('a', [plain(1), plain(2)]);
    await meddle((_rows, heads) => heads.delete('a'));
    expect(await page().load('a')).toEqual(nothing);
    await follow('a', [plain(5)]);
    expect((await page().load('a')).messages).toEqual([plain(5)]);
  });

  test('another database of the name is replaced', async () => {
    await new Promise<void>((resolve) => {
      const request = factory.open('inkwire:channels', 3);
      request.onupgradeneeded = () => request.result.createObjectStore('notes');
      request.onsuccess = () => {
        request.result.close();
        resolve();
      };
    });
    await follow('a', [plain(1)]);
    expect((await page().load('a')).messages).toEqual([plain(1)]);
  });
});

describe('two tabs', () => {
  test('tell the same, and it is kept once', async () => {
    const [first, second] = [await follow('a', [plain(1)]), page()];
    await second.open('a');
    for (const n of [2, 3, 4]) {
      for (const cache of n % 2 ? [second, first] : [first, second]) {
        cache.add('a', [plain(n)]);
        await cache.load('a');
      }
    }
    expect((await page().load('a')).messages).toEqual([1, 2, 3, 4].map((n) => plain(n)));
  });

  test('and one that begins anew: the other adds no more', async () => {
    const [first, second] = [await follow('a', [plain(1)]), page()];
    await second.open('a');
    first.clear('a');
    first.add('a', [plain(1, 'new')]);
    await first.load('a');
    second.add('a', [plain(2), plain(3)]);
    await second.load('a');
    expect((await page().load('a')).messages).toEqual([plain(1, 'new')]);
    first.add('a', [plain(2, 'new')]);
    await first.load('a');
    expect((await page().load('a')).messages).toEqual([plain(1, 'new'), plain(2, 'new')]);
  });

  test('and one whose channel was evicted leaves no hole', async () => {
    const first = await follow('a', [plain(1)]);
    const second = page();
    second.clear('a');
    await second.load('a');
    first.add('a', [plain(2)]);
    expect(await first.load('a')).toEqual(nothing);
  });

  test('one that removes the database does not wait for the other', async () => {
    const cache = await follow('a', [plain(1)]);
    await new Promise<void>((resolve, reject) => {
      const request = factory.deleteDatabase('inkwire:channels');
      request.onsuccess = () => resolve();
      request.onblocked = () => reject(new Error('blocked'));
    });
    expect(await cache.load('a')).toEqual(nothing);
  });
});

describe('room', () => {
  test('is made by those unused for longest', async () => {
    let now = 1_000;
    vi.spyOn(Date, 'now').mockImplementation(() => now++);
    for (const channel of ['a', 'b', 'c', 'd']) {
      await follow(channel, [plain(1, 'x'.repeat(100))], { maxSize: 400 });
      await page().load('a');
    }
    const kept = [];
    for (const channel of ['a', 'b', 'c', 'd']) {
      if ((await page().load(channel)).messages.length > 0) kept.push(channel);
    }
    expect(kept).toEqual(['a', 'c', 'd']);
  });

  /** The next so many rows find the disk full. */
  function full(times: number): void {
    const put = IDBObjectStore.prototype.put;
    let left = times;
    vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(function (this: IDBObjectStore, value, key) {
      if ('text' in (value as object) && left > 0) {
        left -= 1;
        throw new DOMException('full', 'QuotaExceededError');
      }
      return put.call(this, value, key);
    });
  }

  test('that others take is done without', async () => {
    await follow('a', [plain(1)]);
    full(1);
    await follow('b', [plain(1)]);
    vi.restoreAllMocks();
    expect(await page().load('a')).toEqual(nothing);
    expect((await page().load('b')).messages).toEqual([plain(1)]);
    full(Number.POSITIVE_INFINITY);
    const cache = await follow('c', [plain(1)]);
    vi.restoreAllMocks();
    cache.add('c', [plain(2)]);
    expect(await cache.load('c')).toEqual(nothing);
  });

  test('that others take for a moment leaves no hole', async () => {
    const cache = page();
    await cache.open('a');
    full(1);
    for (const n of [1, 2]) {
      cache.add('a', [keyed(n, `k${n}`)]);
      cache.flush();
    }
    expect(await cache.load('a')).toEqual(nothing);
  });

  test('that does not answer holds nobody up', async () => {
    vi.useFakeTimers();
    const never = { open: () => ({}), deleteDatabase: () => ({}) } as unknown as IDBFactory;
    const opened = indexedDb({ factory: never }).open('a');
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await opened).toEqual(nothing);
    vi.useRealTimers();
  });

  test('that is forbidden is as good as none', async () => {
    const no = () => {
      throw new Error('forbidden');
    };
    const cache = indexedDb({ factory: { open: no, deleteDatabase: no } as unknown as IDBFactory });
    expect(await cache.open('a')).toEqual(nothing);
    cache.add('a', [plain(1)]);
    cache.flush();
    cache.clear('a');
    expect(await cache.load('a')).toEqual(nothing);
    cache.close('a');
  });
});

describe('against the server', () => {
  const home = visitors();
  const visit = (options: ClientOptions = {}) => home.connect({ cache: page(), ...options });
  const texts = async (client: Client, channel: string) =>
    (await client.load(channel)).messages.map(({ n }) => n);

  test('a reload shows what was there, and what came meanwhile follows', async () => {
    const [first, writer] = [visit(), visit()];
    for (const n of ['0', '1']) await writer.publish('d:reload', { n });
    await first.subscribe('d:reload', 'last');
    await until(() => first.heard.length === 2);
    first.close();
    for (const n of ['2', '3']) await writer.publish('d:reload', { n });

    expect(await texts(visit({ targets: 'http://127.0.0.1:9' }), 'd:reload')).toEqual(['0', '1']);
    const second = visit();
    await second.subscribe('d:reload', 'last');
    await until(() => second.heard.length === 2);
    expect(second.heard).toEqual(['2', '3']);
    expect(await texts(second, 'd:reload')).toEqual(['0', '1', '2', '3']);
    // A second time on the same page.
    await second.unsubscribe('d:reload');
    await writer.publish('d:reload', { n: '4' });
    await second.subscribe('d:reload', 'last');
    await until(() => second.heard.length === 3);
    expect(await texts(second, 'd:reload')).toHaveLength(5);
  });

  test('a gap clears it, and what is told then fills it', async () => {
    const writer = visit();
    // From a log that has been wiped since.
    await follow('d:gap', [{ offset: '9999999999999-0', n: 'old' }]);
    await writer.publish('d:gap', { n: 'new' });
    const client = visit();
    expect(await client.subscribe('d:gap', 'last')).toMatchObject({ gap: true });
    await until(() => client.heard.length === 1);
    expect(await texts(client, 'd:gap')).toEqual(['new']);
    client.close();
    await vi.waitFor(async () => expect(await texts(visit(), 'd:gap')).toEqual(['new']));
  });

  test('who begins elsewhere, or ends before it has begun, leaves no hole in it', async () => {
    const client = visit();
    await client.publish('d:hole', { n: '0' });
    const refused = client.subscribe('d:hole', 'last');
    await Promise.all([
      expect(refused).rejects.toMatchObject({ code: 'closed' }),
      client.unsubscribe('d:hole'),
    ]);
    await client.load('d:hole');
    await client.subscribe('d:hole');
    await client.publish('d:hole', { n: '1' });
    await until(() => client.heard.length === 1);
    client.close();
    expect(await visit().load('d:hole')).toEqual(nothing);
  });

  test('a second subscription while the first still opens is a conflict', async () => {
    const client = visit();
    const first = client.subscribe('d:twice', 'last');
    await expect(client.subscribe('d:twice', 'last')).rejects.toMatchObject({ code: 'conflict' });
    expect(await first).toMatchObject({ gap: false });
  });
});
