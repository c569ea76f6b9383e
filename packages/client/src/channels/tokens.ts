/**
 * The token of a client, and when another is due. It serves the driver.
 * Invariant: a token that the server has refused is not shown again; the application is asked for one at most once at a
 * time.
 */
import { readToken } from '../access.js';

/** Milliseconds before its end at which a token is replaced; less for short-lived ones. */
const RENEW_BEFORE = 60_000;
/** Milliseconds; a wrong clock must not make us ask without end. */
const AT_LEAST = 5_000;
/** Milliseconds; the longest a timer can run. */
const LONGEST_TIMER = 2 ** 31 - 1;

export class Tokens {
  #held: { token: string; gotAt: number } | undefined;
  #asking: Promise<string> | undefined;
  readonly #get: () => string | Promise<string>;

  constructor(
    get: () => string | Promise<string>,
    /** Whether there can be another than the first. */
    readonly canRenew: boolean,
  ) {
    this.#get = get;
  }

  /** A token that lasts for a while yet, as far as we can see. */
  current(now: number): Promise<string> {
    if (this.#held && !(this.canRenew && now >= this.#renewAt())) return Promise.resolve(this.#held.token);
    return this.renewed();
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

  /** Milliseconds until the token should be replaced, or `undefined` if it never should. */
  renewIn(now: number): number | undefined {
    const at = this.#renewAt();
    if (!this.canRenew || at === Number.POSITIVE_INFINITY) return undefined;
    return Math.min(LONGEST_TIMER, Math.max(AT_LEAST, at - now));
  }

  #renewAt(): number {
    if (!this.#held) return 0;
    const { expires } = readToken(this.#held.token);
    if (expires === undefined) return Number.POSITIVE_INFINITY;
    return expires - Math.min(RENEW_BEFORE, (expires - this.#held.gotAt) / 4);
  }

  async #ask(): Promise<string> {
    const token = await this.#get();
    if (typeof token !== 'string' || token === '') throw new TypeError('getToken gave no token');
    this.#held = { token, gotAt: Date.now() };
    return token;
  }
}
