/**
 * What the person at this page is called. It serves everybody who asks: access, peers, the panel.
 * Invariant: there is always a name, so that nobody has to give one before drawing.
 */
import { isName, LONGEST_NAME } from '../sync/words.js';

const KEY = 'inkwire.name';

const MOODS = [
  'Amber',
  'Brisk',
  'Calm',
  'Clever',
  'Dapper',
  'Early',
  'Fond',
  'Gentle',
  'Indigo',
  'Jolly',
  'Keen',
  'Lucky',
  'Merry',
  'Nimble',
  'Quiet',
  'Sunny',
];
const ANIMALS = [
  'Badger',
  'Beaver',
  'Crane',
  'Dormouse',
  'Finch',
  'Fox',
  'Hare',
  'Heron',
  'Lynx',
  'Marten',
  'Newt',
  'Otter',
  'Owl',
  'Robin',
  'Stoat',
  'Wren',
];

export interface Name {
  text: string;
  /** Whether the person has chosen it, or nodded at it. */
  chosen: boolean;
}

/** The part of `localStorage` that is needed; it may be forbidden, and then nothing is remembered. */
export type Memory = Pick<Storage, 'getItem' | 'setItem'>;

export function recallName(memory: Memory | undefined, random: () => number): Name {
  const kept = memory?.getItem(KEY);
  if (isName(kept)) return { text: kept, chosen: true };
  const pick = (list: string[]) => list[Math.floor(random() * list.length)] ?? 'Guest';
  return { text: `${pick(MOODS)} ${pick(ANIMALS)}`, chosen: false };
}

export function keepName(memory: Memory | undefined, text: string): Name {
  memory?.setItem(KEY, text);
  return { text, chosen: true };
}

/** A name out of what was typed, or `undefined` where nothing is left of it. */
export function tidyName(typed: string): string | undefined {
  const text = [...typed.replaceAll(/\p{Cc}/gu, ' ').trim()].slice(0, LONGEST_NAME).join('').trim();
  return isName(text) ? text : undefined;
}

/** `localStorage`, or `undefined` where the browser forbids it. */
export function pageMemory(): Memory | undefined {
  try {
    return window.localStorage;
  } catch {
    return undefined;
  }
}
