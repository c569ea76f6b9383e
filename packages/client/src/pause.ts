/**
 * A wait that can be cut short. It serves the loops that retry.
 * Invariant: it always ends: after the time, at `wake`, or when its owner is aborted.
 */
export class Pause {
  #end: (() => void) | undefined;

  /** Resolves after `ms` milliseconds, at `wake`, or once `signal` is aborted; it never rejects. */
  wait(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', end);
        this.#end = undefined;
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal?.addEventListener('abort', end);
      this.#end = end;
    });
  }

  /** Ends the wait under way, if there is one. */
  wake(): void {
    this.#end?.();
  }
}
