/**
 * What the channel is not known to hold. It serves the board's channel, which sends it, and the page, which counts it.
 * Invariant: an element is in here from the moment it changes until the channel was read to the place where that version, or
 * a newer one, stands. Nothing else takes it out, so what is not counted is saved.
 *
 * The answer to a publish names the place of what is in the channel now: of ours, or of what has won over it. Which of the two is
 * known when we have read so far; and what has won may be no element at all.
 *
 * What a peer has drawn is published by that peer. If it does not come to it, because its page has died, whoever holds the
 * element does: else those who saw it would have what the channel lacks.
 */
import { isAfter } from 'inkwire';
import type { Foreign } from './foreign.js';
import type { Entry, Follower, Replica } from './replica.js';

/** `stored`: this version, or what has won over it, stands at the offset. `failed`: it may be tried again. */
export type Outcome = { kind: 'stored'; offset: string } | { kind: 'failed' | Refusal };
type Refusal = 'too-large' | 'refused';

/**
 * Why something stays unsent although there is a connection. `taken`: its key holds something that is no element. `untold`: it
 * is nothing that a board may hold, and never left the canvas.
 */
export type Obstacle = Refusal | 'taken' | 'untold';

export interface UnsentState {
  count: number;
  since: number | undefined;
  obstacles: Record<Obstacle, number>;
}

interface Waiting {
  /** Ours to publish; else a peer's, until `due`. */
  isOurs: boolean;
  due: number;
  /** When it began to wait. */
  since: number;
  /** The version on its way. */
  sending?: string;
  /** The version that was answered, and the place to which the channel is to be read. */
  answered?: { version: string; offset: string };
  /** The newest version the channel has told us of while ours was on its way. */
  told?: string;
  /** The version that the channel will not have. */
  stuck?: { version: string; why: Refusal };
}

/** Milliseconds a peer is given to publish what it has drawn, after its last change; and as many more, at random. */
const ADOPT_AFTER = 8_000;
/** Milliseconds before a publish that failed for a reason of its own is tried again. */
const RETRY_AFTER = 2_000;

export class Unsent {
  readonly #replica: Replica;
  readonly #foreign: Foreign;
  readonly #random: () => number;
  readonly #here: Follower;
  readonly #peers: Follower;
  readonly #waiting = new Map<string, Waiting>();
  /** Those that were answered. */
  readonly #unread = new Set<string>();
  readonly #onTurned: (id: string) => void;
  #sending = 0;

  /** `onTurned` is told of every element that has left, or entered without a change. */
  constructor(replica: Replica, foreign: Foreign, random: () => number, onTurned: (id: string) => void) {
    this.#replica = replica;
    this.#foreign = foreign;
    this.#random = random;
    this.#onTurned = onTurned;
    this.#here = replica.follow('here');
    this.#peers = replica.follow('peer');
  }

  /** Publishes on their way. */
  get sending(): number {
    return this.#sending;
  }

  /** How many of ours wait, since when the oldest does, and what stands in the way of any. */
  get state(): UnsentState {
    const obstacles: Record<Obstacle, number> = { 'too-large': 0, refused: 0, taken: 0, untold: 0 };
    let count = 0;
    let since: number | undefined;
    for (const [id, waiting] of this.#waiting) {
      // Nobody can publish what is taken: it does not matter whose it is.
      const isTaken = this.#isTaken(id);
      if (!waiting.isOurs && !isTaken) continue;
      count += 1;
      const why = isTaken ? 'taken' : waiting.stuck?.why;
      if (why) obstacles[why] += 1;
      else since = Math.min(since ?? waiting.since, waiting.since);
    }
    return { count, since, obstacles };
  }

  has(id: string): boolean {
    return this.#waiting.has(id);
  }

  /** Takes note of what has changed. To be called before anything is asked. */
  look(now: number): void {
    for (const id of this.#here.take()) this.#enter(id, true, now, now);
    for (const id of this.#peers.take()) this.doubt(id, now);
  }

  /** The channel may lack this one. Unless it is heard to have it, we publish it, after a while. */
  doubt(id: string, now: number): void {
    this.#enter(id, false, now, now + ADOPT_AFTER * (1 + this.#random()));
  }

  /** Takes over what peers had time enough to publish. */
  adopt(now: number): void {
    for (const waiting of this.#waiting.values()) {
      if (!waiting.isOurs && waiting.due <= now) Object.assign(waiting, { isOurs: true, since: now });
    }
  }

  /** Ours from before: the page was closed, or the channel has lost it. */
  add(id: string, now: number): void {
    this.#enter(id, true, now, now);
    this.#onTurned(id);
  }

  /** The channel had it, and has it no more. */
  lost(id: string, now: number): void {
    this.add(id, now);
    delete this.#waiting.get(id)?.told;
  }

  /** What is to be sent now, at most `most` of it; each is on its way then. `isHeld`: not yet, a hand is on it. */
  take(most: number, now: number, isHeld: (entry: Entry) => boolean): Entry[] {
    const entries: Entry[] = [];
    for (const [id, waiting] of this.#waiting) {
      if (entries.length >= most) break;
      const entry = this.#replica.get(id);
      if (!entry || !isDue(waiting, entry, now) || isHeld(entry)) continue;
      if (this.#isTaken(id)) {
        // What is no element shows nothing; so does what is deleted.
        if (entry.element.isDeleted) this.#settle(id, entry.version);
        continue;
      }
      waiting.sending = entry.version;
      this.#sending += 1;
      entries.push(entry);
    }
    return entries;
  }

  /** A publish was answered; see `read` for what comes of it. */
  answered(id: string, version: string, outcome: Outcome, now: number): void {
    const waiting = this.#waiting.get(id);
    if (waiting?.sending !== version) return;
    delete waiting.sending;
    this.#sending -= 1;
    const { kind } = outcome;
    if (kind === 'failed') waiting.due = now + RETRY_AFTER;
    else if (kind !== 'stored') waiting.stuck = { version, why: kind };
    else {
      waiting.answered = { version, offset: outcome.offset };
      this.#unread.add(id);
    }
    if (waiting.told !== undefined) this.#settle(id, waiting.told);
    delete waiting.told;
  }

  /** The channel was read so far. */
  read(offset: string): void {
    for (const id of this.#unread) {
      const waiting = this.#waiting.get(id);
      if (waiting?.answered && isAfter(waiting.answered.offset, offset)) continue;
      this.#unread.delete(id);
      if (!waiting?.answered) continue;
      const { version } = waiting.answered;
      delete waiting.answered;
      if (!this.#foreign.blocks(id, version)) this.#settle(id, version);
    }
  }

  /** The channel may have lost what it has answered for. */
  forgetAnswers(): void {
    for (const id of this.#unread) delete this.#waiting.get(id)?.answered;
    this.#unread.clear();
  }

  /** The channel holds this version. What is on its way waits for its own answer. */
  told(id: string, version: string): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    if (waiting.sending !== undefined) waiting.told = version;
    else this.#settle(id, version);
  }

  #isTaken(id: string): boolean {
    return this.#foreign.blocks(id, this.#replica.get(id)?.version ?? '');
  }

  #enter(id: string, isOurs: boolean, now: number, due: number): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) this.#waiting.set(id, { isOurs, due, since: now });
    else if (isOurs && !waiting.isOurs) Object.assign(waiting, { isOurs, due, since: now });
    else if (!waiting.isOurs) waiting.due = due;
  }

  #settle(id: string, version: string): void {
    const held = this.#replica.get(id);
    if (held && held.version > version) return;
    this.#waiting.delete(id);
    this.#onTurned(id);
  }
}

function isDue(waiting: Waiting, { version }: Entry, now: number): boolean {
  const { isOurs, due, sending, stuck, answered } = waiting;
  if (stuck?.version === version || answered?.version === version) return false;
  return isOurs && due <= now && sending === undefined;
}
