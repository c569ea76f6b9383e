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
  readonly isDeleted: boolean;
  readonly points?: unknown;
}

export interface Comparison {
  /** Changed here: to be put into the replica. Copies, because the editor changes its own in place. */
  news: BoardElement[];
  /** Once shown, and gone from the scene without a deletion (a file was opened over it): to be shown again. */
  vanished: string[];
}

/** An element as others are to know it; `undefined`: not yet, it is to be asked for again. */
export type Translate = (element: SceneElement) => SceneElement | undefined;

/** What was seen of a scene, from one comparison to the next. */
export class Seen {
  /** What the scene held at the last comparison. */
  readonly shown = new Map<string, Versioned>();
  /** What of it is nothing that a board may hold: too much of something, or of a kind nobody here knows. */
  readonly untold = new Set<string>();

  forget(id: string): void {
    this.shown.delete(id);
    this.untold.delete(id);
  }
}

/** `seen` is brought up to date. */
export function compare(
  scene: readonly SceneElement[],
  replica: Replica,
  seen: Seen,
  translate: Translate = (element) => element,
): Comparison {
  const news: BoardElement[] = [];
  for (const element of scene) {
    const { id, version, versionNonce } = element;
    const last = seen.shown.get(id);
    // Most elements have not changed since the last look, many times a second, and cost no more than this.
    if (last?.version === version && last.versionNonce === versionNonce) continue;
    const told = translate(element);
    if (!told) continue;
    seen.forget(id);
    seen.shown.set(id, { version, versionNonce });
    const held = replica.get(id);
    if (isVersioned(version, versionNonce) && !beats(versionOf(element), held?.version)) continue;
    const copy = decodeElement(told) ?? deletionOf(told, held?.element);
    if (copy) news.push(copy);
    else if (!told.isDeleted && !isHalfMade(told)) seen.untold.add(id);
  }
  return { news, vanished: seen.shown.size > scene.length ? takeVanished(scene, seen) : [] };
}

/** What may not be held can be deleted all the same: as what was held before it. */
function deletionOf(told: SceneElement, held: BoardElement | undefined): BoardElement | undefined {
  const { version, versionNonce, isDeleted } = told;
  return isDeleted && held ? decodeElement({ ...held, version, versionNonce, isDeleted }) : undefined;
}

/** A line of one point has only been begun: it gets another, or goes. */
function isHalfMade({ points }: SceneElement): boolean {
  return Array.isArray(points) && points.length < 2;
}

function takeVanished(scene: readonly SceneElement[], seen: Seen): string[] {
  const present = new Set(scene.map(({ id }) => id));
  const vanished = [...seen.shown.keys()].filter((id) => !present.has(id));
  for (const id of vanished) seen.forget(id);
  return vanished;
}
