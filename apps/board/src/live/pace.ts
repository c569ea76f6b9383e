/**
 * Things done at most so often. It serves everything that follows the pointer.
 * Invariant: after the last `request` the deed is done once more, so the newest state always gets out.
 */
export class Pace {
  readonly #interval: number;
  readonly #deed: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #last: number;

  /** `interval` in milliseconds; `last`: as if it had been done at that moment of `performance.now()`. */
  constructor(interval: number, deed: () => void, last = Number.NEGATIVE_INFINITY) {
    this.#interval = interval;
    this.#deed = deed;
    this.#last = last;
  }

  request(): void {
    if (this.#timer !== undefined) return;
    const wait = Math.max(0, this.#last + this.#interval - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#last = performance.now();
      this.#deed();
    }, wait);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** The same, once per frame of the screen. A page nobody sees shows nothing, and catches up when it is looked at. */
export class Frames {
  readonly #deed: () => void;
  #frame: number | undefined;

  constructor(deed: () => void) {
    this.#deed = deed;
  }

  request(): void {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined;
      this.#deed();
    });
  }

  end(): void {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
  }
}
