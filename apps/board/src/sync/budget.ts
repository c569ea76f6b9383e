/**
 * How much may be published now. It serves the board's channel.
 * Invariant: never more than a server lets through, so that moving a thousand elements is slow and not refused.
 */

/** Publishes a second, and at once: a tenth less than a server lets a token of `/access` through. */
const PER_SECOND = 450;
const AT_ONCE = 1_800;

export class Budget {
  #left = AT_ONCE;
  #at: number | undefined;

  /** Takes as much of `wanted` as there is. `now` in milliseconds. */
  take(wanted: number, now: number): number {
    const passed = Math.max(0, now - (this.#at ?? now));
    this.#at = now;
    this.#left = Math.min(AT_ONCE, this.#left + (passed * PER_SECOND) / 1_000);
    const taken = Math.max(0, Math.min(wanted, Math.floor(this.#left)));
    this.#left -= taken;
    return taken;
  }

  /** Gives back what was taken and not used. */
  give(unused: number): void {
    this.#left += unused;
  }
}
