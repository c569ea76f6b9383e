/**
 * A token, and when another is due. It serves whoever keeps a connection open with it, and guests.
 * Invariant: a token that the server has refused is not shown again; the application is asked for one at most once at a
 * time.
 */
import { isRecord, parseJson } from './check.js';

/** Milliseconds before its end at which a token is replaced; less for short-lived ones. */
const RENEW_BEFORE = 60_000;
/** Milliseconds between two renewals; a short life, or an application that fails, must not make us ask without end. */
const AT_LEAST = 5_000;
/** Milliseconds; the longest a timer can run. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Gives a token. `held` is the one so far. */
export type GetToken = (held: string | undefined) => string | Promise<string>;

export class Tokens {
  #held: string | undefined;
  /** When it is to be replaced, in milliseconds since 1970. */
  #renewAt = 0;
  /** Milliseconds by which some come earlier than others. */
  #spread = 0;
  #asking: Promise<string> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #get: GetToken;

  constructor(
    get: GetToken,
    /** Whether there can be another than the first. */
    readonly canRenew = true,
  ) {
    this.#get = get;
  }

  /** The one we have, however long it lasts. */
  get held(): string | undefined {
    return this.#held;
  }

  /** A token that lasts for a while yet, as far as we can see. */
  async current(): Promise<string> {
    return this.#held !== undefined && Date.now() < this.#renewAt ? this.#held : this.renewed();
  }

  renewed(): Promise<string> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  forget(): void {
    this.#held = undefined;
  }

  /** Calls when the token should be replaced, earlier for some than for others, lest a crowd come at once. */
  plan(random: number, due: () => void): void {
    this.rest();
    if (this.#renewAt === Number.POSITIVE_INFINITY) return;
    const wait = this.#renewAt - Date.now() - this.#spread * random;
    this.#timer = setTimeout(due, Math.min(LONGEST_TIMER, Math.max(AT_LEAST, wait)));
  }

  /** Forgets what was planned. */
  rest(): void {
    clearTimeout(this.#timer);
  }

  async #ask(): Promise<string> {
    const token = await this.#get(this.#held);
    if (typeof token !== 'string' || token === '') throw new TypeError('no token was given');
    this.#held = token;
    const { expires = 0 } = readToken(token);
    const life = expires - Date.now();
    this.#spread = Math.min(RENEW_BEFORE, life / 4);
    // One that seems to be over is the server's to judge: our clock may be wrong.
    this.#renewAt = this.canRenew && life > 0 ? expires - this.#spread : Number.POSITIVE_INFINITY;
    return token;
  }
}

/** What the client may know of its own token: who it is, and until when. The server alone judges it. */
export function readToken(token: string): { id: string | undefined; expires: number | undefined } {
  const claims = parseJson(decodeBase64Url(token.split('.')[1] ?? ''));
  if (!isRecord(claims)) return { id: undefined, expires: undefined };
  return {
    id: typeof claims.id === 'string' ? claims.id : undefined,
    expires: typeof claims.exp === 'number' ? claims.exp * 1000 : undefined,
  };
}

function decodeBase64Url(text: string): string {
  try {
    const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
    return new TextDecoder().decode(Uint8Array.from(binary, (character) => character.charCodeAt(0)));
  } catch {
    return '';
  }
}
