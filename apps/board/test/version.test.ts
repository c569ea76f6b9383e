/** Versions as byte strings. */
import { expect, test } from 'vitest';
import { beats, isVersioned, VERSION, type Versioned, versionOf } from '../src/sync/version.js';
import { below, seeded } from './drawing.js';

const v = (version: number, versionNonce: number): Versioned => ({ version, versionNonce });

test('the order of the strings is the order of the pairs: higher version, then lower nonce', () => {
  const random = seeded(1);
  const edges = [1, 2, 9, 10, 15, 16, 255, 256, 2 ** 31, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER];
  const nonces = [0, 1, 15, 16, 2 ** 31 - 1, 2 ** 31, 0xffffffff];
  const all = [
    ...edges.flatMap((version) => nonces.map((nonce) => v(version, nonce))),
    ...Array.from({ length: 200 }, () => v(1 + below(300, random), below(2 ** 32, random))),
  ];
  for (const a of all) {
    expect(versionOf(a)).toMatch(VERSION);
    expect(versionOf(a)).toMatch(/^[A-Za-z0-9._:-]{1,64}$/);
    for (const b of all) {
      const wins = a.version > b.version || (a.version === b.version && a.versionNonce < b.versionNonce);
      expect(beats(versionOf(a), versionOf(b))).toBe(wins);
      // The server compares bytes, JavaScript UTF-16 units: for these strings that is the same.
      expect(Buffer.compare(Buffer.from(versionOf(a)), Buffer.from(versionOf(b))) > 0).toBe(wins);
    }
  }
});

test('everything beats nothing', () => {
  expect(beats(versionOf(v(1, 0)), undefined)).toBe(true);
});

test('numbers that cannot be a version', () => {
  for (const [a, b] of [
    [0, 0],
    [1.5, 0],
    [-1, 0],
    [2 ** 53, 0],
    [Number.NaN, 0],
    [1, -1],
    [1, 2 ** 32],
    ['1', 0],
    [1, null],
  ]) {
    expect(isVersioned(a, b)).toBe(false);
  }
  expect(isVersioned(1, 0)).toBe(true);
});
