/**
 * What the channel is not known to hold. It serves the board's channel, which sends it, and the page, which counts it.
 * Invariant: an element is in here from the moment it changes until the channel has answered for that version or a newer
 * one. Nothing else takes it out, so what is not counted is saved.
 *
 * What a peer has drawn is published by that peer. If it does not come to it, because its page has died, whoever holds the
 * element does: else those who saw it would have what the channel lacks.
 */
import type { Entry, Follower, Replica } from './replica.js';

/** `stored`: this version, or a newer one, is in the channel. `failed`: it may be tried again. */
export type Outcome = 'stored' | 'failed' | 'too-large' | 'refused';

/** Why something stays unsent although there is a connection. */
export type Obstacle = Exclude<Outcome, 'stored' | 'failed'>;

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
  /** The newest version the channel has told us of while ours was on its way. */
  told?: string;
  /** The version that the channel will not have. */
  stuck?: { version: string; why: Obstacle };
}

/** Milliseconds a peer is given to publish what it has drawn, after its last change; and as many more, at random. */
const ADOPT_AFTER = 8_000;
/** Milliseconds before a publish that failed for a reason of its own is tried again. */
const RETRY_AFTER = 2_000;

export class Unsent {
  readonly #replica: Replica;
  readonly #random: () => number;
  readonly #here: Follower;
  readonly #peers: Follower;
  readonly #waiting = new Map<string, Waiting>();
  readonly #onSettled: (id: string) => void;
  #sending = 0;

  /** `onSettled` is told of every element that has left. */
  constructor(replica: Replica, random: () => number, onSettled: (id: string) => void) {
    this.#replica = replica;
    this.#random = random;
    this.#onSettled = onSettled;
    this.#here = replica.follow('here');
    this.#peers = replica.follow('peer');
  }

  /** Publishes on their way. */
  get sending(): number {
    return this.#sending;
  }

  /** How many of ours wait, since when the oldest does, and what stands in the way of any. */
  get state(): UnsentState {
    const obstacles: Record<Obstacle, number> = { 'too-large': 0, refused: 0 };
    let count = 0;
    let since: number | undefined;
    for (const waiting of this.#waiting.values()) {
      if (!waiting.isOurs) continue;
      count += 1;
      if (waiting.stuck) obstacles[waiting.stuck.why] += 1;
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
  }

  /** What is to be sent now, at most `most` of it; each is on its way then. `isHeld`: not yet, a hand is on it. */
  take(most: number, now: number, isHeld: (entry: Entry) => boolean): Entry[] {
    const entries: Entry[] = [];
    for (const [id, waiting] of this.#waiting) {
      if (entries.length >= most) break;
      const entry = this.#replica.get(id);
      if (!entry || !isDue(waiting, entry, now) || isHeld(entry)) continue;
      waiting.sending = entry.version;
      this.#sending += 1;
      entries.push(entry);
    }
    return entries;
  }

  /** The channel has answered for a version that was sent. */
  answered(id: string, version: string, outcome: Outcome, now: number): void {
    const waiting = this.#waiting.get(id);
    if (waiting?.sending !== version) return;
    delete waiting.sending;
    this.#sending -= 1;
    if (outcome === 'failed') waiting.due = now + RETRY_AFTER;
    else if (outcome !== 'stored') waiting.stuck = { version, why: outcome };
    else this.#settle(id, waiting.told !== undefined && waiting.told > version ? waiting.told : version);
  }

  /** The channel holds this version. What is on its way waits for its own answer. */
  told(id: string, version: string): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    if (waiting.sending !== undefined) waiting.told = version;
    else this.#settle(id, version);
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
    this.#onSettled(id);
  }
}

function isDue({ isOurs, due, sending, stuck }: Waiting, { version }: Entry, now: number): boolean {
  return isOurs && due <= now && sending === undefined && stuck?.version !== version;
}
