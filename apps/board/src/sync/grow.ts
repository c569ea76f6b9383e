/**
 * A stroke that grows, told by its new end. It serves the exchange: sent whole thirty times a second, a long stroke would
 * weigh a hundred times as much.
 * Invariant: what is put together is what was cut, or nothing: the beginning is named by its length and a checksum, and
 * any copy of the stroke that starts with it will do.
 */
import { type BoardElement, decodeElement, isRecord } from './element.js';

/** Points below which a stroke is sent whole: it is no larger than what surrounds it. */
const SHORT = 24;
/** Points after which it is sent whole again, so that whoever has missed the beginning waits a second or so, not for ever. */
const LONGEST_END = 64;

type Point = readonly [number, number];

/** The beginning a peer is known to have been sent. */
export interface Beginning {
  readonly points: readonly Point[];
  readonly sum: string;
}

/** A stroke still under the hand; a finished one is always sent whole. */
export function beginningOf(element: BoardElement): Beginning | undefined {
  if (element.type !== 'freedraw' || element.isDeleted || element.lastCommittedPoint !== null)
    return undefined;
  const points = element.points as readonly Point[];
  return points.length < SHORT ? undefined : { points, sum: sumOf(points, points.length) };
}

/** The message for a stroke whose beginning the peer has; `undefined` where it has to be sent whole. */
export function cutEnd(element: BoardElement, { points: begun, sum }: Beginning): string | undefined {
  if (element.type !== 'freedraw' || element.isDeleted || element.lastCommittedPoint !== null)
    return undefined;
  const points = element.points as readonly Point[];
  const from = begun.length;
  if (points.length < from || points.length - from > LONGEST_END) return undefined;
  if (!begun.every((point, at) => point[0] === points[at]?.[0] && point[1] === points[at]?.[1]))
    return undefined;
  const pressures = (element.pressures as readonly number[]).slice(from);
  return JSON.stringify({ t: 'grow', from, sum, end: { ...element, points: points.slice(from), pressures } });
}

/** The whole element out of what is held and what has come, or `undefined` where they do not fit. */
export function joinEnd(
  held: BoardElement,
  from: number,
  sum: string,
  end: Record<string, unknown>,
): BoardElement | undefined {
  if (held.type !== 'freedraw' || !Array.isArray(end.points) || !Array.isArray(end.pressures))
    return undefined;
  const begun = held.points as readonly Point[];
  if (sumOf(begun, from) !== sum) return undefined;
  const pressures = held.pressures as readonly number[];
  return decodeElement({
    ...end,
    points: [...begun.slice(0, from), ...(end.points as unknown[])],
    pressures: [...pressures.slice(0, from), ...(end.pressures as unknown[])],
  });
}

export function decodeGrow(word: Record<string, unknown>) {
  const { from, sum, end } = word;
  if (!Number.isInteger(from) || (from as number) < 1 || typeof sum !== 'string' || !isRecord(end))
    return undefined;
  if (typeof end.id !== 'string') return undefined;
  return { t: 'grow', id: end.id, from: from as number, sum, end } as const;
}

/** FNV-1a over the coordinates as they are written. */
function sumOf(points: readonly Point[], length: number): string {
  let state = 0x811c9dc5;
  for (const [x, y] of points.slice(0, length)) {
    const text = `${x},${y};`;
    for (let at = 0; at < text.length; at += 1) state = Math.imul(state ^ text.charCodeAt(at), 0x01000193);
  }
  return (state >>> 0).toString(16);
}
