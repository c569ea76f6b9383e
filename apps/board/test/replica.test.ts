/**
 * Replicas converge. Seeded fuzzing: any edits, in any order, doubled.
 *
 * Breakages tried on purpose, each of which makes tests fail: comparing the version without the nonce (195 of them); the
 * nonce without its complement (141: the editor's own order disagrees); versions without padding (65); `put` that takes
 * whatever comes last (201); `>=` instead of `>` in `beats`, so that a duplicate counts as a change (3).
 */
import { describe, expect, test } from 'vitest';
import type { BoardElement } from '../src/sync/element.js';
import { type Entry, Replica } from '../src/sync/replica.js';
import { below, changed, pick, rectangle, seeded, shuffle } from './drawing.js';

const state = (replica: Replica) =>
  Object.fromEntries([...replica.ids()].sort().map((id) => [id, replica.get(id)?.element]));

/** Edits by several people, each of whom has seen only some of the others'. */
function history(seed: number): BoardElement[] {
  const random = seeded(seed);
  const people = Array.from({ length: 3 }, () => new Map<string, BoardElement>());
  const edits: BoardElement[] = [];
  for (let step = 0; step < 60; step += 1) {
    const mine = pick(people, random);
    const id = `e${below(6, random)}`;
    const edit = changed(mine.get(id) ?? rectangle({ id, version: 1 }), random);
    mine.set(id, edit);
    // Two different edits never share version and nonce in the editor, which draws from 2³¹; so not here either.
    if (
      edits.some(
        (other) =>
          other.id === id && other.version === edit.version && other.versionNonce === edit.versionNonce,
      )
    )
      continue;
    edits.push(edit);
    if (random() < 0.3) pick(people, random).set(id, edit);
  }
  return edits;
}

describe('the same edits give the same board', () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    test(`seed ${seed}`, () => {
      const edits = history(seed);
      const random = seeded(seed * 7919);
      const boards = Array.from({ length: 4 }, () => {
        const replica = new Replica();
        const doubled = [...edits, ...edits.filter(() => random() < 0.4)];
        for (const edit of shuffle(doubled, random)) replica.put(edit, 'peer');
        return state(replica);
      });
      for (const board of boards) expect(board).toEqual(boards[0]);
      expect(boards[0]).toEqual(expected(edits));
    });
  }
});

/** The rule, said another way: of each element the highest version, and of those the lowest nonce. */
function expected(edits: BoardElement[]): Record<string, BoardElement> {
  const best: Record<string, BoardElement> = {};
  for (const edit of edits) {
    const held = best[edit.id];
    if (
      !held ||
      edit.version > held.version ||
      (edit.version === held.version && edit.versionNonce < held.versionNonce)
    ) {
      best[edit.id] = edit;
    }
  }
  return best;
}

test('what is put again changes nothing, and nobody is told', () => {
  const replica = new Replica();
  const follower = replica.follow('here');
  expect(replica.put(rectangle(), 'here')).toBe('taken');
  follower.unmark('a');
  expect(replica.put(rectangle(), 'here')).toBe('stale');
  expect(replica.put(rectangle({ versionNonce: 2 }), 'here')).toBe('stale');
  expect(follower.waiting).toBe(0);
});

test('a slow follower holds ids, and gets the newest of each', () => {
  const replica = new Replica();
  const follower = replica.follow('here');
  for (let version = 1; version <= 1000; version += 1) replica.put(rectangle({ version }), 'here');
  expect(follower.waiting).toBe(1);
  const [only] = [...follower.peek()] as [Entry];
  expect(only.element.version).toBe(1000);
});

test('peers are told what is made here, the editor what comes from there', () => {
  const replica = new Replica();
  const peer = replica.follow('here');
  const editor = replica.follow('peer');
  replica.put(rectangle({ id: 'mine' }), 'here');
  replica.put(rectangle({ id: 'theirs' }), 'peer');
  expect([...peer.peek()].map(({ element }) => element.id)).toEqual(['mine']);
  expect([...editor.peek()].map(({ element }) => element.id)).toEqual(['theirs']);
  peer.end();
  replica.put(rectangle({ version: 2 }), 'here');
  expect(peer.waiting).toBe(1);
});

test('the difference to what another one holds', () => {
  const replica = new Replica();
  replica.put(rectangle({ id: 'a' }), 'here');
  replica.put(rectangle({ id: 'b', version: 5 }), 'here');
  const other = new Replica();
  other.put(rectangle({ id: 'b', version: 6 }), 'here');
  other.put(rectangle({ id: 'c' }), 'here');
  expect(replica.newerThan(new Map(Object.entries(other.versions())))).toEqual(['a']);
  expect(other.newerThan(new Map(Object.entries(replica.versions())))).toEqual(['b', 'c']);
});
