/**
 * Moments in which the page has nothing else to do. They serve what can wait: writing down, and fetching beforehand.
 * Invariant: such a moment comes, if only after so long.
 */

/** `longest`: milliseconds after which it goes on in the midst of other things; for ever, unless said. */
export function idle(longest = 0): Promise<void> {
  return new Promise((done) => {
    // Not every browser knows when it is idle.
    if ('requestIdleCallback' in globalThis) requestIdleCallback(() => done(), { timeout: longest });
    else setTimeout(done);
  });
}
