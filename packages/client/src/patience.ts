/**
 * A signal that gives up after a silence. It serves whatever waits for a server.
 * Invariant: it is aborted when its owner is, when nothing was heard for so long, and at `end`, and leaves no timer behind.
 */
export class Patience {
  readonly #control = new AbortController();
  readonly #ms: number;
  readonly #owner: AbortSignal | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `ms`: milliseconds of silence. */
  constructor(ms: number, owner?: AbortSignal) {
    this.#ms = ms;
    this.#owner = owner;
    owner?.addEventListener('abort', this.#onOwner);
    if (owner?.aborted) this.#onOwner();
    this.heard();
  }

  get signal(): AbortSignal {
    return this.#control.signal;
  }

  /** There was a sign of life: the silence begins anew. */
  heard(): void {
    clearTimeout(this.#timer);
    const silence = () => this.#control.abort(new Error(`silent for ${this.#ms} ms`));
    this.#timer = setTimeout(silence, this.#ms);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#owner?.removeEventListener('abort', this.#onOwner);
    this.#control.abort();
  }

  readonly #onOwner = () => this.#control.abort(this.#owner?.reason);
}
