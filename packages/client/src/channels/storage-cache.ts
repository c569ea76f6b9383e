/**
 * A cache in `localStorage`, or whatever has its methods. It serves the client, and is what it uses unless told otherwise.
 *
 * Per channel there is one item in the storage: when it was last used, a checksum, and the messages up to an offset.
 *
 * Invariant: an item is written as a whole, so a page that dies between two writes has an older state, never half of one.
 */
import { isRecord, parseJson } from '../check.js';
import { type Cache, checksum, type Kept } from './cache.js';
import { decodeMessage, type WireMessage } from './heard.js';
import { BEGINNING, isAfter, isOffset } from './offset.js';

/** As much of `localStorage` as is used. */
export type CacheStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'key' | 'length'>;

export interface CacheOptions {
  /** `localStorage` by default, where there is one. */
  storage?: CacheStorage;
  /** Before the channel's name in the keys of the storage; another for each user of a shared browser. */
  prefix?: string;
  /** Messages kept of a channel, 10,000 by default. A keyed channel with more keys is not kept at all. */
  maxMessages?: number;
  /** Characters kept in all, 4,000,000 by default: browsers give 5 Mi. The channels unused for longest go first. */
  maxSize?: number;
}

interface Entry {
  /** By key, or by offset where there is none; in the order of the offsets. */
  messages: Map<string, { message: WireMessage; text: string }>;
  lastOffset: string;
  size: number;
  isKeyed: boolean;
  isDirty: boolean;
  /** A keyed channel that is too large: without some of its keys it would be wrong, so nothing is kept. */
  isGivenUp: boolean;
}

/** Milliseconds between a message and its writing: a busy channel is not written for every stroke. */
const WRITE_AFTER = 250;
/** The first word of an item; another format will have another. */
const FORMAT = '1';

export class StorageCache implements Cache {
  readonly #storage: CacheStorage;
  readonly #prefix: string;
  readonly #maxMessages: number;
  readonly #maxSize: number;
  readonly #open = new Map<string, Entry>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(storage: CacheStorage, options: CacheOptions) {
    this.#storage = storage;
    this.#prefix = options.prefix ?? 'inkwire:';
    this.#maxMessages = options.maxMessages ?? 10_000;
    this.#maxSize = options.maxSize ?? 4_000_000;
  }

  load(channel: string): Kept {
    const entry = this.#entry(channel);
    const { messages, lastOffset } = entry;
    if (messages.size > 0 && !entry.isDirty) this.#stamp(this.#prefix + channel);
    return { messages: [...messages.values()].map(({ message }) => message), lastOffset };
  }

  open(channel: string): Kept {
    return this.load(channel);
  }

  /** Takes what followed `lastOffset`. */
  add(channel: string, messages: readonly WireMessage[]): void {
    const entry = this.#entry(channel);
    if (entry.isGivenUp) return;
    for (const message of messages) {
      if (!isAfter(message.offset, entry.lastOffset)) continue;
      put(entry, message, JSON.stringify(message));
      entry.lastOffset = message.offset;
    }
    this.#trim(entry);
    this.#touch(entry);
  }

  /** What was kept counts no more. What follows goes on after `offset`. */
  clear(channel: string): void {
    this.#open.set(channel, emptyEntry());
    this.#attempt(() => this.#storage.removeItem(this.#prefix + channel));
  }

  /** Writes a channel and lets go of it: the next look is at what the storage has then. */
  close(channel: string): void {
    this.flush();
    this.#open.delete(channel);
  }

  /** Writes what is new; to be called before a page goes. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [channel, entry] of this.#open) {
      if (entry.isDirty) this.#write(channel, entry);
    }
  }

  #entry(channel: string): Entry {
    const open = this.#open.get(channel) ?? this.#read(channel);
    this.#open.set(channel, open);
    return open;
  }

  /** What is looked at is in use, and the last to be evicted. No more of it is written: other tabs may know more by now. */
  #stamp(key: string): void {
    this.#attempt(() => {
      const item = this.#storage.getItem(key);
      if (item) this.#storage.setItem(key, item.replace(/ \d+/, ` ${Date.now()}`));
    });
  }

  /** What is damaged is removed, and read again from the server. */
  #read(channel: string): Entry {
    const key = this.#prefix + channel;
    const item = this.#attempt(() => this.#storage.getItem(key));
    if (typeof item !== 'string') return emptyEntry();
    const entry = decodeItem(item);
    if (!entry) this.#attempt(() => this.#storage.removeItem(key));
    return entry ?? emptyEntry();
  }

  /** A plain channel loses its oldest messages. A keyed one would lose keys, and nobody would bring them again. */
  #trim(entry: Entry): void {
    const isOver = () => entry.messages.size > this.#maxMessages || entry.size > this.#maxSize / 2;
    if (!isOver()) return;
    if (entry.isKeyed) {
      Object.assign(entry, { ...emptyEntry(), isGivenUp: true });
      return;
    }
    for (const [offset, { text }] of entry.messages) {
      if (!isOver()) return;
      entry.messages.delete(offset);
      entry.size -= text.length;
    }
  }

  #touch(entry: Entry): void {
    entry.isDirty = true;
    this.#timer ??= setTimeout(() => this.flush(), WRITE_AFTER);
  }

  #write(channel: string, entry: Entry): void {
    entry.isDirty = false;
    const key = this.#prefix + channel;
    if (entry.isGivenUp) {
      this.#attempt(() => this.#storage.removeItem(key));
      return;
    }
    const item = encodeItem(entry);
    this.#makeRoom(this.#maxSize - item.length, key);
    // Full all the same: other things are in there. One channel after the other makes place.
    for (;;) {
      if (this.#attempt(() => this.#storage.setItem(key, item) ?? true)) return;
      if (!this.#evict(key)) break;
    }
    this.#attempt(() => this.#storage.removeItem(key));
  }

  #makeRoom(size: number, except: string): void {
    let used = 0;
    for (const key of this.#keys()) {
      if (key !== except) used += this.#attempt(() => this.#storage.getItem(key))?.length ?? 0;
    }
    while (used > size) {
      const freed = this.#evict(except);
      if (!freed) return;
      used -= freed;
    }
  }

  /** Removes the channel that was unused for longest; answers its size, or 0 if there is none. */
  #evict(except: string): number {
    let oldest: { key: string; used: number; size: number } | undefined;
    for (const key of this.#keys()) {
      if (key === except) continue;
      const item = this.#attempt(() => this.#storage.getItem(key)) ?? '';
      const used = Number(item.split(' ', 2)[1]) || 0;
      if (!oldest || used < oldest.used) oldest = { key, used, size: item.length };
    }
    if (!oldest) return 0;
    const { key, size } = oldest;
    this.#attempt(() => this.#storage.removeItem(key));
    return Math.max(size, 1);
  }

  #keys(): string[] {
    const all = this.#attempt(() =>
      Array.from({ length: this.#storage.length }, (_, at) => this.#storage.key(at) ?? ''),
    );
    return (all ?? []).filter((key) => key.startsWith(this.#prefix));
  }

  /** A storage that is full, or forbidden, is as good as none. */
  #attempt<T>(act: () => T): T | undefined {
    try {
      return act();
    } catch {
      return undefined;
    }
  }
}

function emptyEntry(): Entry {
  return {
    messages: new Map(),
    lastOffset: BEGINNING,
    size: 0,
    isKeyed: false,
    isDirty: false,
    isGivenUp: false,
  };
}

function put(entry: Entry, message: WireMessage, text: string): void {
  const key = message['@key'];
  const isKeyed = typeof key === 'string';
  const id = isKeyed ? `k${key}` : message.offset;
  entry.isKeyed = isKeyed;
  entry.size += text.length - (entry.messages.get(id)?.text.length ?? 0);
  // Deleted first, so that it moves to the end.
  entry.messages.delete(id);
  entry.messages.set(id, { message, text });
}

/** The storage of the options, or the page's own. `undefined` where there is none, or it is forbidden. */
export function storageOf({ storage }: CacheOptions): CacheStorage | undefined {
  if (storage) return storage;
  try {
    // Node has one too, from 25 on, for whole folders: there it is not what anybody expects.
    return typeof document === 'undefined' ? undefined : globalThis.localStorage;
  } catch {
    return undefined;
  }
}

/** `1 <last used> <checksum> <body>` */
function encodeItem({ messages, lastOffset }: Entry): string {
  const texts = [...messages.values()].map(({ text }) => text);
  const body = `{"lastOffset":"${lastOffset}","messages":[${texts.join()}]}`;
  return `${FORMAT} ${Date.now()} ${checksum(body).toString(36)} ${body}`;
}

function decodeItem(item: string): Entry | undefined {
  const [format, used = '', sum = ''] = item.split(' ', 3);
  const body = item.slice(FORMAT.length + used.length + sum.length + 3);
  if (format !== FORMAT || sum !== checksum(body).toString(36)) return undefined;
  const value = parseJson(body);
  if (!isRecord(value) || !Array.isArray(value.messages)) return undefined;
  const { lastOffset } = value;
  if (!isOffset(lastOffset) && lastOffset !== BEGINNING) return undefined;
  const entry = emptyEntry();
  for (const each of value.messages) {
    const message = decodeMessage(each);
    if (!message) return undefined;
    put(entry, message, JSON.stringify(message));
  }
  entry.lastOffset = lastOffset;
  return entry;
}
