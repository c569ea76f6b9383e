/**
 * Keys of the room's channel that hold something which is no element: anybody who may draw may also publish by hand. It serves
 * the board's channel and what is unsent.
 * Invariant: what it names is in the channel, and nothing of a lower version under that key ever will be.
 */
import { isAfter } from 'inkwire';
import { beats } from './version.js';

/** Keys. Of more, those noted first are let go: an element under one of them would be taken for saved. */
const MOST = 1_000;

interface Noted {
  version: string;
  offset: string;
}

export class Foreign {
  readonly #noted = new Map<string, Noted>();

  /** Keys and versions, to be kept with the board. */
  get all(): [key: string, version: string][] {
    return [...this.#noted].map(([key, { version }]) => [key, version]);
  }

  note(key: string, version: string, offset: string): void {
    this.#noted.delete(key);
    this.#noted.set(key, { version, offset });
    const [first] = this.#noted.keys();
    if (first !== undefined && this.#noted.size > MOST) this.#noted.delete(first);
  }

  /** The key holds an element again. */
  forget(key: string): void {
    this.#noted.delete(key);
  }

  clear(): void {
    this.#noted.clear();
  }

  /** Whether the channel will not take this version of an element for what it has under its key. */
  blocks(key: string, version: string): boolean {
    const there = this.#noted.get(key);
    return there !== undefined && !beats(version, there.version);
  }

  /** Whether what stands under the key came after this offset. */
  isNewerThan(offset: string, key: string): boolean {
    const there = this.#noted.get(key);
    return there !== undefined && isAfter(there.offset, offset);
  }
}
