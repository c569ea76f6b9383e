/**
 * One copy of a board: elements by id, the newest of each. It serves the editor, the peers and the room's channel alike.
 * Invariant: what it holds depends on the set of elements ever put into it, and not on their order or number.
 *
 * Every reader is a follower: a set of ids it has not taken yet. A slow one holds no copies, only ids, and takes what is
 * newest when it comes round to it.
 */
import type { BoardElement } from './element.js';
import { beats, versionOf } from './version.js';

/** More elements than this are no drawing but an attack; new ones are refused, and the caller counts them. */
export const MOST_ELEMENTS = 100_000;

export interface Entry {
  readonly version: string;
  readonly element: BoardElement;
}

/**
 * Where a change was learned of. The mesh follows what is made `here`; what a `peer` sends is not passed on, for it sends to
 * all of them itself. The editor, which makes the first kind, follows the other two; and the `channel` is not told what
 * it has said itself.
 */
export type Origin = 'here' | 'peer' | 'channel';

/** `stale`: what we hold is the same or newer. `full`: the board holds all it will. */
export type PutOutcome = 'taken' | 'stale' | 'full';

export class Replica {
  readonly #entries = new Map<string, Entry>();
  readonly #followers = new Set<Follower>();
  #sum = 0;
  /** The text of an entry, made when first asked for, and once for all readers. */
  readonly #texts = new WeakMap<Entry, string>();

  get size(): number {
    return this.#entries.size;
  }

  /** Equal for replicas that hold the same; different, but for an accident in four thousand millions, for others. */
  get digest(): string {
    return `${this.#entries.size}:${this.#sum.toString(16)}`;
  }

  get(id: string): Entry | undefined {
    return this.#entries.get(id);
  }

  ids(): IterableIterator<string> {
    return this.#entries.keys();
  }

  /** The merge: the greater version wins. */
  put(element: BoardElement, origin: Origin): PutOutcome {
    const version = versionOf(element);
    const held = this.#entries.get(element.id);
    if (!beats(version, held?.version)) return 'stale';
    if (!held && this.#entries.size >= MOST_ELEMENTS) return 'full';
    if (held) this.#sum = (this.#sum - hash(element.id, held.version)) >>> 0;
    this.#sum = (this.#sum + hash(element.id, version)) >>> 0;
    this.#entries.set(element.id, { version, element });
    for (const follower of this.#followers) {
      if (follower.origins.includes(origin)) follower.mark(element.id);
    }
    return 'taken';
  }

  /** What the channel no longer has is not on the board: no deletion, but as if it had never been. */
  forget(id: string): void {
    const held = this.#entries.get(id);
    if (!held) return;
    this.#sum = (this.#sum - hash(id, held.version)) >>> 0;
    this.#entries.delete(id);
    for (const follower of this.#followers) {
      if (follower.origins.includes('channel')) follower.mark(id);
      else follower.unmark(id);
    }
  }

  /** A reader that learns of the changes of some origins, from now on. */
  follow(...origins: Origin[]): Follower {
    const follower = new Follower(this, origins, () => this.#followers.delete(follower));
    this.#followers.add(follower);
    return follower;
  }

  /** What a reader with these versions lacks. */
  newerThan(versions: ReadonlyMap<string, string>): string[] {
    const ids: string[] = [];
    for (const [id, { version }] of this.#entries) {
      if (beats(version, versions.get(id))) ids.push(id);
    }
    return ids;
  }

  versions(): Record<string, string> {
    const versions: Record<string, string> = {};
    for (const [id, { version }] of this.#entries) versions[id] = version;
    return versions;
  }

  textOf(entry: Entry): string {
    const known = this.#texts.get(entry);
    if (known !== undefined) return known;
    const text = JSON.stringify(entry.element);
    this.#texts.set(entry, text);
    return text;
  }
}

/** FNV-1a. Summed over all elements it does not depend on their order, and a change costs two of them. */
function hash(id: string, version: string): number {
  let state = 0x811c9dc5;
  for (const text of [id, ' ', version]) {
    for (let at = 0; at < text.length; at += 1) state = Math.imul(state ^ text.charCodeAt(at), 0x01000193);
  }
  return state >>> 0;
}

export class Follower {
  readonly #replica: Replica;
  readonly #ids = new Set<string>();
  readonly #end: () => void;

  constructor(
    replica: Replica,
    readonly origins: readonly Origin[],
    end: () => void,
  ) {
    this.#replica = replica;
    this.#end = end;
  }

  get waiting(): number {
    return this.#ids.size;
  }

  mark(id: string): void {
    this.#ids.add(id);
  }

  /** Takes an id off the list; what changes later puts it on again. */
  unmark(id: string): void {
    this.#ids.delete(id);
  }

  /** What has waited longest, all of it unless so many are enough; taken off the list. */
  take(most = Number.POSITIVE_INFINITY): string[] {
    const ids: string[] = [];
    for (const id of this.#ids) {
      if (ids.length >= most) break;
      ids.push(id);
    }
    for (const id of ids) this.#ids.delete(id);
    return ids;
  }

  /** What waits and has been forgotten since; nothing is taken off. */
  gone(): string[] {
    return [...this.#ids].filter((id) => !this.#replica.get(id));
  }

  /** The newest of what waits, oldest mark first; nothing is taken off. */
  *peek(): Generator<Entry> {
    for (const id of this.#ids) {
      const entry = this.#replica.get(id);
      if (entry) yield entry;
    }
  }

  end(): void {
    this.#end();
  }
}
