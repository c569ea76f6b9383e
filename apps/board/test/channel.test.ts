/**
 * Boards on a channel and a mesh, through drops, restarts, gaps, refusals and wiped logs: in the end all replicas hold the
 * same, and that is what the channel holds. And at no moment does a page take for saved what the channel never had.
 *
 * Breakages tried on purpose, and how many of these they fail: settled when sent, not when answered (400); an answer that
 * settles whatever version is held by then (341); a failed publish that is not tried again (242); what is unsent not brought
 * back after a restart (451); what a dead peer has left not adopted (53); a gap in a page that is ignored (31), or in the
 * subscription (7), or taken for one between two pages of the whole log (117); following from the last message instead of the
 * head (19); a gap that forgets nothing (63), or what is unsent too (92), or publishes everything (50); an offset that is
 * kept while the log is read anew (3); a log wiped (31) or cut short (52) and taken for true; what the channel has
 * lost and we have, not doubted (68); peers met before the board is level (16); a publish taken for stored before the channel was
 * read to its place (19), or although no element stands there (35); keys without an element not kept with the board (91); an element that is taken
 * to stand where something else has come since (1).
 */
import { describe, expect, test } from 'vitest';
import type { BoardElement } from '../src/sync/element.js';
import { parseElement } from '../src/sync/message.js';
import { NAMES, World } from './channel-world.js';
import { below, pick, seeded } from './drawing.js';

/** The living elements, by id. */
const living = (elements: Iterable<BoardElement | undefined>) =>
  Object.fromEntries(
    [...elements]
      .filter((element) => element !== undefined && !element.isDeleted)
      .map((element) => [element?.id, element])
      .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
  );

interface Weather {
  gaps: boolean;
  wipes: boolean;
}

function live(seed: number, weather: Weather): World {
  const world = new World(seeded(seed), NAMES);
  world.isLinked = seed % 3 !== 0;
  struggle(world, 600, weather);
  world.settle();
  world.checkHonesty();
  return world;
}

/** Anything may happen, at any time. */
function struggle(world: World, steps: number, { gaps, wipes }: Weather): void {
  const { random } = world;
  for (let step = 0; step < steps; step += 1) {
    const page = world.pages.get(pick(NAMES, random));
    if (!page) throw new Error('nobody');
    const what = random();
    world.time += below(400, random);
    if (what < 0.18) page.edit(random);
    else if (what < 0.35) page.turn(random);
    else if (what < 0.62) page.step(random);
    else if (what < 0.74) world.deliver();
    else if (what < 0.8) page.keep(random() < 0.3 ? 2 : undefined);
    else if (what < 0.84) page.connect();
    else if (what < 0.865) page.drop();
    else if (what < 0.87) page.renew();
    else if (what < 0.9) world.meet(page.name, pick(NAMES, random));
    else if (what < 0.92) world.part(page.name);
    else if (what < 0.94) world.restart(page.name);
    else if (what < 0.95) world.time += 12_000;
    else if (what < 0.965 && gaps) world.collect();
    else if (what < 0.97 && wipes) world.log.wipe();
    world.checkHonesty();
  }
}

/** A version that nobody can beat. */
const LAST = 'zzzz';

/** Puts something that is no element under somebody's key, sometimes with a version that nobody can beat. */
function spoil(world: World): void {
  const { random } = world;
  const key = `e${below(7, random)}`;
  const count = Number.parseInt(world.log.ever.get(key) ?? '0', 16);
  // The second is beaten by the next edit but one, which somebody may have made already.
  const version = random() < 0.2 ? LAST : `${(count + 1).toString(16).padStart(14, '0')}.00000000`;
  put(world, key, version);
}

function put(world: World, key: string, version: string): void {
  world.log.publish({ key, version, isTombstone: false, text: '{"type":"nothing"}' });
}

interface Absence {
  world: World;
  /** What was there before, living or not. */
  before: string[];
  /** What the others have deleted since. */
  deleted: Set<string>;
  /** What the absent page has changed meanwhile. */
  changed: Set<string>;
}

/**
 * Everybody has everything; then one is away, and the others delete some of it. They may be told so in a mess: the absent
 * page comes back to peers before the channel, or as a new page with what its browser has kept.
 */
function absence(seed: number, meanwhile: (world: World) => void): Absence {
  const random = seeded(seed);
  const world = new World(random, NAMES);
  world.isLinked = seed % 4 !== 0;
  const pages = () => [...world.pages.values()];
  for (let at = 0; at < 12; at += 1)
    pages()[at % 3]?.edit(random, { id: `e${at}`, isDeleted: random() < 0.1 });
  world.settle();
  const before = world.log.entries.map(({ key }) => key);
  for (const page of pages()) page.keep();
  const [absent] = pages();
  absent?.drop();
  world.part('ann');
  const deleted = new Set<string>();
  for (let at = 0; at < 12; at += 1) {
    const [id, eraser] = [`e${at}`, pages()[1 + below(2, random)]];
    if (random() < 0.4) {
      eraser?.edit(random, { id, isDeleted: true });
      deleted.add(id);
    } else if (random() < 0.3) eraser?.edit(random, { id, isDeleted: false });
  }
  world.settle(['bob', 'cay']);
  const changed = new Set<string>();
  for (let at = 0; at < 12; at += 1) {
    if (random() < 0.8) continue;
    absent?.edit(random, { id: `e${at}`, isDeleted: false });
    changed.add(`e${at}`);
  }
  absent?.edit(random, { id: 'new', isDeleted: false });
  meanwhile(world);
  absent?.keep();
  if (random() < 0.5) world.restart('ann');
  // Those who remember the deletions may be gone themselves: then only the channel's word is left.
  for (const name of ['bob', 'cay']) {
    if (random() < 0.3) continue;
    world.part(name);
    world.open(name, { offset: '0', elements: new Map() });
  }
  world.settle(['bob', 'cay']);
  if (random() < 0.5) world.meet('ann', 'bob');
  for (let at = 0; at < 30; at += 1) {
    const ann = world.pages.get('ann');
    world.deliver();
    ann?.turn(random);
    ann?.requests.shift()?.();
    world.pages.get('bob')?.turn(random);
    if (at >= 10) ann?.connect();
    if (random() < 0.1) ann?.keep();
    if (random() < 0.05) world.restart('ann');
  }
  world.settle();
  world.checkHonesty();
  return { world, before, deleted, changed };
}

function checkEqual(world: World): void {
  const truth = living(world.log.entries.map(({ text }) => parseElement(text)));
  for (const { name, replica, channel } of world.pages.values()) {
    const board = living([...replica.ids()].map((id) => replica.get(id)?.element));
    expect(board, name).toEqual(truth);
    expect(channel.standing).toBe('level');
    expect(channel.unsent.state.count, `unsent at ${name}`).toBe(0);
  }
}

describe('drops, restarts and refusals: nothing the channel had is lost', () => {
  for (let seed = 1; seed <= 100; seed += 1) {
    test(`seed ${seed}`, () => {
      const world = live(seed, { gaps: false, wipes: false });
      checkEqual(world);
      const held = new Map(world.log.entries.map(({ key, version }) => [key, version]));
      for (const [id, version] of world.log.ever) expect(held.get(id)).toBe(version);
    });
  }
});

describe('collected tombstones: what was deleted stays so, unless somebody who could not know goes on with it', () => {
  for (let seed = 1001; seed <= 1100; seed += 1) {
    test(`seed ${seed}`, () => {
      const world = live(seed, { gaps: true, wipes: false });
      checkEqual(world);
      for (const { key, version, isTombstone } of world.log.entries) {
        if (isTombstone || world.mayRevive.has(key)) continue;
        expect(version, `${key} is back`).toBe(world.log.ever.get(key));
      }
    });
  }
});

describe('whoever was away for longer than deletions are known', () => {
  for (let seed = 3001; seed <= 3100; seed += 1) {
    test(`seed ${seed}`, () => {
      const { world, deleted, changed } = absence(seed, (about) => about.log.collect());
      checkEqual(world);
      const there = new Set(
        world.log.entries.filter(({ isTombstone }) => !isTombstone).map(({ key }) => key),
      );
      for (const id of deleted) if (!changed.has(id)) expect(there.has(id), `${id} is back`).toBe(false);
      expect(there.has('new')).toBe(true);
    });
  }
});

test('a copy that was written down by half brings back nothing that was deleted since', () => {
  const world = new World(seeded(1), ['ann', 'bob']);
  const [ann, bob] = [...world.pages.values()];
  for (const id of ['e0', 'e1', 'e2']) bob?.edit(world.random, { id, isDeleted: false });
  world.settle(['ann', 'bob']);
  ann?.keep(2);
  world.restart('ann');
  bob?.edit(world.random, { id: 'e0', isDeleted: true });
  world.settle(['bob']);
  world.log.collect();
  // Nobody is left who remembers.
  world.open('bob', { offset: '0', elements: new Map() });
  world.settle(['ann', 'bob']);
  checkEqual(world);
  expect(world.log.entries.map(({ key }) => key).sort()).toEqual(['e1', 'e2']);
});

describe('a log that has lost its tail is given it again', () => {
  for (let seed = 4001; seed <= 4060; seed += 1) {
    test(`seed ${seed}`, () => {
      const random = seeded(seed);
      const world = new World(random, NAMES);
      const draw = () => {
        for (const page of world.pages.values()) for (let n = 0; n < 5; n += 1) page.edit(random);
        world.settle();
      };
      draw();
      const failOver = world.log.remember();
      draw();
      const before = new Map(world.log.entries.map(({ key, version }) => [key, version]));
      for (const page of world.pages.values()) {
        page.keep();
        // Whoever stays connected hears of it from the subscription.
        if (random() < 0.5) page.drop();
      }
      failOver();
      if (random() < 0.5) world.restart('bob');
      world.settle();
      checkEqual(world);
      expect(new Map(world.log.entries.map(({ key, version }) => [key, version]))).toEqual(before);
    });
  }
});

describe('what is no element hides no loss: it is replaced, or what cannot be saved is said to be so', () => {
  for (let seed = 6001; seed <= 6100; seed += 1) {
    test(`seed ${seed}`, () => {
      const world = new World(seeded(seed), NAMES);
      world.hasVandal = true;
      world.isLinked = seed % 3 !== 0;
      for (let round = 0; round < 12; round += 1) {
        struggle(world, 40, { gaps: seed % 2 === 0, wipes: seed % 4 === 1 });
        spoil(world);
      }
      world.settle();
      world.checkHonesty();
      const there = new Map(world.log.entries.map((draft) => [draft.key, draft]));
      for (const { name, replica, channel } of world.pages.values()) {
        let taken = 0;
        for (const id of replica.ids()) {
          const entry = replica.get(id);
          const draft = there.get(id);
          if (!entry || entry.element.isDeleted || draft?.version === entry.version) continue;
          expect(draft && draft.version > entry.version, `${id} at ${name}`).toBe(true);
          taken += 1;
        }
        expect(channel.unsent.state.obstacles.taken, name).toBe(taken);
        expect(channel.unsent.state.count, name).toBe(taken);
      }
    });
  }
});

test('a page that was read before something else took the place of an element brings it back for nobody', () => {
  const world = new World(seeded(1), ['ann', 'bob']);
  world.hasVandal = true;
  world.isLinked = false;
  const [ann, bob] = [...world.pages.values()];
  const draw = () => ann?.edit(world.random, { id: 'e0', isDeleted: false });
  draw();
  world.settle(['ann', 'bob']);
  bob?.drop();
  draw();
  world.settle(['ann']);
  bob?.connect();
  bob?.requests.shift()?.();
  put(world, 'e0', LAST);
  bob?.hearOne();
  world.settle(['ann', 'bob']);
  for (const { name, channel } of world.pages.values())
    expect(channel.unsent.state.obstacles.taken, name).toBe(1);
});

describe('a log that is wiped is filled again by whoever has the board', () => {
  for (let seed = 2001; seed <= 2060; seed += 1) {
    test(`seed ${seed}`, () => {
      checkEqual(live(seed, { gaps: true, wipes: true }));
    });
  }

  for (let seed = 5001; seed <= 5040; seed += 1) {
    test(`with everything, if all were level: seed ${seed}`, () => {
      const random = seeded(seed);
      const world = new World(random, NAMES);
      for (let n = 0; n < 30; n += 1) world.pages.get('ann')?.edit(random);
      world.settle();
      const before = living(world.log.entries.map(({ text }) => parseElement(text)));
      expect(Object.keys(before).length).toBeGreaterThan(2);
      // Something of somebody's may be on its way, and arrive in the new log before it is read.
      const late = random() < 0.5;
      if (late) {
        world.pages.get('bob')?.edit(random, { id: 'late', isDeleted: false });
        world.pages.get('bob')?.turn(() => 1);
      }
      for (const page of world.pages.values()) page.drop();
      world.log.wipe();
      if (late) {
        world.pages.get('bob')?.connect();
        world.pages.get('bob')?.publishOne(() => 1);
      }
      world.settle();
      const after = living(world.log.entries.map(({ text }) => parseElement(text)));
      expect(Object.keys(after).filter((id) => id !== 'late')).toEqual(Object.keys(before));
      checkEqual(world);
    });
  }
});
