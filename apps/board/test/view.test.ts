/** What a person is shown: standing, names, colours, cursors. */
import type { ConnectionState, PeerView } from 'inkwire';
import { describe, expect, test } from 'vitest';
import { Cursors } from '../src/live/cursors.js';
import { type Circumstances, connectionOf, type Person, reachOf, type Standing } from '../src/live/view.js';
import type { UnsentState } from '../src/sync/unsent.js';
import { isName } from '../src/sync/words.js';
import { hueOf, initialsOf } from '../src/who/colour.js';
import { keepName, type Memory, recallName, tidyName } from '../src/who/name.js';

const user = { id: 'a', username: 'ann' };
const waiting = (attempt: number): ConnectionState => ({ kind: 'waiting', attempt, wait: 1, reason: 'cut' });

const NONE = { 'too-large': 0, refused: 0, taken: 0, untold: 0 };
const nothing: UnsentState = { count: 0, since: undefined, obstacles: NONE };
const well: Circumstances = {
  isView: false,
  isLevel: true,
  unsent: nothing,
  isKept: true,
  online: true,
  wasLive: true,
  error: '',
  refusal: undefined,
  isDead: false,
  now: 10_000,
};
const since = (count: number, at: number): UnsentState => ({ ...nothing, count, since: at });

describe('the standing is never better than the truth', () => {
  const live: ConnectionState = { kind: 'live', user, resumed: true };
  const isNew = { wasLive: false };
  const cases: [string, ConnectionState, Partial<Circumstances>, Standing, string][] = [
    ['not begun', { kind: 'idle' }, {}, 'connecting', 'Connecting…'],
    ['at first', { kind: 'connecting', attempt: 0 }, isNew, 'connecting', 'Connecting…'],
    ['first attempts that fail', waiting(2), isNew, 'connecting', 'Connecting…'],
    ['drawn before it was live', waiting(2), { ...isNew, unsent: since(2, 0) }, 'connecting', '2 unsent'],
    ['live', live, {}, 'live', 'Live'],
    ['connected, and still reading', live, { ...isNew, isLevel: false }, 'connecting', 'Connecting…'],
    ['connected again, and still reading', live, { isLevel: false }, 'reconnecting', 'Reconnecting…'],
    ['a change just made', live, { unsent: since(1, 9_900) }, 'live', 'Live'],
    ['an answer that takes its time', live, { unsent: since(3, 7_000) }, 'unsaved', 'Saving 3…'],
    [
      'what the server will not have',
      live,
      { unsent: { ...nothing, count: 1, obstacles: { ...NONE, 'too-large': 1 } } },
      'unsaved',
      '1 not saved',
    ],
    [
      'what was taken, and what no board will hold',
      live,
      { unsent: { ...nothing, count: 5, obstacles: { ...NONE, taken: 2, untold: 1 } } },
      'unsaved',
      '3 not saved',
    ],
    ['a drop', waiting(1), {}, 'reconnecting', 'Reconnecting…'],
    ['a drop with something unsent', waiting(1), { unsent: since(2, 0) }, 'reconnecting', '2 unsent'],
    ['dialling after a drop', { kind: 'connecting', attempt: 1 }, {}, 'reconnecting', 'Reconnecting…'],
    ['many failures', waiting(4), {}, 'offline', 'Offline'],
    ['no network', waiting(1), { online: false, unsent: since(4, 0) }, 'offline', 'Offline · 4 unsent'],
    ['left', { kind: 'stopped', reason: 'closed', detail: '' }, {}, 'stopped', 'Disconnected'],
  ];
  test.each(cases)('%s', (_name, state, circumstances, standing, label) => {
    const connection = connectionOf(state, { ...well, ...circumstances });
    expect(connection.standing).toBe(standing);
    expect(connection.label).toContain(label);
    expect(connection.unsent).toBe(circumstances.unsent?.count ?? 0);
  });

  test('whoever only looks is not told of drawing', () => {
    for (const state of [live, waiting(1), waiting(9)])
      expect(connectionOf(state, { ...well, isView: true }).detail).not.toMatch(/draw on|you draw/i);
  });

  test('a refusal is told in the server’s words', () => {
    const state: ConnectionState = { kind: 'stopped', reason: 'refused', detail: 'anonymous access is off' };
    expect(connectionOf(state, well).detail).toContain('anonymous access is off');
  });

  test('whatever stands in the way is told, with what to do', () => {
    const unsent: UnsentState = { ...nothing, count: 2, obstacles: { ...NONE, taken: 1, untold: 1 } };
    const { detail } = connectionOf(live, { ...well, unsent });
    expect(detail).toMatch(
      /make a copy of it, and delete the first one.*nobody else sees it.*on this page only/,
    );
  });

  test('what cannot be saved is told in words for people, with what to do', () => {
    const unsent: UnsentState = { ...nothing, count: 2, obstacles: { ...NONE, refused: 2 } };
    const told = (code: string) =>
      connectionOf(live, { ...well, unsent, refusal: { code, message: 'the channel is plain' } });
    const foreign = told('conflict');
    expect(foreign).toMatchObject({ standing: 'unsaved', label: '2 not saved', unsent: 2 });
    expect(foreign.notice).toMatchObject({ title: 'This board cannot be saved', offersBoard: true });
    expect(foreign.notice?.text).not.toContain('channel');
    expect(foreign.detail).toContain('the channel is plain');
    const refused = told('forbidden');
    expect(refused.notice).toMatchObject({ title: 'Not everything is saved', offersBoard: false });
    for (const { notice } of [foreign, refused]) expect(notice?.text).toContain('Save to…');
    // What is too large can be made smaller: no reason to leave.
    const large = { ...unsent, obstacles: { ...NONE, 'too-large': 1 } };
    const { notice } = connectionOf(live, { ...well, unsent: large });
    expect(notice).toMatchObject({ text: expect.stringContaining('make it smaller'), offersBoard: false });
  });

  test('a dead link is dead, however things stand', () => {
    for (const state of [waiting(1), waiting(9), { kind: 'idle' } as const]) {
      const { standing, notice } = connectionOf(state, { ...well, isView: true, isDead: true });
      expect(standing).toBe('stopped');
      expect(notice?.title).toBe('This link is no longer valid');
    }
  });

  test('where unsent changes are is told as it is', () => {
    const detail = (isKept: boolean) =>
      connectionOf(waiting(4), { ...well, isKept, unsent: since(2, 0) }).detail;
    expect(detail(true)).toContain('2 changes are kept in this browser');
    expect(detail(false)).toContain('on this page only');
  });
});

test('how a peer is reached', () => {
  const reach = (state: PeerView['state']) => reachOf(state);
  expect(reach({ kind: 'connected', route: 'direct' })).toBe('direct');
  expect(reach({ kind: 'connected', route: 'relayed' })).toBe('relayed');
  expect(reach({ kind: 'connected', route: 'unknown' })).toBe('connected');
  expect(reach({ kind: 'connecting' })).toBe('server');
  expect(reach({ kind: 'reconnecting' })).toBe('server');
  expect(reachOf(undefined)).toBe('server');
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
  expect(pointerOf([person('server')])).toEqual([undefined]);
  expect(pointerOf([])).toEqual([]);
  cursors.take('b', { t: 'away' });
  expect(pointerOf([person('direct')])).toEqual([undefined]);
  cursors.take('b', { t: 'at', x: 1, y: 2, tool: 'laser', button: 'down', selected: [] });
  cursors.forget('b');
  expect(pointerOf([person('direct')])).toEqual([undefined]);
});
