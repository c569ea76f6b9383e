/**
 * What is in the hand, and when the channel is shown it. It serves the live board.
 * Invariant: what has been laid down is never held back.
 *
 * Whoever is linked sees a gesture over the mesh as it is made, so the channel is told its outcome only. While somebody in
 * the room is not linked, it is told more often: for them it is all they have.
 */
import type { Entry } from '../sync/replica.js';

/** Milliseconds between two states of a gesture in the channel, for eyes that have nothing else. */
const GLANCE = 120;
/** Milliseconds between two states of a text that is being written. */
const TEXT_EVERY = 1_000;
/** Characters a millisecond: a long stroke is shown less often, for it is sent whole. */
const CHARACTERS_PER_MS = 150;
/** Milliseconds after which what lies still under the hand counts as laid down. */
const STILL = 5_000;

export interface Grip {
  /** Whether the button is down. */
  isDown: boolean;
  /** The text that is being written. */
  writing: string | undefined;
}

export class Hand {
  /** What changed since the button went down, and when it did last. */
  readonly #changed = new Map<string, number>();
  #grip: Grip = { isDown: false, writing: undefined };
  #glanceAt = 0;
  #textAt = 0;

  /** Whether something is held back, or was until now. */
  get isHolding(): boolean {
    return this.#changed.size > 0;
  }

  /** To be called when elements were changed here. */
  changed(ids: Iterable<string>, grip: Grip, now: number): void {
    this.#grip = grip;
    for (const id of ids) if (grip.isDown || id === grip.writing) this.#changed.set(id, now);
  }

  /** What the channel is not to be told yet, asked once for each element. `allLinked`: everybody sees it anyway. */
  holding(grip: Grip, allLinked: boolean, now: number): (entry: Entry) => boolean {
    this.#grip = grip;
    for (const [id, at] of this.#changed) {
      const isOver = !grip.isDown && id !== grip.writing;
      if (isOver || now - at > STILL) this.#changed.delete(id);
    }
    const isGlance = !allLinked && now >= this.#glanceAt;
    const isText = now >= this.#textAt;
    return ({ element }) => {
      if (!this.#changed.has(element.id)) return false;
      return !(isGlance || (isText && element.id === this.#grip.writing));
    };
  }

  /** So many characters of what is in the hand were sent. */
  sent(characters: number, now: number): void {
    if (characters === 0) return;
    this.#glanceAt = now + Math.max(GLANCE, characters / CHARACTERS_PER_MS);
    this.#textAt = now + TEXT_EVERY;
  }

  has(id: string): boolean {
    return this.#changed.has(id);
  }
}
