/**
 * The copy of the board in this browser, kept up. It serves the live board.
 * Invariant: what is written was true at one moment; and `isBehind` as long as something is not written.
 */
import { idle } from '../idle.js';
import { BEGINNING, type BoardChannel } from '../sync/channel.js';
import { parseElement } from '../sync/message.js';
import type { Follower, Replica } from '../sync/replica.js';
import { versionOf } from '../sync/version.js';
import { Pace } from './pace.js';
import type { Kept, KeptPlace, Store } from './store.js';

/** Milliseconds between two writes: a stroke under the hand is not written thirty times a second. */
const WRITE_EVERY = 300;
/** Elements in one transaction: some five milliseconds in which the page stands still. */
const PORTION = 250;
/** Milliseconds for which a write waits for a quiet moment. */
const LONGEST_NOISE = 500;
const NOWHERE: KeptPlace = { offset: BEGINNING, foreign: [] };

export class Copy {
  readonly #replica: Replica;
  readonly #follower: Follower;
  readonly #store: Store | undefined;
  readonly #pace = new Pace(WRITE_EVERY, () => void this.#writeBesides());
  #channel: BoardChannel | undefined;
  /** How far everything goes that was written. */
  #place: KeptPlace | undefined;
  #writing = 0;
  #isBesides = false;
  #hasFailed = false;

  /** Without a store, it is always behind. */
  constructor(replica: Replica, store: Store | undefined) {
    this.#replica = replica;
    this.#store = store;
    this.#follower = replica.follow('here', 'peer', 'channel');
    for (const id of replica.ids()) this.#follower.mark(id);
  }

  /** Whether the browser keeps what it is given. */
  get isWorking(): boolean {
    return this.#store !== undefined && !this.#hasFailed;
  }

  /** Whether something would be lost if the page went now. */
  get isBehind(): boolean {
    return !this.#store || this.#hasFailed || this.#writing > 0 || this.#follower.waiting > 0;
  }

  /** Puts what is kept into the replica, and lets the channel go on from there. */
  async restore(channel: BoardChannel): Promise<void> {
    this.#channel = channel;
    const kept = await this.#store?.load().catch(() => undefined);
    if (kept) {
      const unsent = kept.elements.filter((element) => this.#putBack(element) && element.isUnsent);
      // Without a place the elements are those of a page that never reached the channel.
      const { offset, foreign } = kept.place ?? NOWHERE;
      channel.resume(
        offset,
        unsent.map(({ id }) => id),
        foreign,
      );
      this.#place = kept.place;
    }
    void this.#store?.tidy().catch(() => undefined);
  }

  /** To be called when the replica, or what is unsent, may have changed. */
  request(): void {
    if (this.#store && this.#isDue() && !this.#isReading) this.#pace.request();
  }

  mark(id: string): void {
    this.#follower.mark(id);
  }

  /** Writes what has changed, all of it and now: the page may be going. */
  async write(): Promise<void> {
    await this.#write(Number.POSITIVE_INFINITY);
  }

  /** The same beside whatever else the page does, in portions: a large board has just come, and is to be seen first. */
  async #writeBesides(): Promise<void> {
    if (this.#isBesides) return;
    this.#isBesides = true;
    let written = 0;
    do {
      await idle(LONGEST_NOISE);
      written = await this.#write(PORTION);
      // What is less than a portion is what has changed meanwhile, and has the time of any change.
    } while (written === PORTION && !this.#hasFailed && !this.#isReading);
    this.#isBesides = false;
    if (!this.#hasFailed) this.request();
  }

  /** Answers how many elements that were. */
  async #write(most: number): Promise<number> {
    const channel = this.#channel;
    if (!this.#store || !channel || !this.#isDue()) return 0;
    const ids = this.#follower.take(most);
    const gone = ids.filter((id) => !this.#replica.get(id));
    const changed = ids.flatMap((id) => this.#kept(id, channel.unsent.has(id)));
    // What is kept may be ahead of its place, and is read once more then; it is never behind.
    const isAll = this.#follower.waiting === 0;
    const place = isAll ? { offset: channel.offset, foreign: channel.foreign } : this.#place;
    this.#writing += 1;
    try {
      await this.#store.write(place ?? NOWHERE, changed, gone);
      this.#place = place;
      this.#hasFailed = false;
    } catch {
      // Full, or forbidden meanwhile. It is tried again with the next change; `isBehind` tells until then.
      this.#hasFailed = true;
      for (const id of ids) this.#follower.mark(id);
    }
    this.#writing -= 1;
    return ids.length;
  }

  end(): void {
    void this.write().finally(() => this.#store?.close());
    this.#pace.end();
    this.#follower.end();
  }

  /** What is being read can be read again: it is written down once it is whole. */
  get #isReading(): boolean {
    return this.#channel?.standing === 'reading';
  }

  #isDue(): boolean {
    return this.#follower.waiting > 0 || this.#place?.offset !== this.#channel?.offset;
  }

  #putBack({ text, version }: Kept): boolean {
    const element = parseElement(text);
    if (!element || versionOf(element) !== version) return false;
    this.#replica.put(element, 'channel');
    this.#follower.unmark(element.id);
    return true;
  }

  #kept(id: string, isUnsent: boolean): Kept[] {
    const entry = this.#replica.get(id);
    return entry ? [{ id, version: entry.version, text: this.#replica.textOf(entry), isUnsent }] : [];
  }
}
