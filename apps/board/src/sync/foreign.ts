/**
 * Keys of the room's channel that hold something which is no element: anybody who may draw may also publish by hand. It serves
 * the board's channel and what is unsent.
 * Invariant: what it names is in the channel, and nothing of a lower version under that key ever will be.
 */
import { beats } from './version.js';

/** Keys. Of more, those noted first are let go: an element under one of them would be taken for saved. */
const MOST = 1_000;

export class Foreign {
  readonly #versions = new Map<string, string>();

  /** Keys and versions, to be kept with the board. */
  get all(): [key: string, version: string][] {
    return [...this.#versions];
  }

  note(key: string, version: string): void {
    this.#versions.delete(key);
    this.#versions.set(key, version);
    const [first] = this.#versions.keys();
    if (first !== undefined && this.#versions.size > MOST) this.#versions.delete(first);
  }

  /** The key holds an element again. */
  forget(key: string): void {
    this.#versions.delete(key);
  }

  clear(): void {
    this.#versions.clear();
  }

  /** Whether the channel will not take this version of an element for what it has under its key. */
  blocks(key: string, version: string): boolean {
    const there = this.#versions.get(key);
    return there !== undefined && !beats(version, there);
  }
}
