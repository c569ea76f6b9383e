/** The comparison of scene and replica. */
import { expect, test } from 'vitest';
import type { BoardElement } from '../src/sync/element.js';
import { Replica } from '../src/sync/replica.js';
import { compare, Seen } from '../src/sync/scene.js';
import { note, rectangle } from './drawing.js';

test('only what beats the replica is news, and it is a copy', () => {
  const replica = new Replica();
  const seen = new Seen();
  const mine = { ...rectangle({ id: 'mine', version: 3 }) };
  replica.put(rectangle({ id: 'theirs', version: 9 }), 'peer');
  const scene = [mine, rectangle({ id: 'theirs', version: 8 })];
  const { news } = compare(scene, replica, seen);
  expect(news).toEqual([mine]);
  expect(news[0]).not.toBe(mine);
  for (const element of news) replica.put(element, 'here');
  expect(compare(scene, replica, seen).news).toEqual([]);
  // In place, as the editor does it.
  Object.assign(mine, { version: 4, x: 77 });
  expect(compare(scene, replica, seen).news).toMatchObject([{ version: 4, x: 77 }]);
});

test('of equal versions the lower nonce is news, as the editor itself decides', () => {
  const replica = new Replica();
  replica.put(rectangle({ versionNonce: 5 }), 'peer');
  expect(compare([rectangle({ versionNonce: 6 })], replica, new Seen()).news).toEqual([]);
  expect(compare([rectangle({ versionNonce: 4 })], replica, new Seen()).news).toHaveLength(1);
});

test('what has vanished without a deletion is told once', () => {
  const replica = new Replica();
  const seen = new Seen();
  const scene = [rectangle({ id: 'a' }), rectangle({ id: 'b' })];
  compare(scene, replica, seen);
  expect(compare(scene.slice(1), replica, seen).vanished).toEqual(['a']);
  expect(compare(scene.slice(1), replica, seen).vanished).toEqual([]);
});

test('half-made elements of the editor wait for their next version', () => {
  const replica = new Replica();
  const seen = new Seen();
  const early = rectangle({ type: 'line', points: [] });
  expect(compare([early], replica, seen).news).toEqual([]);
  expect(seen.untold.size).toBe(0);
});

test('what no board will hold is counted, until it is mended or deleted', () => {
  const replica = new Replica();
  const seen = new Seen();
  const long = { text: 'x'.repeat(200_000) };
  const first = note({ id: 'note' });
  const look = (fields: Partial<BoardElement>) => {
    const { news } = compare([{ ...first, ...fields }], replica, seen);
    for (const element of news) replica.put(element, 'here');
    return news.length;
  };
  expect(look({ ...long })).toBe(0);
  expect([...seen.untold]).toEqual(['note']);
  expect(look({ version: 2, text: 'short' })).toBe(1);
  expect(seen.untold.size).toBe(0);
  expect(look({ version: 3, ...long })).toBe(0);
  expect(seen.untold.size).toBe(1);
  // Its deletion is told, as that of the text the others know.
  expect(look({ version: 4, ...long, isDeleted: true })).toBe(1);
  expect(seen.untold.size).toBe(0);
  expect(replica.get('note')?.element).toMatchObject({ version: 4, text: 'short', isDeleted: true });
});

test('what nobody ever held can be deleted without a word', () => {
  const seen = new Seen();
  const unknown = rectangle({ type: 'embeddable' });
  compare([unknown], new Replica(), seen);
  expect(seen.untold.size).toBe(1);
  expect(compare([{ ...unknown, version: 2, isDeleted: true }], new Replica(), seen).news).toEqual([]);
  expect(seen.untold.size).toBe(0);
});

test('a change beyond the last version there is does not pass for told', () => {
  const seen = new Seen();
  const replica = new Replica();
  replica.put(rectangle({ version: 2 ** 40 }), 'channel');
  expect(compare([rectangle({ version: 2 ** 40 + 1 })], replica, seen).news).toEqual([]);
  expect(seen.untold.size).toBe(1);
});
