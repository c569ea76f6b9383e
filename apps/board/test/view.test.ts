/** What a person is shown: standing, names, colours, cursors. */
import type { ConnectionState, PeerView } from 'inkwire';
import { describe, expect, test } from 'vitest';
import { Cursors } from '../src/live/cursors.js';
import { connectionOf, type Person, reachOf, type Standing } from '../src/live/view.js';
import { isName } from '../src/sync/words.js';
import { hueOf, initialsOf } from '../src/who/colour.js';
import { keepName, type Memory, recallName, tidyName } from '../src/who/name.js';

const user = { id: 'a', username: 'ann' };
const waiting = (attempt: number): ConnectionState => ({ kind: 'waiting', attempt, wait: 1, reason: 'cut' });

describe('the standing is never better than the truth', () => {
  const well = { online: true, wasLive: true };
  const cases: [string, ConnectionState, { online: boolean; wasLive: boolean }, Standing][] = [
    ['not begun', { kind: 'idle' }, well, 'connecting'],
    ['at first', { kind: 'connecting', attempt: 0 }, { online: true, wasLive: false }, 'connecting'],
    ['first attempts that fail', waiting(2), { online: true, wasLive: false }, 'connecting'],
    ['live', { kind: 'live', user, resumed: true }, well, 'live'],
    ['a drop', waiting(1), well, 'reconnecting'],
    ['dialling after a drop', { kind: 'connecting', attempt: 1 }, well, 'reconnecting'],
    ['many failures', waiting(4), well, 'offline'],
    ['no network', waiting(1), { online: false, wasLive: true }, 'offline'],
    ['replaced', { kind: 'stopped', reason: 'replaced', detail: '' }, well, 'stopped'],
  ];
  test.each(cases)('%s', (_name, state, circumstances, standing) => {
    expect(connectionOf(state, circumstances).standing).toBe(standing);
  });

  test('a refusal is told in the server’s words', () => {
    const state: ConnectionState = { kind: 'stopped', reason: 'refused', detail: 'anonymous access is off' };
    expect(connectionOf(state, well).detail).toContain('anonymous access is off');
  });
});

test('how a peer is reached', () => {
  const reach = (state: PeerView['state']) => reachOf(state);
  expect(reach({ kind: 'connected', route: 'direct' })).toBe('direct');
  expect(reach({ kind: 'connected', route: 'relayed' })).toBe('relayed');
  expect(reach({ kind: 'connected', route: 'unknown' })).toBe('connected');
  expect(reach({ kind: 'connecting' })).toBe('connecting');
  expect(reach({ kind: 'reconnecting' })).toBe('reconnecting');
});

test('there is always a name, and a chosen one is kept', () => {
  const kept = new Map<string, string>();
  const memory: Memory = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
  };
  for (const random of [0, 0.3, 0.999999]) {
    const name = recallName(undefined, () => random);
    expect(isName(name.text)).toBe(true);
    expect(name.chosen).toBe(false);
  }
  keepName(memory, 'Ann');
  expect(recallName(memory, Math.random)).toEqual({ text: 'Ann', chosen: true });
  kept.set('inkwire.name', 'a\u0007b');
  expect(recallName(memory, Math.random).chosen).toBe(false);
});

test('what was typed becomes a name the server takes, or none', () => {
  expect(tidyName('  Ann \n')).toBe('Ann');
  expect(tidyName('A\tB')).toBe('A B');
  expect([...(tidyName('😀'.repeat(100)) ?? '')]).toHaveLength(64);
  for (const nothing of ['', '   ', '\u0000']) expect(tidyName(nothing)).toBeUndefined();
});

test('initials and hues', () => {
  expect(['Ann', 'Amber Fox', '  jörg  von   ü ', '', '😀 x'].map(initialsOf)).toEqual([
    'A',
    'AF',
    'JÜ',
    '?',
    '😀X',
  ]);
  for (const id of ['', 'a', 'some-longer-id_123']) {
    expect(hueOf(id)).toBe(hueOf(id));
    expect(hueOf(id)).toBeGreaterThanOrEqual(0);
    expect(hueOf(id)).toBeLessThanOrEqual(360);
  }
});

test('a cursor is shown while its owner can be reached, and leaves no ghost', () => {
  const cursors = new Cursors();
  const person = (reach: Person['reach']): Person => ({ id: 'b', name: 'Bob', colour: '', reach });
  const pointerOf = (people: Person[]) =>
    [...cursors.collaborators(people).values()].map(({ pointer }) => pointer);
  cursors.take('b', { t: 'at', x: 1, y: 2, tool: 'pointer', button: 'up', selected: ['e'] });
  expect(pointerOf([person('direct')])).toEqual([{ x: 1, y: 2, tool: 'pointer' }]);
  expect(pointerOf([person('reconnecting')])).toEqual([undefined]);
  expect(pointerOf([])).toEqual([]);
  cursors.take('b', { t: 'away' });
  expect(pointerOf([person('direct')])).toEqual([undefined]);
  cursors.take('b', { t: 'at', x: 1, y: 2, tool: 'laser', button: 'down', selected: [] });
  cursors.forget('b');
  expect(pointerOf([person('direct')])).toEqual([undefined]);
});
