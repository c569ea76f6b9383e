/**
 * The people who want to be told. It serves signalling and mesh, which both speak in one union of happenings.
 * Invariant: a listener that throws harms neither the others nor the speaker.
 */
export class Listeners<T> {
  readonly #all = new Set<(happening: T) => void>();

  /** Returns the way to stop listening. */
  add(listener: (happening: T) => void): () => void {
    this.#all.add(listener);
    return () => {
      this.#all.delete(listener);
    };
  }

  tell(happening: T): void {
    for (const listener of [...this.#all]) {
      try {
        listener(happening);
      } catch (error) {
        // Out of our stack, so that the fault is still seen as uncaught, and the stream goes on.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
