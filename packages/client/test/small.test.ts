/** The small pure parts: backoff, states, tokens, ICE servers, descriptions, routes. */
import { describe, expect, test } from 'vitest';
import { backoff, LONGEST_WAIT } from '../src/backoff.js';
import { decodeIce } from '../src/ice.js';
import { type LinkHappening, type LinkState, nextLink, routeOf } from '../src/link-state.js';
import { decodeCandidate, decodeDescription, fingerprint, iceRound } from '../src/sdp.js';
import { type ConnectionState, type Happening, next } from '../src/state.js';
import { readToken } from '../src/tokens.js';

test('backoff doubles, is bounded, and is spread from zero', () => {
  expect([0, 1, 2, 3].map((attempt) => backoff(attempt, 1000, 1))).toEqual([1000, 2000, 4000, 8000]);
  expect(backoff(40, 1000, 1)).toBe(LONGEST_WAIT);
  expect(backoff(5, 1000, 0)).toBe(0);
  expect(backoff(1, 1000, 0.5)).toBe(1000);
});

describe('connection states', () => {
  const user = { id: 'a', username: 'ann' };
  const run = (...happenings: Happening[]) =>
    happenings.reduce<ConnectionState>((state, happening) => next(state, happening), { kind: 'idle' });
  const lost: Happening = { type: 'lost', wait: 5, reason: 'cut' };

  test('attempts are counted until one succeeds', () => {
    expect(run({ type: 'dial' }, lost, { type: 'dial' }, lost)).toEqual({
      kind: 'waiting',
      attempt: 2,
      wait: 5,
      reason: 'cut',
    });
    const live: Happening = { type: 'connected', user, resumed: true };
    expect(run({ type: 'dial' }, lost, { type: 'dial' }, live, lost)).toMatchObject({ attempt: 1 });
  });

  test('a stop is final until somebody dials again', () => {
    const stop: Happening = { type: 'stopped', reason: 'replaced', detail: '' };
    expect(run({ type: 'dial' }, stop, lost)).toMatchObject({ kind: 'stopped', reason: 'replaced' });
    expect(run({ type: 'dial' }, stop, { ...stop, reason: 'closed' })).toMatchObject({ reason: 'replaced' });
    expect(run({ type: 'dial' }, stop, { type: 'dial' })).toEqual({ kind: 'connecting', attempt: 0 });
  });
});

test('a token tells who it is for and until when', () => {
  const claims = Buffer.from(JSON.stringify({ id: 'ä', exp: 12 })).toString('base64url');
  expect(readToken(`x.${claims}.y`)).toEqual({ id: 'ä', expires: 12_000 });
  for (const bad of ['', 'a', 'a.b.c', 'a.!.c', `a.${Buffer.from('[]').toString('base64url')}.c`]) {
    expect(readToken(bad)).toEqual({ id: undefined, expires: undefined });
  }
});

test('ICE servers: what can be used, and until when', () => {
  const body = {
    iceServers: [
      { urls: 'stun:a' },
      { urls: ['turn:b'], username: '1700000000:ann', credential: 'c' },
      { urls: ['turn:c'], username: '1600000000:ann', credential: 'c' },
      { urls: 7 },
      null,
      { urls: [] },
    ],
  };
  const { servers, expires } = decodeIce(body);
  expect(servers).toHaveLength(3);
  expect(servers[0]).toEqual({ urls: ['stun:a'] });
  expect(expires).toBe(1_600_000_000_000);
  for (const bad of [null, {}, [], { iceServers: 1 }]) {
    expect(decodeIce(bad)).toEqual({ servers: [], expires: undefined });
  }
});

test('descriptions and candidates of peers', () => {
  const sdp = 'v=0\r\na=ice-ufrag:Ab+1\r\na=fingerprint:sha-256 AA:BB\r\n';
  expect(decodeDescription({ type: 'offer', sdp, more: 1 })).toEqual({ type: 'offer', sdp });
  for (const bad of [
    null,
    {},
    { type: 'rollback', sdp },
    { type: 'offer' },
    { type: 'offer', sdp: 'x'.repeat(40_000) },
  ]) {
    expect(decodeDescription(bad)).toBeUndefined();
  }
  expect(iceRound(sdp)).toBe('Ab+1');
  expect(fingerprint(sdp)).toBe('sha-256 aa:bb');
  expect(decodeCandidate({ candidate: 'c', sdpMid: '0', sdpMLineIndex: 0 })).toEqual({
    candidate: 'c',
    sdpMid: '0',
    sdpMLineIndex: 0,
    usernameFragment: null,
  });
  for (const bad of [null, {}, { candidate: 1 }, { candidate: 'x'.repeat(5000) }]) {
    expect(decodeCandidate(bad)).toBeUndefined();
  }
});

describe('links', () => {
  const run = (...happenings: LinkHappening[]) =>
    happenings.reduce<LinkState>((state, happening) => nextLink(state, happening), { kind: 'connecting' });

  test('come, falter, come back, and end for good', () => {
    expect(run({ type: 'interrupted' })).toEqual({ kind: 'connecting' });
    expect(run({ type: 'open' }, { type: 'route', route: 'direct' })).toEqual({
      kind: 'connected',
      route: 'direct',
    });
    expect(run({ type: 'open' }, { type: 'interrupted' })).toEqual({ kind: 'reconnecting' });
    expect(run({ type: 'route', route: 'direct' })).toEqual({ kind: 'connecting' });
    expect(run({ type: 'closed' }, { type: 'open' })).toEqual({ kind: 'closed' });
  });

  test('the route is read from the selected pair', () => {
    const stats = (local: string, transport: object, pair: object): [string, unknown][] => [
      ['t', { type: 'transport', ...transport }],
      ['p0', { type: 'candidate-pair', localCandidateId: 'x', remoteCandidateId: 'x' }],
      ['p', { type: 'candidate-pair', localCandidateId: 'l', remoteCandidateId: 'r', ...pair }],
      ['l', { type: 'local-candidate', candidateType: local }],
      ['r', { type: 'remote-candidate', candidateType: 'host' }],
    ];
    expect(routeOf(stats('host', { selectedCandidatePairId: 'p' }, {}))).toBe('direct');
    expect(routeOf(stats('relay', { selectedCandidatePairId: 'p' }, {}))).toBe('relayed');
    expect(routeOf(stats('relay', {}, { selected: true }))).toBe('relayed');
    expect(routeOf(stats('host', {}, {}))).toBe('unknown');
    expect(routeOf([])).toBe('unknown');
  });
});
