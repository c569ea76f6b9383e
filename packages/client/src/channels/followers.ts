/**
 * The channels that are followed, each a cursor that outlives every connection. It serves the client.
 * Invariant: what is told of a channel is what follows its cursor, in order and once; or a gap is told first.
 */
import { backoff } from '../backoff.js';
import type { Command } from './command.js';
import { ClientError, isPassingCode, refusedBy } from './errors.js';
import { type FollowHappening, type FollowState, nextFollow } from './follow-state.js';
import type { Outcome, Refusal, Reply, WireMessage } from './heard.js';
import { BEGINNING, isAfter } from './offset.js';

/** Where a subscription begins. `gap`: what followed the offset asked for is gone. */
export interface Subscribed {
  offset: string;
  gap: boolean;
}

/** What followed `after` is gone; what comes begins at `oldest`. */
export interface Gap {
  after: string;
  oldest: string;
}

/** Where to begin with a channel, and whether what is told of it goes to the cache. */
export interface Beginning {
  offset: string;
  isCached: boolean;
}

/** What the followers need of the world around them. */
export interface FollowWorld {
  /** The id it was sent under, or `undefined` without a connection. The answer comes later, or never. */
  send(command: Command, answered: (outcome: Outcome) => void): number | undefined;
  random(): number;
  deliver(channel: string, messages: WireMessage[]): void;
  gap(channel: string, gap: Gap): void;
  /** A channel that was followed is so no more, because the server will not have it. */
  dropped(channel: string, error: Error): void;
}

interface Follower {
  channel: string;
  state: FollowState;
  /** `$`, `0`, or the offset of the last message that was told. */
  cursor: string;
  isCached: boolean;
  failures: number;
  begun: { done: (subscribed: Subscribed) => void; failed: (error: Error) => void } | undefined;
}

/** Milliseconds; the first wait after a refusal that passes, at most. */
const FIRST_RETRY = 500;

export class Followers {
  readonly #all = new Map<string, Follower>();
  readonly #world: FollowWorld;

  constructor(world: FollowWorld) {
    this.#world = world;
  }

  has(channel: string): boolean {
    return this.#all.has(channel);
  }

  isCached(channel: string): boolean {
    return this.#all.get(channel)?.isCached ?? false;
  }

  /** Where it begins may still have to be looked up. */
  add(channel: string, beginning: Beginning | Promise<Beginning>): Promise<Subscribed> {
    if (this.has(channel))
      return Promise.reject(new ClientError('conflict', `${channel} is subscribed to already`));
    return new Promise((done, failed) => {
      const follower: Follower = {
        channel,
        state: { kind: 'opening' },
        cursor: BEGINNING,
        isCached: false,
        failures: 0,
        begun: { done, failed },
      };
      this.#all.set(channel, follower);
      if (beginning instanceof Promise) {
        beginning.then(
          (found) => this.#open(follower, found),
          (error: Error) => this.#forget(follower, error),
        );
      } else this.#open(follower, beginning);
    });
  }

  /** Resolves when the server will say no more of the channel. */
  remove(channel: string): Promise<void> {
    const follower = this.#all.get(channel);
    if (!follower) return Promise.resolve();
    const isKnown = follower.state.kind === 'asked' || follower.state.kind === 'following';
    this.#forget(follower, new ClientError('closed', `${channel} was unsubscribed`));
    return isKnown ? this.#unsubscribe(channel) : Promise.resolve();
  }

  /** Stops what comes, and keeps the place. */
  pause(channel: string): void {
    const follower = this.#all.get(channel);
    if (follower?.state.kind !== 'following') return;
    this.#move(follower, { type: 'pause' });
    void this.#unsubscribe(channel);
  }

  resume(channel: string): void {
    const follower = this.#all.get(channel);
    if (!follower) return;
    this.#move(follower, { type: 'resume' });
    this.#ask(follower);
  }

  connected(): void {
    for (const follower of this.#all.values()) this.#ask(follower);
  }

  lost(): void {
    for (const follower of this.#all.values()) this.#move(follower, { type: 'lost' });
  }

  messages(channel: string, messages: WireMessage[]): void {
    const follower = this.#all.get(channel);
    if (follower?.state.kind !== 'following') return;
    const fresh: WireMessage[] = [];
    for (const message of messages) {
      if (!isAfter(message.offset, follower.cursor)) continue;
      follower.cursor = message.offset;
      fresh.push(message);
    }
    if (fresh.length > 0) this.#world.deliver(channel, fresh);
  }

  gap(channel: string, gap: Gap): void {
    const follower = this.#all.get(channel);
    if (follower?.state.kind !== 'following') return;
    // What comes may have lower offsets than what we had: the log may have begun anew.
    follower.cursor = BEGINNING;
    this.#world.gap(channel, gap);
  }

  /** Tells everybody that it is over. */
  end(error: Error): void {
    for (const follower of [...this.#all.values()]) this.#forget(follower, error);
  }

  #open(follower: Follower, { offset, isCached }: Beginning): void {
    follower.cursor = offset;
    follower.isCached = isCached;
    this.#move(follower, { type: 'opened' });
    this.#ask(follower);
  }

  #ask(follower: Follower): void {
    if (follower.state.kind !== 'wanted') return;
    const { channel, cursor } = follower;
    const id = this.#world.send({ op: 'subscribe', channel, offset: cursor }, (outcome) => {
      const { state } = follower;
      if (state.kind !== 'asked' || state.id !== id) return;
      if (outcome.ok) this.#begin(follower, state.id, outcome.reply);
      else this.#refuse(follower, outcome.error);
    });
    if (id !== undefined) this.#move(follower, { type: 'asked', id });
  }

  #begin(follower: Follower, id: number, { offset = follower.cursor, gap = false }: Reply): void {
    const after = follower.cursor;
    this.#move(follower, { type: 'answered', id });
    follower.cursor = offset;
    follower.failures = 0;
    if (gap) this.#world.gap(follower.channel, { after, oldest: offset });
    follower.begun?.done({ offset, gap });
    follower.begun = undefined;
  }

  #refuse(follower: Follower, error: Refusal): void {
    if (isPassingCode(error.code)) {
      this.#move(follower, { type: 'lost' });
      const wait = backoff(follower.failures, FIRST_RETRY, this.#world.random(), error.retryAfterMs);
      follower.failures += 1;
      setTimeout(() => this.#ask(follower), wait);
      return;
    }
    const told = refusedBy(error);
    const isNew = follower.begun !== undefined;
    this.#forget(follower, told);
    if (!isNew) this.#world.dropped(follower.channel, told);
  }

  #forget(follower: Follower, error: Error): void {
    this.#move(follower, { type: 'end' });
    this.#all.delete(follower.channel);
    follower.begun?.failed(error);
    follower.begun = undefined;
  }

  #unsubscribe(channel: string): Promise<void> {
    return new Promise((done) => {
      // Without a connection there is nothing to end; and if it breaks before the answer, that ends it too.
      if (this.#world.send({ op: 'unsubscribe', channel }, () => done()) === undefined) done();
    });
  }

  #move(follower: Follower, happening: FollowHappening): void {
    follower.state = nextFollow(follower.state, happening);
  }
}
