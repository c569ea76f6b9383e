/**
 * Offsets, `<ms>-<seq>`, and their order. They serve everything that follows a channel.
 * Invariant: they are compared as numbers of any size, never as floating point.
 */

const OFFSET = /^\d{1,20}-\d{1,20}$/;

/** Before everything. */
export const BEGINNING = '0';

export function isOffset(value: unknown): value is string {
  return typeof value === 'string' && OFFSET.test(value);
}

/** Whether `a` comes after `b`; either may be `0`. */
export function isAfter(a: string, b: string): boolean {
  const [aMs = '', aSeq = ''] = a.split('-');
  const [bMs = '', bSeq = ''] = b.split('-');
  return (compare(aMs, bMs) || compare(aSeq, bSeq)) > 0;
}

/** A text that sorts as the offset does. */
export function sortable(offset: string): string {
  const [ms = '', seq = ''] = offset.split('-');
  return `${ms.padStart(20, '0')}-${seq.padStart(20, '0')}`;
}

function compare(a: string, b: string): number {
  const x = BigInt(a || '0');
  const y = BigInt(b || '0');
  return x === y ? 0 : x > y ? 1 : -1;
}
