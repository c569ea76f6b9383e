/** Elements as the editor makes them, and seeded randomness to make many. They serve the tests of the sync. */
import type { BoardElement } from '../src/sync/element.js';

export type Random = () => number;

/** A 32-bit state, stirred; the same seed gives the same run. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}

export const below = (most: number, random: Random) => Math.floor(random() * most);

export function pick<T>(list: readonly T[], random: Random): T {
  const item = list[below(list.length, random)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

export function shuffle<T>(list: readonly T[], random: Random): T[] {
  return list
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

const COMMON = {
  x: 10,
  y: 20,
  width: 100,
  height: 50,
  angle: 0,
  strokeColor: '#1e1e1e',
  backgroundColor: 'transparent',
  fillStyle: 'solid',
  strokeWidth: 2,
  strokeStyle: 'solid',
  roughness: 1,
  opacity: 100,
  roundness: { type: 3 },
  seed: 7,
  groupIds: [],
  frameId: null,
  boundElements: [],
  updated: 1,
  link: null,
  locked: false,
};

export function rectangle(fields: Partial<BoardElement> = {}): BoardElement {
  return {
    id: 'a',
    type: 'rectangle',
    version: 1,
    versionNonce: 1,
    index: 'a0',
    isDeleted: false,
    ...COMMON,
    ...fields,
  };
}

export function stroke(fields: Partial<BoardElement> = {}): BoardElement {
  return rectangle({
    type: 'freedraw',
    points: [
      [0, 0],
      [1, 2],
    ],
    pressures: [],
    simulatePressure: true,
    lastCommittedPoint: null,
    ...fields,
  });
}

export function note(fields: Partial<BoardElement> = {}): BoardElement {
  return rectangle({
    type: 'text',
    text: 'hi',
    originalText: 'hi',
    fontSize: 20,
    fontFamily: 5,
    textAlign: 'left',
    verticalAlign: 'top',
    containerId: null,
    autoResize: true,
    lineHeight: 1.25,
    ...fields,
  });
}

/** A change as the editor makes one: the version goes up by one, the nonce is drawn anew. */
export function changed(element: BoardElement, random: Random): BoardElement {
  return {
    ...element,
    x: below(1000, random),
    isDeleted: random() < 0.15,
    version: element.version + 1,
    // Few nonces, so that equal versions with different nonces, and equal nonces, do come up.
    versionNonce: below(4, random),
  };
}
