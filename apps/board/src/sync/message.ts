/**
 * Elements as messages of the room's channel, and back. They serve whatever reads and writes the channel.
 * Invariant: key and version of a message are those of the element it carries, and only what is deleted travels as a
 * tombstone; a message that says otherwise is none of a board's.
 */
import { type BoardElement, decodeElement } from './element.js';
import type { Entry } from './replica.js';
import { versionOf } from './version.js';

/** What the channel is to keep of an element. */
export interface Draft {
  readonly key: string;
  readonly version: string;
  readonly isTombstone: boolean;
  /** The element as JSON. */
  readonly text: string;
}

/** A message as the channel gives it: an offset and texts. */
export interface BoardMessage {
  readonly offset: string;
  readonly [field: string]: unknown;
}

/** Characters. A deleted stroke larger than this travels without its points: what is too large to save can be deleted. */
const LARGE = 256 * 1024;

export function toDraft({ version, element }: Entry, text: string): Draft {
  const isLarge = element.isDeleted && text.length > LARGE && Array.isArray(element.points);
  return {
    key: element.id,
    version,
    isTombstone: element.isDeleted,
    text: isLarge ? JSON.stringify(withoutPoints(element)) : text,
  };
}

function withoutPoints(element: BoardElement): BoardElement {
  const points = (element.points as unknown[]).slice(0, 2);
  return { ...element, points, ...('pressures' in element && { pressures: [] }) };
}

export function decodeMessage(message: BoardMessage): BoardElement | undefined {
  const element = typeof message.element === 'string' ? parseElement(message.element) : undefined;
  if (!element || message['@key'] !== element.id || message['@version'] !== versionOf(element))
    return undefined;
  // A tombstone is collected after a day: what lives must not travel as one.
  if (message['@deleted'] === true && !element.isDeleted) return undefined;
  return element;
}

/** Key and version of a message, whatever it carries; `undefined` where it has none. */
export function keyedOf(message: BoardMessage): { key: string; version: string } | undefined {
  const { '@key': key, '@version': version } = message;
  return typeof key === 'string' && typeof version === 'string' ? { key, version } : undefined;
}

/** `undefined` where the text is no element that a board may hold. */
export function parseElement(text: string): BoardElement | undefined {
  try {
    return decodeElement(JSON.parse(text));
  } catch {
    return undefined;
  }
}
