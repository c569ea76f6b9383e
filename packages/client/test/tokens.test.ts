/**
 * Tokens with the time in hand.
 *
 * Breakages tried on purpose, each of which makes tests fail: no least wait; all renew at one moment; two ask side by side; a
 * token that seems to be over is asked for again.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Tokens } from '../src/tokens.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** `life` in seconds from now; no end without it. */
function tokenOf(life?: number): string {
  const exp = life === undefined ? {} : { exp: Date.now() / 1000 + life };
  return `h.${Buffer.from(JSON.stringify({ id: 'ann', ...exp })).toString('base64url')}.s`;
}

/** Keeps tokens of one life renewed, and counts how many there were. */
function keep(life: number, random: number) {
  const kept = { asked: 0 };
  const tokens = new Tokens(() => {
    kept.asked += 1;
    return tokenOf(life);
  });
  const plan = () => tokens.plan(random, () => void tokens.renewed().then(plan));
  void tokens.current().then(plan);
  return kept;
}

test('are replaced a minute before their end, and up to a minute earlier, lest a crowd come at once', async () => {
  const [late, early] = [keep(3600, 0), keep(3600, 0.999)];
  await vi.advanceTimersByTimeAsync(3_479_000);
  expect([late.asked, early.asked]).toEqual([1, 1]);
  await vi.advanceTimersByTimeAsync(2_000);
  expect([late.asked, early.asked]).toEqual([1, 2]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([late.asked, early.asked]).toEqual([2, 2]);
});

test.each([-60, 0, 1, 20])('of %i seconds are not asked for without end', async (life) => {
  const kept = keep(life, 0.5);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(kept.asked).toBeLessThanOrEqual(13);
});

test('that seem to be over are the server’s to judge: our clock may be wrong', async () => {
  let asked = 0;
  const tokens = new Tokens(() => {
    asked += 1;
    return tokenOf(-7200);
  });
  expect(await tokens.current()).toBe(await tokens.current());
  expect(asked).toBe(1);
  tokens.forget();
  await tokens.current();
  expect(asked).toBe(2);
});

test('are asked for once, however many want one, and again after a failure', async () => {
  const shown: (string | undefined)[] = [];
  const tokens = new Tokens(async (held) => {
    shown.push(held);
    if (shown.length === 2) throw new Error('no');
    return tokenOf(600);
  });
  const [first, same] = await Promise.all([tokens.current(), tokens.current()]);
  expect(first).toBe(same);
  await Promise.all([tokens.renewed(), tokens.renewed()].map((one) => expect(one).rejects.toThrow('no')));
  expect(tokens.held).toBe(first);
  await tokens.renewed();
  expect(shown).toEqual([undefined, first, first]);
});

test('that are none are refused', async () => {
  for (const nothing of ['', undefined, 7])
    await expect(new Tokens(() => nothing as string).current()).rejects.toBeInstanceOf(TypeError);
});
