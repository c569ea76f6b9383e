/**
 * Channels in IndexedDB, one transaction for each act. It serves the cache that is made of it.
 *
 * Each message is a row of its own, and each channel has a head: up to where it was followed, how much there is, and the
 * sum of the rows' checksums. What is new is written, and nothing else is touched.
 *
 * Invariant: rows and head change together or not at all; what does not add up is removed and never given.
 */
import { parseJson } from '../check.js';
import { checksum, type Kept } from './cache.js';
import { decodeMessage, type WireMessage } from './heard.js';
import { BEGINNING, isAfter, sortable } from './offset.js';

export interface Limits {
  messages: number;
  /** Characters; half of them for one channel. */
  size: number;
}

/** From where a channel was followed, and whether this has been kept before. */
export interface Origin {
  readonly generation: string;
  readonly isStored: boolean;
}

interface Head {
  channel: string;
  /** Another whenever the channel is kept from its beginning anew. */
  generation: string;
  lastOffset: string;
  count: number;
  /** Characters. */
  size: number;
  /** Of the rows. */
  sum: number;
  /** The checksum of all above. */
  seal: number;
  used: number;
}

interface Row {
  channel: string;
  /** What the message replaces: a key, or in a plain channel nothing but itself. */
  id: string;
  /** Sorts as the offsets do. */
  order: string;
  text: string;
}

const HEADS = 'heads';
const ROWS = 'rows';
/** Rows that are looked at together when a channel is trimmed. */
const TRIM = 256;

/** `undefined` where there can be none. One that cannot be opened is thrown away, once: it is a cache. */
export async function openDatabase(factory: IDBFactory, name: string): Promise<IDBDatabase | undefined> {
  for (const isFirst of [true, false]) {
    try {
      const request = factory.open(name, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore(HEADS, { keyPath: 'channel' });
        request.result.createObjectStore(ROWS, { keyPath: ['channel', 'id'] });
      };
      const database = await answer(request);
      if ([HEADS, ROWS].every((store) => database.objectStoreNames.contains(store))) return database;
      database.close();
      throw new Error('another database of this name');
    } catch {
      if (isFirst) await remove(factory, name);
    }
  }
  return undefined;
}

async function remove(factory: IDBFactory, name: string): Promise<void> {
  try {
    await answer(factory.deleteDatabase(name));
  } catch {
    // Opening it will say so again.
  }
}

/** Carries out an act, wholly or not at all, and throws what kept it from being carried out. */
export async function transact<T>(database: IDBDatabase, act: (shelf: Shelf) => Promise<T>): Promise<T> {
  const transaction = database.transaction([HEADS, ROWS], 'readwrite', { durability: 'relaxed' });
  const done = new Promise<DOMException | null | undefined>((resolve) => {
    transaction.oncomplete = () => resolve(undefined);
    transaction.onabort = () => resolve(transaction.error);
  });
  const acted = act(new Shelf(transaction.objectStore(HEADS), transaction.objectStore(ROWS)));
  acted.catch(() => abort(transaction));
  // Why the transaction ended says more than that its requests failed.
  const error = await done;
  if (error) throw error;
  return acted;
}

/** What can be done to channels within one transaction. */
export class Shelf {
  constructor(
    readonly heads: IDBObjectStore,
    readonly rows: IDBObjectStore,
  ) {}

  /** What is kept of a channel, and its generation. Looking is using. */
  async read(channel: string): Promise<(Kept & { generation: string }) | undefined> {
    const head = await this.#head(channel);
    if (!head) return undefined;
    const rows: Row[] = await answer(this.rows.getAll(all(channel)));
    const sum = rows.reduce((before, row) => before + sumOf(row), 0) >>> 0;
    rows.sort((a, b) => (a.order < b.order ? -1 : 1));
    const messages = rows.map(({ text }) => decodeMessage(parseJson(text)));
    if (
      head.seal !== sealOf(head) ||
      sum !== head.sum ||
      !messages.every((message) => message !== undefined)
    ) {
      this.remove(channel);
      return undefined;
    }
    this.heads.put({ ...head, used: Date.now() });
    return { messages, lastOffset: head.lastOffset, generation: head.generation };
  }

  /**
   * Adds to a channel what followed, if its generation is still the one that was followed. Answers whether it is: if not,
   * somebody else has begun anew, or it has become too large, and whoever goes on would leave a hole.
   */
  async append(
    channel: string,
    { generation, isStored }: Origin,
    messages: readonly WireMessage[],
    limits: Limits,
  ): Promise<boolean> {
    const found = await this.#head(channel);
    if (found ? found.generation !== generation : isStored) return false;
    const head = found ?? this.#begin(channel, generation);
    // Another tab may have told some of it already.
    const fresh = messages.filter(({ offset }) => isAfter(offset, head.lastOffset));
    head.lastOffset = fresh.at(-1)?.offset ?? head.lastOffset;
    const isKeyed = fresh.some((message) => '@key' in message);
    await this.#put(head, newest(channel, fresh), isKeyed);
    if (isOver(head, limits)) {
      if (isKeyed) {
        this.remove(channel);
        return false;
      }
      await this.#trim(head, limits);
    }
    this.heads.put({ ...head, seal: sealOf(head), used: Date.now() });
    await this.#makeRoom(limits.size, channel);
    return true;
  }

  remove(channel: string): void {
    this.heads.delete(channel);
    this.rows.delete(all(channel));
  }

  /** Removes the channel that was unused for longest. Answers whether there was another. */
  async evict(except: string): Promise<boolean> {
    const [oldest] = await this.#others(except);
    if (oldest) this.remove(oldest.channel);
    return oldest !== undefined;
  }

  #begin(channel: string, generation: string): Head {
    this.remove(channel);
    return { channel, generation, lastOffset: BEGINNING, count: 0, size: 0, sum: 0, seal: 0, used: 0 };
  }

  #head(channel: string): Promise<Head | undefined> {
    return answer(this.heads.get(channel));
  }

  async #put(head: Head, rows: Row[], isKeyed: boolean): Promise<void> {
    const replaces = isKeyed && head.count > 0;
    // Asked for all at once: one after the other takes a hundred times as long.
    const olds = replaces ? rows.map(({ channel, id }) => answer<Row>(this.rows.get([channel, id]))) : [];
    for (const old of await Promise.all(olds)) if (old) count(head, old, -1);
    for (const row of rows) {
      count(head, row, 1);
      this.rows.put(row);
    }
  }

  /** A plain channel loses its oldest messages. */
  async #trim(head: Head, limits: Limits): Promise<void> {
    while (isOver(head, limits) && head.count > 0) {
      const rows: Row[] = await answer(this.rows.getAll(all(head.channel), TRIM));
      if (rows.length === 0) return;
      for (const row of rows) {
        if (!isOver(head, limits)) return;
        count(head, row, -1);
        this.rows.delete([row.channel, row.id]);
      }
    }
  }

  async #makeRoom(size: number, except: string): Promise<void> {
    const { size: own = 0 } = (await this.#head(except)) ?? {};
    const others = await this.#others(except);
    let used = others.reduce((sum, head) => sum + head.size, own);
    for (const head of others) {
      if (used <= size) return;
      this.remove(head.channel);
      used -= head.size;
    }
  }

  /** Those unused for longest first. */
  async #others(except: string): Promise<Head[]> {
    const heads: Head[] = await answer(this.heads.getAll());
    return heads.filter(({ channel }) => channel !== except).sort((a, b) => a.used - b.used);
  }
}

/** Rows of messages, of each key the newest. */
function newest(channel: string, messages: readonly WireMessage[]): Row[] {
  const rows = new Map<string, Row>();
  for (const message of messages) {
    const order = sortable(message.offset);
    const key = message['@key'];
    const id = typeof key === 'string' ? key : order;
    rows.set(id, { channel, id, order, text: JSON.stringify(message) });
  }
  return [...rows.values()];
}

function isOver({ count, size }: Head, limits: Limits): boolean {
  return count > limits.messages || size > limits.size / 2;
}

function count(head: Head, row: Row, by: 1 | -1): void {
  head.count += by;
  head.size += by * row.text.length;
  head.sum = (head.sum + by * sumOf(row)) >>> 0;
}

function sumOf({ id, order, text }: Row): number {
  return checksum(`${id} ${order} ${text}`);
}

function sealOf({ generation, lastOffset, count, size, sum }: Head): number {
  return checksum(`${generation} ${lastOffset} ${count} ${size} ${sum}`);
}

/** Every row of a channel: a list sorts behind every text. */
function all(channel: string): IDBKeyRange {
  return IDBKeyRange.bound([channel], [channel, []]);
}

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function abort(transaction: IDBTransaction): void {
  try {
    transaction.abort();
  } catch {
    // It is over already.
  }
}
