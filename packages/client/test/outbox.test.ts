/**
 * The rules of what is sent again, and under which number, without a connection and with time in hand.
 *
 * Breakages tried on purpose, each of which makes tests fail: what is put back goes behind what is new; a number is given
 * anew after a drop; a pause does not wait for what is in flight; a number that was overtaken is sent again.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import type { ClientError } from '../src/channels/errors.js';
import type { Outcome } from '../src/channels/heard.js';
import { MAX_WAITING, Outbox } from '../src/channels/outbox.js';

let outbox: Outbox;
let now: number;
let outcomes: Promise<string>[];

beforeEach(() => {
  now = 0;
  outbox = new Outbox('p', 0, () => 1);
  outcomes = [];
});

/** Publishes under the ids 0, 1, … */
function publish(...channels: string[]): void {
  for (const channel of channels) {
    const answered = outbox.add(outcomes.length, { op: 'publish', channel, fields: { a: '1' } });
    outcomes.push(
      answered.then(
        ({ offset }) => String(offset),
        (error: ClientError) => error.code,
      ),
    );
  }
}

/** All there is to send, as `id:number`. */
function sent(): string {
  const all: string[] = [];
  for (let next = outbox.next(now); next; next = outbox.next(now))
    all.push(`${next.id}:${next.publish.producer?.seq}`);
  return all.join(' ');
}

const OK: Outcome = { ok: true, reply: { offset: '1-0' } };
const no = (code: string): Outcome => ({ ok: false, error: { code, message: 'no', retryAfterMs: 100 } });
const answer = (id: number, outcome: Outcome) => outbox.answered(id, outcome, now);

test('after a drop the same is sent under the same numbers, before what is new', async () => {
  publish('a', 'b', 'a');
  expect(sent()).toBe('0:1 1:2 2:3');
  answer(0, OK);
  publish('a');
  outbox.lost();
  publish('a');
  expect(sent()).toBe('1:2 2:3 3:4 4:5');
  expect(await outcomes[0]).toBe('1-0');
});

test('who comes too fast is numbered anew once all is known', () => {
  publish('a', 'a', 'a', 'a');
  expect(sent()).toBe('0:1 1:2 2:3 3:4');
  answer(0, OK);
  answer(1, no('rate-limited'));
  answer(2, OK);
  publish('a');
  now = 200;
  expect(sent()).toBe('');
  expect(outbox.due(now)).toBeUndefined();
  answer(3, no('rate-limited'));
  expect(sent()).toBe('');
  expect(outbox.due(now)).toBe(100);
  now = 400;
  expect(sent()).toBe('1:5 3:6 4:7');
});

test('what may have been published keeps its number, or is in doubt', async () => {
  publish('a', 'a', 'a', 'b');
  sent();
  answer(0, no('unavailable'));
  answer(1, OK);
  answer(2, no('unavailable'));
  answer(3, OK);
  now = 200;
  expect(outbox.inDoubt(now)).toBe(true);
  expect(sent()).toBe('2:3');
  expect(await outcomes[0]).toBe('uncertain');
});

test('nothing is sent again when it can no longer be known again', async () => {
  publish('a');
  sent();
  outbox.lost();
  publish('a');
  expect(outbox.inDoubt(now)).toBe(true);
  now = 5 * 60_000;
  expect(outbox.inDoubt(now)).toBe(false);
  expect(sent()).toBe('1:2');
  expect(await outcomes[0]).toBe('uncertain');
});

describe('bounds', () => {
  test('so many wait, and no more', async () => {
    for (let n = 0; n <= MAX_WAITING; n += 1) publish('a');
    expect(await outcomes[MAX_WAITING]).toBe('full');
    expect(sent().split(' ')).toHaveLength(256);
  });

  test('refusals for good are told, and the end to everybody', async () => {
    publish('a', 'a');
    sent();
    answer(0, no('forbidden'));
    outbox.end(Object.assign(new Error('over'), { code: 'closed' }));
    expect(await Promise.all(outcomes)).toEqual(['forbidden', 'closed']);
    expect(outbox.inDoubt(now)).toBe(false);
  });
});
