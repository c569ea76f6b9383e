/**
 * The client's side of rooms and signalling: one event stream that resumes, and the POSTs that go with it. It serves the
 * mesh, and any application that wants peers without it.
 * Invariant: after `start` is told, everything learned before is void; between two of them no event is missed and none
 * comes twice.
 */
import { type Access, anonymousAccess, nameOf } from './access.js';
import { backoff } from './backoff.js';
import { asError, WireError } from './check.js';
import {
  type Asking,
  type Fetch,
  HttpError,
  isPassing,
  isRefusal,
  ownFetch,
  request,
  segment,
} from './http.js';
import { Listeners } from './listeners.js';
import { Pause } from './pause.js';
import { persist, RELAY_ATTEMPTS } from './persist.js';
import type { SseBlock } from './sse.js';
import { type ConnectionState, failures, type Happening, next } from './state.js';
import { readStream } from './stream.js';
import { readToken, Tokens } from './tokens.js';
import type { User } from './user.js';
import { decode, type Peer, type WireEvent } from './wire.js';

export interface SignallingOptions {
  /** The server's origin, without a slash at its end; `''` on a page the server itself has served. */
  base?: string;
  /** The name for anonymous access, asked for each time a token is. */
  username?: string | (() => string);
  /** Replaces anonymous access. */
  access?: Access;
  fetch?: Fetch;
  /** In [0, 1); replaced in tests. */
  random?: () => number;
}

export type SignallingHappening =
  | { type: 'state'; state: ConnectionState }
  /** A new beginning under this identity: no peer known before counts any more. The rooms are joined again by us. */
  | { type: 'start'; user: User }
  | { type: 'add-peer'; peer: Peer; roomId: string; offer: boolean }
  | { type: 'remove-peer'; peer: User; roomId: string }
  | { type: 'relayed'; name: string; peer: User; data: unknown }
  /** Something was refused or not understood; the connection goes on. */
  | { type: 'fault'; error: Error };

/** What became of a relay. `gone`: there is no such peer in our rooms. `lost`: we gave up. */
export type RelayOutcome = 'delivered' | 'gone' | 'lost';

export class Signalling {
  readonly #base: string;
  readonly #access: Access;
  readonly #fetch: Fetch;
  readonly #random: () => number;
  readonly #listeners = new Listeners<SignallingHappening>();
  readonly #pause = new Pause();
  readonly #rooms = new Set<string>();
  /** Rooms that were left, and the server may not know it: a stream that is resumed goes on with them. */
  readonly #left = new Set<string>();

  #state: ConnectionState = { kind: 'idle' };
  /** Ends everything this start has begun. */
  #life = new AbortController();
  /** Ends the event stream under way. */
  #stream = new AbortController();
  /** Ends what belongs to one beginning: joins and relays of an older one must not reach the next. */
  #beginning = new AbortController();
  #tokens: Tokens;
  /** Where the stream stands, and in whose name. */
  #position: string | undefined;
  #id: string | undefined;
  /** Whether the stream under way was asked to resume; only then does `resumed: false` come with a `gap`. */
  #askedToResume = false;
  #retry = 1000;
  #hurry = false;

  constructor(options: SignallingOptions = {}) {
    const { username = 'guest' } = options;
    this.#base = options.base ?? '';
    this.#fetch = options.fetch ?? ownFetch;
    this.#random = options.random ?? Math.random;
    this.#access = options.access ?? anonymousAccess(this.#base, nameOf(username), this.#fetch);
    this.#tokens = this.#newTokens();
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Returns the way to stop listening. */
  listen(listener: (happening: SignallingHappening) => void): () => void {
    return this.#listeners.add(listener);
  }

  /** Connects, and stays connected until `close`, `replaced` or a refusal. Harmless when it already does. */
  start(): void {
    if (this.#state.kind !== 'idle' && this.#state.kind !== 'stopped') return;
    this.#life = new AbortController();
    this.#tokens = this.#newTokens();
    void this.#run(this.#life.signal);
  }

  /** Leaves the rooms and ends the stream. It works while a page is being closed. */
  close(): void {
    this.#sayGoodbye(this.#tokens.held);
    this.#stop('closed', 'closed by its owner');
  }

  /** Tries again now instead of when the wait is over: the network is back, or the page is looked at again. */
  nudge(): void {
    this.#pause.wake();
  }

  /** Enters a room, now and after every new beginning. The peers in it are told as `add-peer`. */
  join(room: string): void {
    if (this.#rooms.has(room)) return;
    this.#rooms.add(room);
    this.#left.delete(room);
    if (this.#state.kind === 'live') void this.#join(room, this.#beginning.signal);
  }

  /** Leaves a room for good. Without a connection the server is told as soon as there is one. */
  async leave(room: string): Promise<void> {
    if (!this.#rooms.delete(room)) return;
    this.#left.add(room);
    if (this.#state.kind === 'live') await this.#leave(room);
  }

  /** Puts `data` into a peer's inbox as `event`. Tries again where that may help. */
  async relay(peer: string, event: string, data: unknown): Promise<RelayOutcome> {
    const signal = this.#beginning.signal;
    try {
      await this.#post(`/relay/${segment(peer)}/${segment(event)}`, RELAY_ATTEMPTS, data);
      return 'delivered';
    } catch (error) {
      if (error instanceof HttpError && (error.status === 404 || error.status === 403)) return 'gone';
      if (!signal.aborted) this.#fault(error);
      return 'lost';
    }
  }

  /** The ICE servers of `GET /ice`, unjudged. */
  ice(): Promise<unknown> {
    return this.#request('/ice', { signal: this.#life.signal });
  }

  /** The one place where the state changes. */
  #move(happening: Happening): void {
    const state = next(this.#state, happening);
    if (state === this.#state) return;
    this.#state = state;
    this.#listeners.tell({ type: 'state', state });
  }

  async #run(life: AbortSignal): Promise<void> {
    while (!life.aborted) {
      this.#move({ type: 'dial' });
      const { wait, reason } = await this.#attempt(life);
      if (life.aborted) return;
      this.#move({ type: 'lost', wait, reason });
      await this.#pause.wait(wait, life);
    }
  }

  /** One connection, from its token to its end; answers why it ended and how long to wait. */
  async #attempt(life: AbortSignal): Promise<{ wait: number; reason: string }> {
    this.#hurry = false;
    this.#stream = new AbortController();
    const onEnd = () => this.#stream.abort();
    life.addEventListener('abort', onEnd);
    const { held } = this.#tokens;
    let token: string | undefined;
    try {
      token = await this.#tokens.current();
      this.#become(token);
      this.#askedToResume = this.#position !== undefined;
      await readStream({
        url: `${this.#base}/connect`,
        ...{ token, position: this.#position, fetch: this.#fetch, signal: this.#stream.signal },
        onBlock: (block) => this.#takeBlock(block),
      });
      return { wait: this.#wait(), reason: 'the server ended the stream' };
    } catch (error) {
      return this.#judge(error, token === undefined || token !== held);
    } finally {
      life.removeEventListener('abort', onEnd);
      this.#tokens.rest();
    }
  }

  /** A position belongs to an identity. Under another one it would only be answered with a gap. */
  #become(token: string): void {
    const { id } = readToken(token);
    if (id !== this.#id) this.#position = undefined;
    this.#id = id;
  }

  #wait(): number {
    if (this.#hurry) return 0;
    return backoff(failures(this.#state), this.#retry, this.#random());
  }

  /** `isNew`: nothing older than the token of this very attempt was refused. */
  #judge(error: unknown, isNew: boolean): { wait: number; reason: string } {
    const reason = asError(error).message;
    if (!(error instanceof HttpError)) return { wait: this.#wait(), reason };
    if (isRefusal(error)) {
      // A token the server has just issued will not become better; an old one has expired, or the secret has changed.
      if (isNew) this.#stop('refused', reason);
      this.#tokens.forget();
      return { wait: 0, reason };
    }
    if (error.status === 400) this.#stop('refused', reason);
    return { wait: Math.max(error.retryAfter ?? 0, this.#wait()), reason };
  }

  #takeBlock(block: SseBlock): void {
    if (block.retry !== undefined) this.#retry = Math.min(block.retry, 10_000);
    if (block.data !== undefined) {
      const event = decode(block.event, block.data);
      if (event instanceof WireError) this.#fault(event);
      else this.#takeEvent(event);
    }
    // After the event was handed on: a fault in between must bring it again rather than lose it.
    if (block.id !== undefined) this.#position = block.id === '' ? undefined : block.id;
  }

  #takeEvent(event: WireEvent): void {
    switch (event.event) {
      case 'ping':
        break;
      case 'connected':
        this.#takeConnected(event.user, event.resumed);
        break;
      case 'gap':
        if (this.#state.kind === 'live') this.#begin(this.#state.user);
        break;
      case 'replaced':
        this.#stop('replaced', 'another stream was opened with this identity');
        break;
      case 'draining':
        this.#hurry = true;
        this.#stream.abort(new Error('the node goes down'));
        break;
      default: {
        const { event: type, ...rest } = event;
        this.#listeners.tell({ type, ...rest } as SignallingHappening);
      }
    }
  }

  #takeConnected(user: User, resumed: boolean): void {
    this.#planRenewal();
    this.#move({ type: 'connected', user, resumed });
    if (resumed) {
      for (const room of this.#left) this.#leave(room).catch((error) => this.#fault(error));
      return;
    }
    // Where we asked to resume, a `gap` follows; two beginnings would only join twice.
    if (this.#askedToResume) this.#awaitGap(user);
    else this.#begin(user);
  }

  /** A server that forgets the promised `gap` must not leave us outside of our rooms. */
  #awaitGap(user: User): void {
    const before = this.#beginning;
    setTimeout(() => {
      if (this.#beginning === before && this.#state.kind === 'live') this.#begin(user);
    }, 1000);
  }

  #begin(user: User): void {
    this.#beginning.abort();
    this.#beginning = new AbortController();
    this.#left.clear();
    this.#listeners.tell({ type: 'start', user });
    for (const room of this.#rooms) void this.#join(room, this.#beginning.signal);
  }

  async #join(room: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#post(`/${segment(room)}/join`, Number.POSITIVE_INFINITY);
      // It was left before the server had us in it.
      if (!this.#rooms.has(room)) await this.#leave(room);
    } catch (error) {
      if (!signal.aborted) this.#fault(error);
    }
  }

  async #leave(room: string): Promise<void> {
    await this.#post(`/${segment(room)}/leave`, 3);
    this.#left.delete(room);
  }

  /** Repeated while that may help, at most `attempts` times, and within one beginning. */
  async #post(path: string, attempts: number, body?: unknown): Promise<void> {
    const { signal } = this.#beginning;
    await persist(() => this.#request(path, { method: 'POST', body, signal }), {
      ...{ attempts, signal, random: this.#random },
      // 409: our stream is between two connections, and will be back.
      isPassing: (error) => isPassing(error) || (error instanceof HttpError && error.status === 409),
    });
  }

  #request(path: string, asking: Asking): Promise<unknown> {
    return request(this.#fetch, this.#base + path, { token: this.#tokens.held, ...asking });
  }

  /** Leaves the rooms, in the name of a token, by requests that outlive the page. */
  #sayGoodbye(token: string | undefined): void {
    if (token === undefined) return;
    const leave = async (room: string) =>
      this.#request(`/${segment(room)}/leave`, { method: 'POST', token, keepalive: true });
    // The grace time does the same a little later.
    for (const room of this.#rooms) leave(room).catch(() => undefined);
  }

  #newTokens(): Tokens {
    const { signal } = this.#life;
    return new Tokens(async (held) => (await this.#access(signal, held)).token);
  }

  #planRenewal(): void {
    this.#tokens.plan(this.#random(), () => void this.#renew());
  }

  /** A new token while the old one still works, so that the old identity can leave instead of fading away. */
  async #renew(): Promise<void> {
    const stream = this.#stream.signal;
    const { held } = this.#tokens;
    try {
      const token = await this.#tokens.renewed();
      if (stream.aborted) return;
      if (readToken(token).id !== this.#id) {
        this.#sayGoodbye(held);
        this.#hurry = true;
        this.#stream.abort(new Error('a new token means a new identity'));
      }
    } catch (error) {
      this.#fault(error);
    }
    // Until its end the old token serves; then the reconnect fetches a new one.
    if (!stream.aborted) this.#planRenewal();
  }

  #stop(reason: 'closed' | 'replaced' | 'refused', detail: string): void {
    this.#move({ type: 'stopped', reason, detail });
    this.#life.abort();
    this.#beginning.abort();
    this.#position = undefined;
    this.#tokens.forget();
    this.#tokens.rest();
  }

  #fault(error: unknown): void {
    this.#listeners.tell({ type: 'fault', error: asError(error) });
  }
}
