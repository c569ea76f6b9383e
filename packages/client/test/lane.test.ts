/**
 * One sender and one receiver between a mesh that loses and reorders and a channel that is slow, in thousands of seeded
 * histories.
 *
 * Breakages tried on purpose, each of which makes tests fail: the receiver does not wait for the channel (`c`); what `fail` gives is not
 * sent; it is sent behind the next message; numbers that were had are given again; the window is not looked at; an acknowledgement
 * moves nothing.
 */
import { describe, expect, test } from 'vitest';
import { type Frame, Incoming, Outgoing, WINDOW } from '../src/rooms/lane.js';
import { type Random, seeded } from './random.js';

type Letter = { n: number; data: unknown; m?: number };

class World {
  readonly out = new Outgoing();
  readonly inward = new Incoming();
  readonly mesh: Frame[] = [];
  readonly channel: Letter[] = [];
  readonly got: unknown[] = [];
  #n = 0;
  #seen = 0;
  #said = 0;

  constructor(readonly random: Random) {}

  say(): void {
    this.#said += 1;
    if (this.out.push(this.#said)) {
      if (!this.pump()) this.fail();
      return;
    }
    this.fail();
    this.#publish({ data: this.#said });
  }

  pump(): boolean {
    return this.out.pump((frame) => {
      if (this.random() < 0.05) return this.random() < 0.5 ? 'full' : 'closed';
      this.mesh.push(frame);
      return 'sent';
    });
  }

  /** The mesh breaks, and loses some of what it had. What is left arrives late. */
  fail(): void {
    for (let at = this.mesh.length - 1; at >= 0; at -= 1) if (this.random() < 0.5) this.mesh.splice(at, 1);
    for (const { m, data } of this.out.fail()) this.#publish({ m, data });
  }

  arrive(way: 'mesh' | 'channel'): void {
    if (way === 'mesh') {
      const [frame] = this.mesh.splice(Math.floor(this.random() * this.mesh.length), 1);
      if (frame) this.got.push(...this.inward.take(frame, this.#seen));
      return;
    }
    const letter = this.channel.shift();
    if (!letter) return;
    const { n, m, data } = letter;
    this.#seen = n;
    if (m !== undefined) this.got.push(...this.inward.take({ m, c: 0, data }, n));
    else this.got.push(data);
    this.got.push(...this.inward.next(n));
  }

  get expected(): unknown[] {
    return Array.from({ length: this.#said }, (_, at) => at + 1);
  }

  #publish(letter: Omit<Letter, 'n'>): void {
    this.#n += 1;
    this.out.after = this.#n;
    this.channel.push({ ...letter, n: this.#n });
  }
}

test('whatever happens on the way: in order, and once', () => {
  for (let seed = 0; seed < 2_000; seed += 1) {
    const world = new World(seeded(seed));
    for (let step = 0; step < 200; step += 1) {
      const next = world.random();
      if (next < 0.35) world.say();
      else if (next < 0.6) world.arrive('mesh');
      else if (next < 0.75) world.arrive('channel');
      else if (next < 0.85) world.out.acknowledged(world.inward.last);
      else if (next < 0.9) {
        world.fail();
        world.out.open();
      } else if (next < 0.93) world.fail();
      else world.pump();
    }
    // At last everything arrives.
    world.fail();
    while (world.mesh.length + world.channel.length > 0) {
      world.arrive('mesh');
      world.arrive('channel');
    }
    expect(world.got, `seed ${seed}`).toEqual(world.expected);
  }
});

describe('bounds', () => {
  test('a peer that never answers is given a window, and no more', () => {
    const out = new Outgoing();
    out.open();
    for (let n = 0; n < WINDOW; n += 1) expect(out.push(n)).toBe(true);
    expect(out.push('more')).toBe(false);
    out.pump(() => 'sent');
    out.acknowledged(10);
    expect(out.push('more')).toBe(true);
    expect(out.fail()).toHaveLength(WINDOW - 9);
  });

  test('a peer that leaves a hole cannot make us hold without end', () => {
    const inward = new Incoming();
    for (let m = 2; m < 10 * WINDOW; m += 1) expect(inward.take({ m, c: 0, data: m }, 0)).toEqual([]);
    expect(inward.take({ m: 1, c: 0, data: 1 }, 0)).toHaveLength(2 * WINDOW + 1);
  });

  test('what the channel has lost is not waited for', () => {
    const inward = new Incoming();
    inward.take({ m: 1, c: 5, data: 'a' }, 3);
    inward.take({ m: 3, c: 5, data: 'c' }, 3);
    expect(inward.lose()).toEqual(['a', 'c']);
    expect(inward.take({ m: 7, c: 5, data: 'g' }, Number.POSITIVE_INFINITY)).toEqual(['g']);
    expect(inward.take({ m: 6, c: 5, data: 'f' }, Number.POSITIVE_INFINITY)).toEqual([]);
    expect(inward.take({ m: 8, c: 5, data: 'h' }, Number.POSITIVE_INFINITY)).toEqual(['h']);
  });
});
