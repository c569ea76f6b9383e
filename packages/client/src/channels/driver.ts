/**
 * Keeps one line to one of several servers, and replaces it when it ends. It serves the client.
 * Invariant: there is one line at a time, and what was asked on it is answered before its loss is told.
 */
import { backoff } from '../backoff.js';
import { asError, WireError } from '../check.js';
import { Pause } from '../pause.js';
import { type ConnectionState, failures, type Happening, next } from '../state.js';
import type { Tokens } from '../tokens.js';
import type { User } from '../user.js';
import type { Command } from './command.js';
import { ClientError } from './errors.js';
import type { Heard, Outcome } from './heard.js';
import { BROKEN, type End, EXPIRED, type Line, type OpenLine, RESTARTS } from './line.js';

/** What the driver tells, and asks. */
export interface DriverWorld {
  /** A line is ready: what waits can be sent. */
  connected(user: User, node: string, resumed: boolean | undefined): void;
  /** Where the peer's stream is to go on, if there was one. */
  position(): string | undefined;
  lost(reason: string): void;
  heard(heard: Heard): void;
  /** The application is to know; the driver goes on. */
  fault(error: Error): void;
  /** It has ended for good. */
  stopped(error: ClientError): void;
  /** Whether another kind of line may be tried now: the servers know again what was sent on one kind only. */
  maySwitch(): boolean;
  random(): number;
}

/** The first is preferred; the others are for networks that it does not pass. */
export type Lines = readonly [OpenLine, ...OpenLine[]];

/** Milliseconds, doubled per round of the targets. */
const FIRST_RETRY = 500;
/** Milliseconds from the opening to the answer to `auth`. */
const AUTH_TIMEOUT = 10_000;
/** Milliseconds. A line that lasted so long was a good one: its end may be followed by another at once. */
const GOOD = 1_000;

export class Driver {
  readonly #targets: readonly string[];
  readonly #lines: Lines;
  readonly #tokens: Tokens;
  readonly #world: DriverWorld;
  readonly #pause = new Pause();
  readonly #life = new AbortController();
  readonly #asked = new Map<number, (outcome: Outcome) => void>();
  #state: ConnectionState = { kind: 'idle' };
  #line: Line | undefined;
  #id = 0;
  #target: number;
  /** Attempts in a row that did not even open. */
  #unopened = 0;
  /** Which of the lines was chosen last. */
  #kind = 0;
  /** Ends the attempt under way. */
  #interrupt: () => void = () => undefined;

  constructor(targets: readonly string[], lines: Lines, tokens: Tokens, world: DriverWorld) {
    this.#targets = targets;
    this.#lines = lines;
    this.#tokens = tokens;
    this.#world = world;
    // A crowd of clients with the same list spreads over it.
    this.#target = Math.floor(world.random() * targets.length);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  nextId(): number {
    this.#id += 1;
    return this.#id;
  }

  /** Sends a command if there is a line, and answers the id it has. A line that ends answers it with `unavailable`. */
  ask(command: Command, answered: (outcome: Outcome) => void): number | undefined {
    if (this.#state.kind !== 'live') return undefined;
    const id = this.nextId();
    this.#asked.set(id, answered);
    this.#line?.send(command, id);
    return id;
  }

  /** The server in use, and a token for it. */
  async access(): Promise<{ base: string; token: string }> {
    return { base: this.#targets[this.#target] ?? '', token: await this.#tokens.current() };
  }

  /** Sends a command whose answer is `heard`. */
  send(command: Command, id: number): void {
    this.#line?.send(command, id);
  }

  async run(): Promise<void> {
    while (!this.#life.signal.aborted) {
      this.#move({ type: 'dial' });
      const { end, lasted } = await this.#attempt();
      if (this.#life.signal.aborted) return;
      const wait = this.#waitAfter(end, lasted ?? 0);
      this.#target = (this.#target + 1) % this.#targets.length;
      // From here on nothing is sent on the old line, whatever those do who are told of its end.
      this.#move({ type: 'lost', wait, reason: end.reason });
      if (lasted !== undefined) this.#world.lost(end.reason);
      this.#drop();
      if (end.code === EXPIRED) this.#expire(end, lasted);
      await this.#pause.wait(wait, this.#life.signal);
    }
  }

  /** Tries again now instead of when the wait is over. */
  nudge(): void {
    this.#pause.wake();
  }

  stop(reason: 'closed' | 'refused', error: ClientError): void {
    if (this.#state.kind === 'stopped') return;
    this.#move({ type: 'stopped', reason, detail: error.message });
    this.#drop();
    this.#life.abort();
    this.#interrupt();
    this.#world.stopped(error);
  }

  /** Full jitter. The targets of the first round are tried within half a second; a server that restarts is left at once. */
  #waitAfter(end: End, lasted: number): number {
    const hasAnother = this.#targets.length > 1 || end.code === EXPIRED;
    if (lasted >= GOOD && hasAnother && (end.code === RESTARTS || end.code === EXPIRED)) return 0;
    const round = Math.floor(failures(this.#state) / this.#targets.length);
    return backoff(round, FIRST_RETRY, this.#world.random());
  }

  /** From one dial to the end of what came of it. `lasted`: for how long it was good, in milliseconds, if it ever was. */
  async #attempt(): Promise<{ end: End; lasted?: number }> {
    let token: string;
    try {
      token = await this.#tokens.current();
    } catch (error) {
      this.#world.fault(asError(error));
      return { end: { code: BROKEN, reason: 'no token' } };
    }
    if (this.#life.signal.aborted) return { end: { code: BROKEN, reason: 'closed' } };
    const since: { live?: number } = {};
    const end = await this.#serve(token, since);
    return { end, ...(since.live !== undefined && { lasted: Date.now() - since.live }) };
  }

  #serve(token: string, since: { live?: number }): Promise<End> {
    const base = this.#targets[this.#target] ?? '';
    return new Promise((resolve) => {
      let patience: ReturnType<typeof setTimeout> | undefined;
      const ended = (end: End) => {
        clearTimeout(patience);
        resolve(end);
      };
      const authId = this.nextId();
      this.#interrupt = () => ended({ code: BROKEN, reason: 'closed' });
      this.#unopened += 1;
      const line = this.#choose()(base, {
        opened: () => {
          this.#unopened = 0;
          patience = setTimeout(() => ended({ code: BROKEN, reason: 'no answer to auth' }), AUTH_TIMEOUT);
          const lastEventId = this.#world.position();
          line.send({ op: 'auth', token, ...(lastEventId !== undefined && { lastEventId }) }, authId);
        },
        ended,
        heard: (heard) => {
          if (heard instanceof WireError) this.#world.fault(heard);
          else if (heard.event === 'reply' && heard.id === authId) {
            if (!heard.outcome.ok) ended(endOf(heard.outcome));
          } else if (heard.event !== 'connected') this.#hear(heard);
          else if (since.live === undefined) {
            clearTimeout(patience);
            since.live = Date.now();
            this.#begin(heard);
          }
        },
      });
      this.#line = line;
    });
  }

  /** The preferred kind of line; by turns another, once that one has not opened at any of the targets. */
  #choose(): OpenLine {
    const beyond = this.#unopened - this.#targets.length;
    if (this.#world.maySwitch()) this.#kind = beyond > 0 ? beyond % this.#lines.length : 0;
    return this.#lines[this.#kind] ?? this.#lines[0];
  }

  #begin({ user, node, resumed }: Extract<Heard, { event: 'connected' }>): void {
    this.#move({ type: 'connected', user, resumed: resumed ?? false });
    this.#planRenewal();
    this.#world.connected(user, node, resumed);
  }

  #hear(heard: Heard): void {
    if (heard.event === 'reply') {
      const answered = this.#asked.get(heard.id);
      this.#asked.delete(heard.id);
      if (answered) {
        answered(heard.outcome);
        return;
      }
    }
    this.#world.heard(heard);
  }

  #planRenewal(): void {
    this.#tokens.plan(this.#world.random(), () => void this.#renew());
  }

  /** Shows a newer token on the open line. If that fails, the old one expires, and the next line begins with another. */
  async #renew(): Promise<void> {
    try {
      const token = await this.#tokens.renewed();
      this.ask({ op: 'auth', token }, (outcome) => {
        if (!outcome.ok && this.#state.kind === 'live')
          this.#world.fault(new ClientError(outcome.error.code, outcome.error.message));
      });
    } catch (error) {
      this.#world.fault(asError(error));
    }
    if (this.#state.kind === 'live') this.#planRenewal();
  }

  #expire({ reason }: End, lasted: number | undefined): void {
    this.#tokens.forget();
    const error = new ClientError('unauthorized', reason);
    if (!this.#tokens.canRenew) this.stop('refused', error);
    // A token that has served its time is no fault; one that was never taken is.
    else if (lasted === undefined) this.#world.fault(error);
  }

  /** Lets go of the line. What was asked on it is answered. */
  #drop(): void {
    this.#tokens.rest();
    this.#line?.close();
    this.#line = undefined;
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const answered of asked)
      answered({ ok: false, error: { code: 'unavailable', message: 'the connection was lost' } });
  }

  #move(happening: Happening): void {
    this.#state = next(this.#state, happening);
  }
}

/** A refusal of the token ends the line as its expiry does; any other may pass. */
function endOf(outcome: Extract<Outcome, { ok: false }>): End {
  const { code, message } = outcome.error;
  const isToken = code === 'unauthorized' || code === 'forbidden' || code === 'conflict';
  return { code: isToken ? EXPIRED : BROKEN, reason: message };
}
