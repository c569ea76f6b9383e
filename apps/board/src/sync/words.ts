/**
 * What boards say to each other over the mesh, as two unions and one decoder each. They serve the exchange and the
 * cursors.
 * Invariant: whatever the text, decoding answers; what is not well-formed is `undefined`.
 */
import { type BoardElement, decodeElement, isRecord } from './element.js';
import { decodeGrow } from './grow.js';
import { VERSION } from './version.js';

/** Over `updates`: loses nothing, keeps no order. */
export type Word =
  /** Who I am called; the server's word on my id stands beside it. */
  | { t: 'hello'; name: string }
  /** What I hold: send me what is newer, then say `level`. */
  | { t: 'have'; versions: Map<string, string> }
  /** Elements, and how many of those sent made no sense. */
  | { t: 'put'; elements: BoardElement[]; refused: number }
  /** A stroke you have the beginning of, and its new end. */
  | { t: 'grow'; id: string; from: number; sum: string; end: Record<string, unknown> }
  /** Everything your `have` lacked is sent: so many elements. */
  | { t: 'level'; sent: number }
  /** I have been still for a while, and this is the digest of what I hold. */
  | { t: 'still'; digest: string };

/** Over `cursors`: the newest counts, any other may be lost. */
export type CursorWord =
  | { t: 'at'; x: number; y: number; tool: 'pointer' | 'laser'; button: 'up' | 'down'; selected: string[] }
  | { t: 'away' };

/** Characters, and what a name may not hold: control characters. */
export const LONGEST_NAME = 64;
const MOST_SELECTED = 100;

export function decodeWord(textOfWord: string): Word | undefined {
  const word = parse(textOfWord);
  switch (word?.t) {
    case 'hello':
      return isName(word.name) ? { t: 'hello', name: word.name } : undefined;
    case 'have':
      return decodeHave(word.versions);
    case 'put':
      return Array.isArray(word.elements) ? decodePut(word.elements) : undefined;
    case 'grow':
      return decodeGrow(word);
    case 'level':
      return isCount(word.sent) ? { t: 'level', sent: word.sent } : undefined;
    case 'still':
      return typeof word.digest === 'string' ? { t: 'still', digest: word.digest } : undefined;
    default:
      return undefined;
  }
}

function decodeHave(value: unknown): Word | undefined {
  if (!isRecord(value)) return undefined;
  const versions = new Map<string, string>();
  for (const [id, version] of Object.entries(value)) {
    if (typeof version !== 'string' || !VERSION.test(version)) return undefined;
    versions.set(id, version);
  }
  return { t: 'have', versions };
}

/** One bad element does not spoil the others: they may come from different people. */
function decodePut(values: unknown[]): Word {
  const elements = values.map(decodeElement).filter((element) => element !== undefined);
  return { t: 'put', elements, refused: values.length - elements.length };
}

export function decodeCursor(textOfWord: string): CursorWord | undefined {
  if (textOfWord.length > 16_384) return undefined;
  const word = parse(textOfWord);
  if (word?.t === 'away') return { t: 'away' };
  if (word?.t !== 'at' || !isPlace(word.x) || !isPlace(word.y)) return undefined;
  const selected = Array.isArray(word.selected) ? word.selected : [];
  return {
    t: 'at',
    x: word.x,
    y: word.y,
    tool: word.tool === 'laser' ? 'laser' : 'pointer',
    button: word.button === 'down' ? 'down' : 'up',
    selected: selected.filter((id): id is string => typeof id === 'string').slice(0, MOST_SELECTED),
  };
}

export function isName(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    /\S/.test(value) &&
    [...value].length <= LONGEST_NAME &&
    !/\p{Cc}/u.test(value)
  );
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isPlace(value: unknown): value is number {
  return typeof value === 'number' && Math.abs(value) <= 1e8;
}

function parse(textOfWord: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(textOfWord) as unknown;
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
