/**
 * A cache in IndexedDB, for channels with more than `localStorage` carries. It serves pages that ask for it.
 * Invariant: only who knows a channel's generation adds to it, so several tabs may share a database, and none writes a hole
 * into what another keeps.
 */
import type { Cache, Kept } from './cache.js';
import { type Limits, openDatabase, type Shelf, transact } from './database.js';
import type { WireMessage } from './heard.js';
import { BEGINNING } from './offset.js';

export interface IndexedDbOptions {
  /** The page's own by default. Without one nothing is kept. */
  factory?: IDBFactory;
  /** Before the name of the database, `channels`; another for each user of a shared browser. */
  prefix?: string;
  /** Messages kept of a channel, 100,000 by default. A keyed channel with more keys is not kept at all. */
  maxMessages?: number;
  /** Characters kept in all, 50,000,000 by default. The channels unused for longest go first. */
  maxSize?: number;
}

/** A cache for `createClient({ cache })`. */
export function indexedDb(options: IndexedDbOptions = {}): Cache {
  return new DatabaseCache(options);
}

/** A channel that is followed. */
interface Followed {
  generation: string;
  /** Whether the database has seen this generation. */
  isStored: boolean;
  /** Not written yet. */
  fresh: WireMessage[];
  /** Messages on their way, and not written yet either. */
  writing: number;
  isGivenUp: boolean;
}

/** Milliseconds between a message and its writing: what comes in between is written with it. */
const WRITE_AFTER = 250;
/** Milliseconds. Browsers have been seen that never answer; a page must not wait for its cache so long. */
const PATIENCE = 5_000;

class DatabaseCache implements Cache {
  readonly #name: string;
  readonly #factory: IDBFactory | undefined;
  readonly #limits: Limits;
  readonly #followed = new Map<string, Followed>();
  #database: Promise<IDBDatabase | undefined> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: IndexedDbOptions) {
    this.#factory = options.factory ?? pageFactory();
    this.#name = `${options.prefix ?? 'inkwire:'}channels`;
    this.#limits = { messages: options.maxMessages ?? 100_000, size: options.maxSize ?? 50_000_000 };
  }

  load(channel: string): Promise<Kept> {
    return this.#read(channel);
  }

  open(channel: string): Promise<Kept> {
    const followed = begun();
    this.#followed.set(channel, followed);
    return this.#read(channel, followed);
  }

  add(channel: string, messages: readonly WireMessage[]): void {
    const followed = this.#followed.get(channel);
    if (!followed || followed.isGivenUp) return;
    followed.fresh.push(...messages);
    this.#timer ??= setTimeout(() => this.flush(), WRITE_AFTER);
    // A database that does not answer must not make us hold more than it would.
    if (followed.fresh.length + followed.writing > 2 * this.#limits.messages) giveUp(followed);
  }

  clear(channel: string): void {
    if (this.#followed.has(channel)) this.#followed.set(channel, begun());
    void this.#attempt(channel, async (shelf) => shelf.remove(channel));
  }

  close(channel: string): void {
    this.flush();
    this.#followed.delete(channel);
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [channel, followed] of this.#followed) {
      if (followed.fresh.length > 0) void this.#write(channel, followed);
    }
  }

  async #read(channel: string, followed?: Followed): Promise<Kept> {
    this.flush();
    const found = await this.#attempt(channel, (shelf) => shelf.read(channel));
    if (!found) return { messages: [], lastOffset: BEGINNING };
    const { generation, messages, lastOffset } = found;
    if (followed) {
      followed.generation = generation;
      followed.isStored = true;
    }
    return { messages, lastOffset };
  }

  async #write(channel: string, followed: Followed): Promise<void> {
    const messages = followed.fresh.splice(0);
    followed.writing += messages.length;
    const isWritten = await this.#attempt(channel, async (shelf) =>
      followed.isGivenUp ? false : shelf.append(channel, followed, messages, this.#limits),
    );
    followed.writing -= messages.length;
    if (isWritten) followed.isStored = true;
    else giveUp(followed);
  }

  /** One act after the other: what could not be written must not be followed by what could. */
  #attempt<T>(channel: string, act: (shelf: Shelf) => Promise<T>): Promise<T | undefined> {
    const acted = this.#turn.then(() => this.#try(channel, act));
    this.#turn = acted;
    return acted;
  }

  /** `undefined` where it cannot be done. A database that is full is made room in, one channel after the other. */
  async #try<T>(channel: string, act: (shelf: Shelf) => Promise<T>): Promise<T | undefined> {
    for (;;) {
      const database = await this.#open();
      if (!database) return undefined;
      try {
        return await transact(database, act);
      } catch (error) {
        if (!isFull(error) || !(await this.#evict(database, channel))) return undefined;
      }
    }
  }

  async #evict(database: IDBDatabase, except: string): Promise<boolean> {
    return transact(database, (shelf) => shelf.evict(except)).catch(() => false);
  }

  #open(): Promise<IDBDatabase | undefined> {
    this.#database ??= this.#factory
      ? openInTime(this.#factory, this.#name).then((database) => this.#watch(database))
      : Promise.resolve(undefined);
    return this.#database;
  }

  /** It may be closed under us: by another tab that removes it, or by a browser that cleans up. Then it is opened anew. */
  #watch(database: IDBDatabase | undefined): IDBDatabase | undefined {
    const forget = () => {
      database?.close();
      this.#database = undefined;
    };
    if (database) {
      database.onversionchange = forget;
      database.onclose = forget;
    }
    return database;
  }
}

async function openInTime(factory: IDBFactory, name: string): Promise<IDBDatabase | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), PATIENCE);
  });
  try {
    return await Promise.race([openDatabase(factory, name), late]);
  } finally {
    clearTimeout(timer);
  }
}

function begun(): Followed {
  return {
    generation: crypto.getRandomValues(new Uint32Array(4)).join('-'),
    isStored: false,
    fresh: [],
    writing: 0,
    isGivenUp: false,
  };
}

/** What is kept has no hole; it would have one if we went on. */
function giveUp(followed: Followed): void {
  followed.isGivenUp = true;
  followed.fresh = [];
}

function isFull(error: unknown): boolean {
  return error instanceof Error && error.name === 'QuotaExceededError';
}

function pageFactory(): IDBFactory | undefined {
  try {
    return globalThis.indexedDB;
  } catch {
    // A page that may keep nothing may not even ask.
    return undefined;
  }
}
