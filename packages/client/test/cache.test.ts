/**
 * What a page remembers: over reloads, in a storage that is full, damaged or forbidden, and against the real server.
 *
 * Breakages tried on purpose, each of which makes tests fail: the checksum is not looked at; a gap clears nothing; keyed
 * messages are kept one behind the other; a keyed channel is trimmed like a plain one; nobody is evicted; every
 * subscription fills the cache.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import type { Client, ClientOptions } from '../src/channels/client.js';
import type { WireMessage } from '../src/channels/heard.js';
import { type CacheOptions, type CacheStorage, StorageCache } from '../src/channels/storage-cache.js';
import { until } from './node.js';
import { visitors } from './visitors.js';

/** A storage as browsers have it, which is full at so many characters. */
class Shelf implements CacheStorage {
  readonly items = new Map<string, string>();
  full = Number.POSITIVE_INFINITY;

  get length(): number {
    return this.items.size;
  }
  key(at: number): string | null {
    return [...this.items.keys()][at] ?? null;
  }
  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    const others = [...this.items].filter(([other]) => other !== key);
    if (others.reduce((sum, [, item]) => sum + item.length, value.length) > this.full)
      throw new Error('full');
    this.items.set(key, value);
  }
  removeItem(key: string): void {
    this.items.delete(key);
  }
}

let shelf: Shelf;
beforeEach(() => {
  shelf = new Shelf();
});

const plain = (n: number, text = 'x'): WireMessage => ({ offset: `${n}-0`, text });
const keyed = (n: number, key: string, more = {}): WireMessage =>
  ({ offset: `${n}-0`, '@key': key, '@version': String(n), n: String(n), ...more }) as WireMessage;

/** Writes, and looks with other eyes. */
function reload(cache: StorageCache, options: CacheOptions = {}): StorageCache {
  cache.flush();
  return new StorageCache(shelf, options);
}

describe('a channel', () => {
  test('that nobody knows begins at the beginning', () => {
    expect(new StorageCache(shelf, {}).load('a')).toEqual({ messages: [], lastOffset: '0' });
  });

  test('survives a reload, and goes on', () => {
    const cache = new StorageCache(shelf, {});
    cache.add('a', [plain(1), plain(2, 'é🖌" ')]);
    const later = reload(cache);
    later.add('a', [plain(2), plain(3)]);
    const { messages, lastOffset } = reload(later).load('a');
    expect(messages).toEqual([plain(1), plain(2, 'é🖌" '), plain(3)]);
    expect(lastOffset).toBe('3-0');
  });

  test('keeps the newest message of each key, deletions too', () => {
    const cache = new StorageCache(shelf, {});
    const deletion = keyed(4, 'b', { '@deleted': true });
    cache.add('a', [keyed(1, 'a'), keyed(2, 'b'), keyed(3, 'a'), deletion]);
    expect(reload(cache).load('a').messages).toEqual([keyed(3, 'a'), deletion]);
  });

  test('is trimmed from its old end', () => {
    const options = { maxMessages: 3 };
    const cache = new StorageCache(shelf, options);
    for (let n = 1; n <= 9; n += 1) cache.add('a', [plain(n)]);
    const { messages, lastOffset } = reload(cache, options).load('a');
    expect(messages).toEqual([plain(7), plain(8), plain(9)]);
    expect(lastOffset).toBe('9-0');
    cache.add('a', [plain(10, 'x'.repeat(5_000_000))]);
    expect(cache.load('a')).toEqual({ messages: [], lastOffset: '10-0' });
  });

  test('of too many keys is not kept at all', () => {
    const options = { maxMessages: 3 };
    const cache = new StorageCache(shelf, options);
    cache.add('a', [keyed(1, 'a'), keyed(2, 'b'), keyed(3, 'c')]);
    expect(reload(cache, options).load('a').messages).toHaveLength(3);
    cache.add('a', [keyed(4, 'd')]);
    cache.add('a', [keyed(5, 'a')]);
    expect(reload(cache, options).load('a')).toEqual({ messages: [], lastOffset: '0' });
    expect(shelf.items.size).toBe(0);
  });

  test('that is only looked at is not written over what another tab wrote meanwhile', () => {
    const writing = new StorageCache(shelf, {});
    writing.add('a', [plain(1)]);
    const looking = reload(writing);
    looking.load('a');
    writing.add('a', [plain(2)]);
    writing.flush();
    looking.flush();
    expect(new StorageCache(shelf, {}).load('a').lastOffset).toBe('2-0');
  });

  test('that is damaged is noticed, wherever it is', () => {
    const cache = new StorageCache(shelf, {});
    cache.add('a', [plain(1), keyed(2, 'k')]);
    cache.flush();
    const [[key, item] = ['', '']] = [...shelf.items];
    for (let at = 0; at < item.length; at += 1) {
      // When it was last used may be anything.
      if (at > 1 && at < item.indexOf(' ', 2)) continue;
      for (const bad of [item.slice(0, at), `${item.slice(0, at)}#${item.slice(at + 1)}`]) {
        shelf.items.set(key, bad);
        expect(new StorageCache(shelf, {}).load('a')).toEqual({ messages: [], lastOffset: '0' });
        expect(shelf.items.size).toBe(0);
      }
    }
    shelf.items.set(key, item);
    expect(new StorageCache(shelf, {}).load('a').messages).toHaveLength(2);
  });
});

describe('room', () => {
  test('is made by those unused for longest', async () => {
    shelf.setItem('somebody else', 'x');
    const options = { maxSize: 500 };
    for (const channel of ['a', 'b', 'c', 'd']) {
      const cache = new StorageCache(shelf, options);
      cache.add(channel, [plain(1, 'x'.repeat(100))]);
      cache.flush();
      await new Promise((resolve) => setTimeout(resolve, 2));
      // Looking is using.
      const other = new StorageCache(shelf, options);
      other.load('a');
      other.flush();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect([...shelf.items.keys()].sort()).toEqual(['inkwire:a', 'inkwire:d', 'somebody else']);
  });

  test('that others take is done without', () => {
    const cache = new StorageCache(shelf, {});
    cache.add('a', [plain(1, 'x'.repeat(100))]);
    cache.flush();
    shelf.full = 200;
    cache.add('b', [plain(1, 'x'.repeat(100))]);
    cache.flush();
    expect([...shelf.items.keys()]).toEqual(['inkwire:b']);
    shelf.full = 10;
    cache.add('b', [plain(2)]);
    cache.flush();
    expect(shelf.items.size).toBe(0);
    expect(cache.load('b').messages).toHaveLength(2);
  });

  test('that is forbidden is as good as none', () => {
    const no = () => {
      throw new Error('forbidden');
    };
    const cache = new StorageCache({ getItem: no, setItem: no, removeItem: no, key: no, length: 1 }, {});
    cache.add('a', [plain(1)]);
    cache.flush();
    cache.clear('a');
    expect(cache.load('a').messages).toEqual([]);
  });
});

describe('against the server', () => {
  const home = visitors();
  /** A page that has just been loaded. */
  const page = (options: ClientOptions = {}) => home.connect({ cache: { storage: shelf }, ...options });
  const texts = async (client: Client, channel: string) => {
    const { messages } = await client.load(channel);
    return messages.map(({ n }) => n);
  };

  test('a reload shows what was there, and what came meanwhile follows', async () => {
    const [first, writer] = [page(), page()];
    for (const n of ['0', '1']) await writer.publish('c:reload', { n });
    await first.subscribe('c:reload', 'last');
    await until(() => first.heard.length === 2);
    first.close();
    for (const n of ['2', '3']) await writer.publish('c:reload', { n });

    const blocked = page({ targets: 'http://127.0.0.1:9' });
    expect(await texts(blocked, 'c:reload')).toEqual(['0', '1']);
    const second = page();
    expect(await texts(second, 'c:reload')).toEqual(['0', '1']);
    await second.subscribe('c:reload', 'last');
    await until(() => second.heard.length === 2);
    expect(second.heard).toEqual(['2', '3']);
    expect(await texts(second, 'c:reload')).toEqual(['0', '1', '2', '3']);
    // A second time on the same page.
    await second.unsubscribe('c:reload');
    await writer.publish('c:reload', { n: '4' });
    await second.subscribe('c:reload', 'last');
    await until(() => second.heard.length === 3);
    expect(await texts(second, 'c:reload')).toHaveLength(5);
  });

  test('a page that dies between two writes only has to be told again', async () => {
    const [first, writer] = [page(), page()];
    await writer.publish('c:dies', { n: '0' });
    await first.subscribe('c:dies', 'last');
    await until(() => shelf.items.size === 1);
    for (let n = 1; n < 50; n += 1) await writer.publish('c:dies', { n });
    const remains = new Map(shelf.items);
    await until(() => first.heard.length === 50);
    first.close();
    shelf.items.clear();
    for (const [key, item] of remains) shelf.items.set(key, item);
    const second = page();
    const had = await texts(second, 'c:dies');
    await second.subscribe('c:dies', 'last');
    await until(() => had.length + second.heard.length >= 50);
    expect([...had, ...second.heard]).toEqual(Array.from({ length: 50 }, (_, n) => String(n)));
  });

  test('a gap clears it, and what is told then fills it', async () => {
    const writer = page();
    const old = new StorageCache(shelf, {});
    // From a log that has been wiped since.
    old.add('c:gap', [{ offset: '9999999999999-0', n: 'old' }]);
    old.flush();
    await writer.publish('c:gap', { n: 'new' });
    const client = page();
    let gaps = 0;
    client.on('gap', () => {
      gaps += 1;
    });
    expect(await client.subscribe('c:gap', 'last')).toMatchObject({ gap: true });
    await until(() => client.heard.length === 1);
    expect(gaps).toBe(1);
    expect(await texts(client, 'c:gap')).toEqual(['new']);
    client.close();
    expect(await texts(page(), 'c:gap')).toEqual(['new']);
  });

  test('who begins elsewhere leaves no hole in it', async () => {
    const client = page();
    await client.publish('c:hole', { n: '0' });
    await client.subscribe('c:hole');
    await client.publish('c:hole', { n: '1' });
    await until(() => client.heard.length === 1);
    client.close();
    expect(await page().load('c:hole')).toEqual({ messages: [], lastOffset: '0' });
  });

  test('without a cache, `last` is everything', async () => {
    const client = home.connect();
    await client.publish('c:none', { n: '0' });
    const { value } = await client.messages('c:none', 'last').next();
    expect(value?.n).toBe('0');
    expect(await client.load('c:none')).toEqual({ messages: [], lastOffset: '0' });
  });
});
