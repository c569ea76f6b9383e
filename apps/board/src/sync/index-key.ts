/**
 * The fractional index of an element: its place in the order of drawing. It serves the gate for elements of peers.
 * Invariant: what passes can be compared and subdivided; the editor throws on anything else.
 *
 * The first letter says how many base-62 digits the whole part has (`a` 1 … `z` 26, `Z` 1 … `A` 26); what follows is the
 * fraction, which does not end in `0`.
 */

/** Characters. Keys grow by a digit or so per halving; nobody halves this often. */
const LONGEST = 256;

export function isIndexKey(key: unknown): key is string {
  if (typeof key !== 'string' || key.length > LONGEST || !/^[A-Za-z][0-9A-Za-z]+$/.test(key)) return false;
  const head = key.charCodeAt(0);
  const digits = head >= 97 ? head - 96 : 91 - head;
  if (key.length < 1 + digits) return false;
  // The smallest whole number leaves no room below itself.
  if (key === `A${'0'.repeat(26)}`) return false;
  return key.length === 1 + digits || !key.endsWith('0');
}
