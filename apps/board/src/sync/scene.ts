/**
 * The editor's scene and the replica, compared. It serves the binding, which carries the outcome out.
 * Invariant: a pure function of its arguments; what it calls new beats what the replica holds.
 */
import { type BoardElement, decodeElement } from './element.js';
import type { Replica } from './replica.js';
import { beats, isVersioned, type Versioned, versionOf } from './version.js';

/** An element of the editor's, as far as it matters here. */
export interface SceneElement extends Versioned {
  readonly id: string;
}

export interface Comparison {
  /** Changed here: to be put into the replica. Copies, because the editor changes its own in place. */
  news: BoardElement[];
  /** Once shown, and gone from the scene without a deletion (a file was opened over it): to be shown again. */
  vanished: string[];
}

/** An element as others are to know it; `undefined`: not yet, it is to be asked for again. */
export type Translate = (element: SceneElement) => SceneElement | undefined;

/** `shown` maps the ids the scene held at the last comparison to what it held then; it is brought up to date. */
export function compare(
  scene: readonly SceneElement[],
  replica: Replica,
  shown: Map<string, Versioned>,
  translate: Translate = (element) => element,
): Comparison {
  const news: BoardElement[] = [];
  for (const element of scene) {
    const { id, version, versionNonce } = element;
    const last = shown.get(id);
    // Most elements have not changed since the last look, many times a second, and cost no more than this.
    if (last?.version === version && last.versionNonce === versionNonce) continue;
    if (!isVersioned(version, versionNonce)) continue;
    const told = translate(element);
    if (!told) continue;
    shown.set(id, { version, versionNonce });
    if (!beats(versionOf(element), replica.get(id)?.version)) continue;
    const copy = decodeElement(told);
    if (copy) news.push(copy);
  }
  return { news, vanished: shown.size > scene.length ? takeVanished(scene, shown) : [] };
}

function takeVanished(scene: readonly SceneElement[], shown: Map<string, Versioned>): string[] {
  const present = new Set(scene.map(({ id }) => id));
  const vanished = [...shown.keys()].filter((id) => !present.has(id));
  for (const id of vanished) shown.delete(id);
  return vanished;
}
