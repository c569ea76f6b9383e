/**
 * Does something again for as long as that may help. It serves the requests and commands that nothing else repeats.
 * Invariant: whoever waits is answered: with what came of it, or with the last thing that went wrong.
 */
import { backoff } from './backoff.js';
import { Pause } from './pause.js';

/** Milliseconds; the first wait, at most. */
export const FIRST_RETRY = 250;
/** A relay is given up after this many attempts (about ten seconds): whoever it was for has dialled anew by then. */
export const RELAY_ATTEMPTS = 8;

export interface Persistence {
  attempts: number;
  /** Whether the same may well succeed later. */
  isPassing(error: unknown): boolean;
  random(): number;
  /** Nothing is tried after it. */
  signal?: AbortSignal;
}

export async function persist<T>(act: () => Promise<T>, persistence: Persistence): Promise<T> {
  const { attempts, isPassing, random, signal } = persistence;
  const pause = new Pause();
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await act();
    } catch (error) {
      if (signal?.aborted || attempt + 1 >= attempts || !isPassing(error)) throw error;
      const { retryAfter } = error as { retryAfter?: number };
      await pause.wait(backoff(attempt, FIRST_RETRY, random(), retryAfter), signal);
      if (signal?.aborted) throw error;
    }
  }
}
