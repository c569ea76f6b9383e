/**
 * The way from one peer to another over the mesh, as values: numbered frames, acknowledged, and what is to go another way when
 * the mesh does not carry them. It serves the room.
 *
 * A frame names its number `m` and the last message `c` that went to the same peer through the channel before it. So whoever
 * receives both ways can put them in order, and knows what it had already.
 *
 * Invariant: what comes out at one end is what was put in at the other, in order and once, as long as every frame that
 * `fail` gives goes through the channel before anything else does.
 */

/** Frames that are not acknowledged; whoever has more to send uses the channel. */
export const WINDOW = 512;

export interface Frame {
  m: number;
  c: number;
  /** Any JSON. */
  data: unknown;
}

/** What became of a frame; see `Mesh.send`. */
export type Handed = 'sent' | 'full' | 'closed' | 'too-large';

/** The sender's end. */
export class Outgoing {
  /** The last message that went to the peer through the channel. */
  after = 0;
  #isOpen = false;
  #last = 0;
  #unacknowledged: Frame[] = [];
  /** How many of them the mesh has taken. */
  #handed = 0;

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** The mesh reaches the peer. */
  open(): void {
    this.#isOpen = true;
  }

  /** Whether it goes this way. */
  push(data: unknown): boolean {
    if (!this.#isOpen || this.#unacknowledged.length >= WINDOW) return false;
    this.#last += 1;
    this.#unacknowledged.push({ m: this.#last, c: this.after, data });
    return true;
  }

  /** Hands over what the mesh takes. Answers whether this is still a way. */
  pump(hand: (frame: Frame) => Handed): boolean {
    for (; this.#handed < this.#unacknowledged.length; this.#handed += 1) {
      const frame = this.#unacknowledged[this.#handed];
      const outcome = frame ? hand(frame) : 'sent';
      if (outcome !== 'sent') return outcome === 'full';
    }
    return true;
  }

  acknowledged(m: number): void {
    const before = this.#unacknowledged.length;
    this.#unacknowledged = this.#unacknowledged.filter((frame) => frame.m > m);
    this.#handed = Math.max(0, this.#handed - (before - this.#unacknowledged.length));
  }

  /** It is a way no more. Gives what may not have arrived. */
  fail(): Frame[] {
    this.#isOpen = false;
    this.#handed = 0;
    return this.#unacknowledged.splice(0);
  }
}

/** The receiver's end. */
export class Incoming {
  #last = 0;
  #isLost = false;
  readonly #held = new Map<number, Frame>();

  /** All up to this one have been given. */
  get last(): number {
    return this.#last;
  }

  /** Takes a frame, whichever way it came, and gives what is next. `seen`: the sender's last message in the channel. */
  take(frame: Frame, seen: number): unknown[] {
    if (frame.m <= this.#last) return [];
    if (this.#isLost) this.#last = frame.m - 1;
    // Who keeps to the window never has so many waiting.
    if (this.#held.size >= 2 * WINDOW && frame.m !== this.#last + 1) return [];
    this.#isLost = false;
    this.#held.set(frame.m, frame);
    return this.next(seen);
  }

  /** What is next, now that the channel has come so far. */
  next(seen: number): unknown[] {
    const due: unknown[] = [];
    for (;;) {
      const frame = this.#held.get(this.#last + 1);
      if (!frame || frame.c > seen) return due;
      this.#held.delete(frame.m);
      this.#last = frame.m;
      due.push(frame.data);
    }
  }

  /** The channel has a gap: gives what waits for something that may never come, and goes on with whatever comes. */
  lose(): unknown[] {
    const frames = [...this.#held.values()].sort((a, b) => a.m - b.m);
    this.#held.clear();
    this.#last = frames.at(-1)?.m ?? this.#last;
    this.#isLost = true;
    return frames.map(({ data }) => data);
  }
}
