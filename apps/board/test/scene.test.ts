/** The comparison of scene and replica. */
import { expect, test } from 'vitest';
import { Replica } from '../src/sync/replica.js';
import { compare } from '../src/sync/scene.js';
import type { Versioned } from '../src/sync/version.js';
import { rectangle } from './drawing.js';

test('only what beats the replica is news, and it is a copy', () => {
  const replica = new Replica();
  const shown = new Map<string, Versioned>();
  const mine = { ...rectangle({ id: 'mine', version: 3 }) };
  replica.put(rectangle({ id: 'theirs', version: 9 }), 'peer');
  const scene = [mine, rectangle({ id: 'theirs', version: 8 })];
  const { news } = compare(scene, replica, shown);
  expect(news).toEqual([mine]);
  expect(news[0]).not.toBe(mine);
  for (const element of news) replica.put(element, 'here');
  expect(compare(scene, replica, shown).news).toEqual([]);
  // In place, as the editor does it.
  Object.assign(mine, { version: 4, x: 77 });
  expect(compare(scene, replica, shown).news).toMatchObject([{ version: 4, x: 77 }]);
});

test('of equal versions the lower nonce is news, as the editor itself decides', () => {
  const replica = new Replica();
  replica.put(rectangle({ versionNonce: 5 }), 'peer');
  expect(compare([rectangle({ versionNonce: 6 })], replica, new Map()).news).toEqual([]);
  expect(compare([rectangle({ versionNonce: 4 })], replica, new Map()).news).toHaveLength(1);
});

test('what has vanished without a deletion is told once', () => {
  const replica = new Replica();
  const shown = new Map<string, Versioned>();
  const scene = [rectangle({ id: 'a' }), rectangle({ id: 'b' })];
  compare(scene, replica, shown);
  expect(compare(scene.slice(1), replica, shown).vanished).toEqual(['a']);
  expect(compare(scene.slice(1), replica, shown).vanished).toEqual([]);
});

test('half-made elements of the editor wait for their next version', () => {
  const replica = new Replica();
  const shown = new Map<string, Versioned>();
  const early = rectangle({ type: 'line', points: [] });
  expect(compare([early], replica, shown).news).toEqual([]);
});
