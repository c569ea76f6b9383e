/**
 * Events by name. They serve the client.
 * Invariant: a listener that throws harms neither the others nor the client.
 */
import { Listeners } from '../listeners.js';

/** The arguments of each event, by its name. */
export type EventMap = { [name: string]: readonly unknown[] };

export class Events<Map extends EventMap> {
  readonly #all: { [Name in keyof Map]?: Listeners<Map[Name]> } = {};

  /** Returns the way to stop listening. */
  on<Name extends keyof Map>(name: Name, listener: (...told: Map[Name]) => void): () => void {
    this.#all[name] ??= new Listeners();
    return this.#all[name].add((told) => listener(...told));
  }

  tell<Name extends keyof Map>(name: Name, ...told: Map[Name]): void {
    this.#all[name]?.tell(told);
  }
}
