/**
 * The version of an element as a byte string. It serves everything that compares elements: replicas here, and the room's
 * channel on the server.
 * Invariant: of two versions the greater string wins, everywhere, and no two different pairs share a string.
 *
 * An element carries a version, raised by one with each change, and a nonce drawn with it. The editor itself prefers the
 * lower nonce between equal versions, so the nonce is written as its complement: then "greater wins" is one rule for the
 * editor, the peers and the server.
 */

/**
 * Thirty changes a second for a thousand years. A version beyond was made up, to be beaten by nobody; and the room to count on
 * must not end where numbers cease to be exact.
 */
const MOST_CHANGES = 2 ** 40;
/** Hexadecimal digits of the largest safe integer. */
const VERSION_DIGITS = 14;
const NONCE_DIGITS = 8;
const LARGEST_NONCE = 0xffffffff;

/** 14 digits, a dot, 8 digits: what the wire allows as a version is 64 of `[A-Za-z0-9._:-]`. */
export const VERSION = /^[0-9a-f]{14}\.[0-9a-f]{8}$/;

export interface Versioned {
  version: number;
  versionNonce: number;
}

export function versionOf({ version, versionNonce }: Versioned): string {
  const nonce = LARGEST_NONCE - versionNonce;
  return `${version.toString(16).padStart(VERSION_DIGITS, '0')}.${nonce.toString(16).padStart(NONCE_DIGITS, '0')}`;
}

/** Whether both numbers can be written as a version at all. */
export function isVersioned(version: unknown, versionNonce: unknown): boolean {
  return (
    Number.isInteger(version) &&
    (version as number) >= 1 &&
    (version as number) <= MOST_CHANGES &&
    Number.isInteger(versionNonce) &&
    (versionNonce as number) >= 0 &&
    (versionNonce as number) <= LARGEST_NONCE
  );
}

/** Whether `a` beats `b`; what is not there is beaten by everything. */
export function beats(a: string, b: string | undefined): boolean {
  // The strings are ASCII, so the order of JavaScript is the order of bytes.
  return b === undefined || a > b;
}
