/**
 * The page's token, one for all it does: events, channel and files. It serves the live board.
 * Invariant: whoever asks is given a token other than the one it had, and that lasts for a while; it is asked for once,
 * however many want it. Where there is none and never will be, `isDead` says so.
 */
import { type Access, ClientError, readToken } from 'inkwire';
import { isRecord } from '../sync/element.js';

/** Milliseconds a token must last yet to be given out. */
const LASTS = 90_000;
/** The code of a view that does not open. */
const NOWHERE = 'not-found';

export class Pass {
  readonly #ask: Access;
  #held: string | undefined;
  #asking: Promise<string> | undefined;
  #isDead = false;

  constructor(ask: Access) {
    this.#ask = ask;
  }

  /** Whether the link leads nowhere: asking again is of no use. */
  get isDead(): boolean {
    return this.#isDead;
  }

  /** The token to go on with; another than `last`, the one that has served its time or was refused. */
  async token(last?: string): Promise<string> {
    if (this.#held && this.#held !== last && lasts(this.#held)) return this.#held;
    this.#asking ??= this.#renew().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /** Tokens for one who keeps a connection, and asks when the last one has served its time or was refused. */
  source(): () => Promise<string> {
    let last: string | undefined;
    return async () => {
      last = await this.token(last);
      return last;
    };
  }

  async #renew(): Promise<string> {
    // Never aborted: others may be waiting for it.
    try {
      const { token } = await this.#ask(new AbortController().signal, this.#held);
      this.#held = token;
      return token;
    } catch (error) {
      this.#isDead = error instanceof ClientError && error.code === NOWHERE;
      throw error;
    }
  }
}

/** Access to a view: a token that may look at the board, and do nothing else. */
export function viewAccess(view: string, username: string): Access {
  const ask = (signal: AbortSignal, token?: string) =>
    fetch('/access', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify({ username, view }),
      signal,
    });
  return async (signal, held) => {
    const shown = held !== undefined && lasts(held) ? held : undefined;
    let response = await ask(signal, shown);
    // The server may have another secret now, and does not know the token.
    if (shown && (response.status === 401 || response.status === 403)) response = await ask(signal);
    const body: unknown = await response.json();
    if (response.ok && isRecord(body) && typeof body.token === 'string') return { token: body.token };
    // The server's own word, and not that of a gateway which has no server behind it at the moment.
    if (isRecord(body) && body.code === NOWHERE) throw new ClientError(NOWHERE, 'there is no such board');
    const detail = isRecord(body) && typeof body.detail === 'string' ? body.detail : '';
    throw new ClientError('refused', detail || `status ${response.status}`);
  };
}

const lasts = (token: string) => (readToken(token).expires ?? Number.POSITIVE_INFINITY) > Date.now() + LASTS;
