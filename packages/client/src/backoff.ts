/**
 * How long to wait before trying again. It serves every loop of this package that retries.
 * Invariant: a pure function of the attempt and a random number, so that a crowd of clients spreads out and a test can
 * say what comes.
 */

/** No wait is longer than this, in milliseconds: a person who looks at the page should not have to reload it. */
export const LONGEST_WAIT = 15_000;

/**
 * Full jitter: anything between zero and `base` doubled per attempt. `attempt` counts from 0, `random` is in [0, 1).
 * The first retries stay inside the server's grace time (5 s), so a short drop is resumed and nobody sees it.
 * `asked`: what the server wants instead; it knows better.
 */
export function backoff(attempt: number, base: number, random: number, asked?: number): number {
  if (asked) return asked;
  const ceiling = Math.min(LONGEST_WAIT, base * 2 ** Math.min(attempt, 16));
  return Math.round(ceiling * random);
}
