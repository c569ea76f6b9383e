/**
 * The messages of a channel for one `for await` loop. It serves the client.
 * Invariant: no more than `HIGH` messages and what one frame brings wait for a slow loop; then the channel is paused, and
 * goes on where it stood once the loop has read half of them.
 */

/** Messages. A log on the server is a better place for more. */
export const HIGH = 1_024;

type End = { kind: 'done' } | { kind: 'failed'; error: Error };

export class Reader<T> implements AsyncIterableIterator<T, undefined> {
  #queue: T[] = [];
  #waiting: { done: (result: IteratorResult<T, undefined>) => void; failed: (error: Error) => void }[] = [];
  #end: End | undefined;
  readonly #onDrain: () => void;
  readonly #onReturn: () => void;

  constructor(onDrain: () => void, onReturn: () => void) {
    this.#onDrain = onDrain;
    this.#onReturn = onReturn;
  }

  get isFull(): boolean {
    return this.#queue.length >= HIGH;
  }

  push(items: readonly T[]): void {
    if (this.#end) return;
    this.#queue.push(...items);
    while (this.#queue.length > 0 && this.#waiting.length > 0) {
      this.#waiting.shift()?.done({ done: false, value: this.#queue.shift() as T });
    }
  }

  /** What was taken in is still read; then the loop ends, or throws. */
  end(error?: Error): void {
    this.#end ??= error ? { kind: 'failed', error } : { kind: 'done' };
    for (const waiting of this.#waiting.splice(0)) {
      if (error) waiting.failed(error);
      else waiting.done({ done: true, value: undefined });
    }
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#queue.length > 0) {
      const value = this.#queue.shift() as T;
      if (this.#queue.length === HIGH / 2) this.#onDrain();
      return Promise.resolve({ done: false, value });
    }
    if (this.#end?.kind === 'failed') return Promise.reject(this.#end.error);
    if (this.#end) return Promise.resolve({ done: true, value: undefined });
    return new Promise((done, failed) => {
      this.#waiting.push({ done, failed });
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#queue = [];
    this.end();
    this.#onReturn();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
