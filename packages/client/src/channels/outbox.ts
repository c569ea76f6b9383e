/**
 * Publishes that wait for their answers, as a value: what to send next, and what an answer means. It serves the client.
 * Invariant: what may have been published is sent again only under the number it had, in the order of the numbers, and gets
 * a new number only when the server said that it was not published.
 */
import { backoff } from '../backoff.js';
import type { Publish } from './command.js';
import { ClientError, isPassingCode, refusedBy } from './errors.js';
import type { Outcome, Reply } from './heard.js';

/** Publishes that may wait; one more is refused with `full`. A page that is offline for long must not eat its memory. */
export const MAX_WAITING = 10_000;
/** Publishes on their way at once: enough to fill a long road. */
const WINDOW = 256;
/** Bytes of one message on the wire; a server closes the socket at more. */
export const MAX_BYTES = 1 << 20;
/** Milliseconds. Servers know a producer's numbers for 5 minutes at least; the rest is for clocks and the way. */
const RECOGNISED_FOR = 285_000;
/** Milliseconds; the first wait after a refusal that passes, at most. */
const FIRST_RETRY = 250;

interface Waiting {
  readonly id: number;
  readonly publish: Publish;
  readonly done: (reply: Reply) => void;
  readonly failed: (error: Error) => void;
  /** The number it may have been published under, and when it was first sent so. */
  sent: { seq: number; at: number } | undefined;
  isInFlight: boolean;
  failures: number;
}

export class Outbox {
  readonly #all = new Map<number, Waiting>();
  /** To be sent: those with a number first and by number, the others by age. */
  #unsent: Waiting[] = [];
  #inFlight = 0;
  #heldUntil = 0;
  /** The highest number taken, for each channel. */
  readonly #taken = new Map<string, number>();
  #seq: number;

  constructor(
    readonly producer: string,
    now: number,
    readonly random: () => number,
  ) {
    // A producer's name may be used again by a later client: its numbers then go on growing, since time does.
    this.#seq = now * 1000;
  }

  has(id: number): boolean {
    return this.#all.has(id);
  }

  /** Whether something was sent, its answer is not known, and the server would know it again. */
  inDoubt(now: number): boolean {
    for (const { sent } of this.#all.values()) if (sent && now - sent.at < RECOGNISED_FOR) return true;
    return false;
  }

  /** Takes a publish under an id that no other command has. */
  add(id: number, publish: Publish): Promise<Reply> {
    if (this.#all.size >= MAX_WAITING)
      return Promise.reject(new ClientError('full', `${MAX_WAITING} publishes wait already`));
    if (sizeOf(publish) > MAX_BYTES - 512)
      return Promise.reject(new ClientError('too-large', 'a message has at most 1 MiB'));
    return new Promise((done, failed) => {
      const waiting = { id, publish, done, failed, sent: undefined, isInFlight: false, failures: 0 };
      this.#all.set(id, waiting);
      this.#unsent.push(waiting);
    });
  }

  /** The next publish to send. A pause lasts until everything refused is known: only then can it be numbered anew. */
  next(now: number): { id: number; publish: Publish } | undefined {
    if (this.#inFlight >= WINDOW || now < this.#heldUntil) return undefined;
    if (this.#heldUntil > 0 && this.#inFlight > 0) return undefined;
    this.#heldUntil = 0;
    for (let waiting = this.#unsent.shift(); waiting; waiting = this.#unsent.shift()) {
      if (this.#isDoubtful(waiting, now)) {
        this.#all.delete(waiting.id);
        waiting.failed(new ClientError('uncertain', 'it may have been published, and cannot be sent again'));
        continue;
      }
      waiting.sent ??= { seq: ++this.#seq, at: now };
      waiting.isInFlight = true;
      this.#inFlight += 1;
      const producer = { id: this.producer, seq: waiting.sent.seq };
      return { id: waiting.id, publish: { ...waiting.publish, producer } };
    }
    return undefined;
  }

  /** Milliseconds until something can be sent without anybody asking; `undefined` if an answer comes first. */
  due(now: number): number | undefined {
    if (this.#heldUntil === 0 || this.#inFlight > 0) return undefined;
    return Math.max(0, this.#heldUntil - now);
  }

  answered(id: number, outcome: Outcome, now: number): void {
    const waiting = this.#all.get(id);
    if (!waiting?.isInFlight) return;
    waiting.isInFlight = false;
    this.#inFlight -= 1;
    if (outcome.ok) {
      this.#take(waiting);
      waiting.done(outcome.reply);
      return;
    }
    const { error } = outcome;
    if (!isPassingCode(error.code)) {
      this.#all.delete(id);
      waiting.failed(refusedBy(error));
      return;
    }
    // Certainly not published: it may be numbered anew.
    if (error.code === 'rate-limited') waiting.sent = undefined;
    const wait = backoff(waiting.failures, FIRST_RETRY, this.random(), error.retryAfterMs);
    waiting.failures += 1;
    this.#heldUntil = Math.max(this.#heldUntil, now + wait);
    this.#putBack([waiting]);
  }

  /** The connection is gone: what it was asked is to be asked again. */
  lost(): void {
    const lost = [...this.#all.values()].filter((waiting) => waiting.isInFlight);
    for (const waiting of lost) waiting.isInFlight = false;
    this.#inFlight = 0;
    this.#putBack(lost);
  }

  /** Tells everybody that it is over. */
  end(error: Error): void {
    for (const waiting of this.#all.values()) waiting.failed(error);
    this.#all.clear();
    this.#unsent = [];
  }

  #take({ id, publish, sent }: Waiting): void {
    this.#all.delete(id);
    const before = this.#taken.get(publish.channel) ?? 0;
    this.#taken.set(publish.channel, Math.max(before, sent?.seq ?? 0));
  }

  #putBack(some: Waiting[]): void {
    this.#unsent.push(...some);
    const turn = ({ sent }: Waiting) => sent?.seq ?? Number.POSITIVE_INFINITY;
    this.#unsent.sort((a, b) => (turn(a) < turn(b) ? -1 : turn(a) > turn(b) ? 1 : a.id - b.id));
  }

  /** Whether sending it again could publish it twice, or pass for published when it is not. */
  #isDoubtful({ sent, publish }: Waiting, now: number): boolean {
    if (!sent) return false;
    return now - sent.at >= RECOGNISED_FOR || (this.#taken.get(publish.channel) ?? 0) >= sent.seq;
  }
}

function sizeOf(publish: Publish): number {
  const text = JSON.stringify(publish);
  // A UTF-16 unit is at most three bytes: most messages need no encoding to know that they fit.
  return text.length * 3 < MAX_BYTES - 512 ? text.length : new TextEncoder().encode(text).length;
}
