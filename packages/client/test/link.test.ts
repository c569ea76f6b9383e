/**
 * One peer's connection through everything that can go wrong with it, with time in hand.
 *
 * Breakages tried on purpose, each of which makes tests fail: a collision in which nobody yields; one in which both do;
 * candidates that are not kept for their description; a certificate that is not looked at; no dial by the side that
 * answers; no restart after `disconnected`; no second dial after `failed`.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { failAll, failOne, living, Pair, reset, setNetwork } from './wires.js';

let pair: Pair;

beforeEach(() => {
  vi.useFakeTimers();
  reset();
});
afterEach(() => {
  pair.a.close();
  pair.b.close();
  expect(living()).toBe(0);
  vi.useRealTimers();
});

const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);

function expectTalk(): void {
  pair.heard.length = 0;
  expect(pair.a.send('updates', 'from a')).toBe('sent');
  expect(pair.b.send('updates', 'from b')).toBe('sent');
  expect(pair.b.send('cursors', 'from b')).toBe('sent');
}

async function expectTalking(): Promise<void> {
  expect(pair.connected).toBe(true);
  expectTalk();
  await pass(0);
  expect([...pair.heard].sort()).toEqual(['a cursors from b', 'a updates from b', 'b updates from a']);
}

test('the newcomer offers, and both can talk', async () => {
  pair = new Pair();
  await pass(10);
  await expectTalking();
  expect(pair.a.state).toEqual({ kind: 'connected', route: 'direct' });
  expect(pair.opened).toEqual({ a: 1, b: 1 });
  // And nobody dials again for no reason.
  await pass(120_000);
  expect(pair.opened).toEqual({ a: 1, b: 1 });
  expect(pair.a.counters.updates).toMatchObject({
    messagesSent: 1,
    messagesReceived: 1,
    bytesSent: 6,
    ignored: 0,
  });
});

test('candidates may come before their description', async () => {
  pair = new Pair();
  const held: (() => void)[] = [];
  pair.post = (_to, event, deliver) => {
    if (event === 'session-description') held.push(deliver);
    else deliver();
  };
  await pass(10);
  while (held.length > 0) {
    held.shift()?.();
    await pass(10);
  }
  await expectTalking();
});

test('signals that come twice do no harm', async () => {
  pair = new Pair();
  pair.post = (_to, _event, deliver) => {
    deliver();
    deliver();
  };
  await pass(10);
  await expectTalking();
  await pass(60_000);
  await expectTalking();
});

test.each(['session-description', 'ice-candidate'])(
  'a lost %s is made up for by another dial',
  async (lost) => {
    pair = new Pair();
    let losses = 0;
    pair.post = (_to, event, deliver) => {
      if (event === lost && losses < 4) losses += 1;
      else deliver();
    };
    await pass(10);
    expect(pair.connected).toBe(false);
    await pass(90_000);
    expect(losses).toBe(4);
    await expectTalking();
  },
);

test('if no offer ever comes, the side that should answer dials', async () => {
  pair = new Pair({ a: 'answers', b: 'answers' });
  await pass(60_000);
  await expectTalking();
});

describe('both offer at once', () => {
  test('at the first dial', async () => {
    pair = new Pair({ a: 'offers', b: 'answers' });
    const held: (() => void)[] = [];
    pair.post = (_to, _event, deliver) => held.push(deliver);
    // Nothing passes until the other side has lost its patience and offers too.
    await pass(24_000);
    pair.post = (_to, _event, deliver) => deliver();
    for (const deliver of held.splice(0)) deliver();
    await pass(60_000);
    await expectTalking();
  });

  test('when the way between them is lost and both look for another', async () => {
    pair = new Pair();
    await pass(10);
    const held: (() => void)[] = [];
    pair.post = (_to, _event, deliver) => held.push(deliver);
    setNetwork(false);
    // Both have restarted by now, and neither has heard of the other's offer.
    await pass(8_000);
    expect(held.length).toBeGreaterThanOrEqual(2);
    setNetwork(true);
    pair.post = (_to, _event, deliver) => deliver();
    for (const deliver of held) deliver();
    await pass(5_000);
    await expectTalking();
    // The same channels: what was on its way in them is not lost.
    expect(pair.opened).toEqual({ a: 1, b: 1 });
  });
});

test('a short interruption heals without a word', async () => {
  pair = new Pair();
  await pass(10);
  let words = 0;
  pair.post = (_to, _event, deliver) => {
    words += 1;
    deliver();
  };
  setNetwork(false);
  expect(pair.a.state.kind).toBe('reconnecting');
  await pass(2_000);
  setNetwork(true);
  await pass(60_000);
  expect(words).toBe(0);
  await expectTalking();
});

test('a longer one is mended by another round of ICE, over the same channels', async () => {
  pair = new Pair();
  await pass(10);
  setNetwork(false);
  await pass(4_500);
  setNetwork(true);
  await pass(10_000);
  await expectTalking();
  expect(pair.opened).toEqual({ a: 1, b: 1 });
});

test('after a failure they dial from scratch, for as long as it takes', async () => {
  pair = new Pair();
  await pass(10);
  setNetwork(false);
  failAll();
  await pass(120_000);
  expect(pair.connected).toBe(false);
  setNetwork(true);
  await pass(60_000);
  await expectTalking();
  expect(pair.opened.a).toBe(2);
});

test.each(['first', 'last'] as const)(
  'a peer that has begun anew is answered, though we saw nothing wrong (%s)',
  async (which) => {
    pair = new Pair();
    await pass(10);
    failOne(which);
    await pass(30_000);
    expect(pair.opened).toEqual({ a: 2, b: 2 });
    await expectTalking();
  },
);

test('nonsense is counted and changes nothing', async () => {
  pair = new Pair();
  await pass(10);
  for (const data of [
    null,
    7,
    {},
    { type: 'offer' },
    { type: 'answer', sdp: 'v=0' },
    { type: 'pranswer', sdp: '' },
  ]) {
    pair.a.take('session-description', data);
  }
  for (const data of [null, {}, { candidate: 5 }]) pair.a.take('ice-candidate', data);
  pair.a.take('unheard-of', {});
  await pass(10);
  expect(pair.a.ignored).toBe(9);
  await expectTalking();
});

test('a flood of signals is bounded', async () => {
  pair = new Pair();
  await pass(10);
  for (let n = 0; n < 10_000; n += 1)
    pair.a.take('ice-candidate', { candidate: 'x', usernameFragment: `f${n}` });
  await pass(100);
  expect(pair.a.ignored).toBeGreaterThan(9_000);
  await expectTalking();
});

test('what is closed stays closed', async () => {
  pair = new Pair();
  await pass(10);
  pair.a.close();
  pair.a.take('session-description', { type: 'offer', sdp: 'v=0' });
  await pass(120_000);
  expect(pair.a.state).toEqual({ kind: 'closed' });
  expect(pair.a.send('updates', 'x')).toBe('closed');
});
