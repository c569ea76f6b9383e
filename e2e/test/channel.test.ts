/** The channel alone: pages that cannot reach each other, and rooms too large for a mesh. */
import { expect, test } from 'vitest';
import {
  boardOf,
  draw,
  keeps,
  linked,
  PATIENCE,
  peersOf,
  sameBoard,
  saved,
  shows,
  take,
} from '../src/board.js';
import type { Visitor } from '../src/browser.js';
import { drawingOf, openDrawing, rectangle, stroke } from '../src/drawing.js';
import { forgive, house, picture } from '../src/house.js';
import { takeKey } from '../src/outsider.js';

const home = house();

const published = ({ frames }: Visitor) => frames.filter((frame) => frame.includes('"op":"publish"'));

test('without WebRTC in one page, it is live all the same, while a gesture is made', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  const bob = await home.enter(room, { name: 'Bob' });
  const eve = await home.enter(room, { name: 'Eve', withoutWebRtc: true });
  for (const { page } of [ann, bob, eve]) await saved(page);
  await ann.page.waitForFunction(
    () => window.inkwire?.peers().some(({ state }) => state.kind === 'connected'),
    undefined,
    { timeout: PATIENCE },
  );
  await draw(
    ann.page,
    [
      [400, 300],
      [500, 250],
      [600, 350],
      [700, 300],
    ],
    async () => {
      // The button is still down.
      await eve.page.waitForFunction(
        () =>
          (window.inkwire?.board() ?? []).some(
            ({ type, points }) => type === 'freedraw' && (points?.length ?? 0) >= 4,
          ),
        undefined,
        { timeout: PATIENCE },
      );
    },
  );
  await draw(eve.page, [
    [400, 500],
    [500, 550],
  ]);
  const drawn = (await boardOf(ann.page)).map(({ id }) => id);
  for (const { page } of [ann, bob, eve]) {
    await page.waitForFunction(() => window.inkwire?.board().length === 2, undefined, { timeout: PATIENCE });
    await saved(page);
  }
  await sameBoard(bob.page, ann.page);
  await sameBoard(eve.page, ann.page);
  expect(drawn.length).toBeGreaterThan(0);
  expect(await peersOf(eve.page)).toEqual([]);
  await eve.page.getByRole('button', { name: '3 people are here. Show people' }).click();
  const list = eve.page.getByRole('region', { name: 'People' });
  expect(await list.getByText('through the server').count()).toBe(2);
  await picture(eve.page, 'without-webrtc');
});

test('a thousand elements are moved at once: nothing is refused into nothing', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann', withoutWebRtc: true });
  const bob = await home.enter(room, { name: 'Bob', withoutWebRtc: true });
  for (const { page } of [ann, bob]) await saved(page);
  await openDrawing(ann, drawingOf(Array.from({ length: 1_000 }, (_, at) => rectangle(at))));
  await ann.page.waitForFunction(() => window.inkwire?.board().length === 1_000, undefined, {
    timeout: PATIENCE,
  });
  await saved(ann.page);
  await sameBoard(bob.page, ann.page);
  const before = published(ann).length;
  await take(ann.page, 'v');
  await ann.page.keyboard.press('Control+a');
  const places = new Map((await boardOf(bob.page)).map(({ id, x }) => [id, x]));
  for (let step = 0; step < 5; step += 1) await ann.page.keyboard.press('Shift+ArrowRight');
  await ann.page.waitForFunction(
    (left) => (window.inkwire?.board() ?? []).every(({ id, x }) => x > (left[id] ?? 0)),
    Object.fromEntries(places),
    { timeout: PATIENCE },
  );
  await saved(ann.page);
  await sameBoard(bob.page, ann.page);
  const steps = (await boardOf(bob.page)).map(({ id, x }) => x - (places.get(id) ?? 0));
  expect(new Set(steps).size).toBe(1);
  expect(steps[0]).toBeGreaterThan(0);
  console.info(`1,000 elements moved five times over: ${published(ann).length - before} publishes`);
});

test('what is too large for the channel is said to be unsaved, and the rest is saved', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  await saved(ann.page);
  const points = Array.from({ length: 45_000 }, (_, at) => [
    at / 300 + 1 / 7,
    Math.sin(at / 900) * 100 + 1 / 7,
  ]);
  const huge = { ...stroke(1), id: 'huge', points, lastCommittedPoint: points.at(-1) };
  await openDrawing(ann, drawingOf([huge, rectangle(2)]));
  const standing = ann.page.locator('.standing', { hasText: '1 not saved' });
  await standing.waitFor({ timeout: PATIENCE });
  expect(await standing.getAttribute('title')).toContain('larger than 1 MiB');
  await keeps(ann.page, 1);
  const bob = await home.enter(room, { name: 'Bob', withoutWebRtc: true });
  await shows(bob.page, ['many-2']);
  // Once it is gone, nothing is unsaved any more.
  await take(ann.page, 'v');
  await ann.page.keyboard.press('Control+a');
  await ann.page.keyboard.press('Delete');
  await shows(bob.page, []);
  await saved(ann.page);
  await ann.page.locator('.standing', { hasText: 'Live' }).waitFor({ timeout: PATIENCE });
});

test('whatever is put in the place of an element, the page knows that it is not saved; and a copy of it is', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  await saved(ann.page);
  await draw(ann.page, [
    [400, 300],
    [500, 300],
    [600, 300],
  ]);
  await saved(ann.page);
  const [first = ''] = (await boardOf(ann.page)).map(({ id }) => id);
  const told = (text: string, { page } = ann) =>
    page.locator('.standing', { hasText: text }).waitFor({ timeout: PATIENCE });
  await takeKey(room, first);
  await told('1 not saved');
  // Who comes later has it from her, and from nobody else.
  const eve = await home.enter(room, { name: 'Eve' });
  await told('1 not saved', eve);
  await eve.page.getByRole('alert').getByText('make a copy of it').waitFor({ timeout: PATIENCE });
  await home.leave(eve);
  await keeps(ann.page, 1);
  await ann.page.reload();
  await told('1 not saved');
  await take(ann.page, 'v');
  await ann.page.keyboard.press('Control+a');
  await ann.page.keyboard.press('Control+d');
  for (let step = 0; step < 20; step += 1) await ann.page.keyboard.press('Shift+ArrowDown');
  await ann.page.waitForFunction(
    () => window.inkwire?.board().length === 2 && window.inkwire.channel().unsent === 1,
  );
  await ann.page.keyboard.press('Escape');
  await ann.page.mouse.click(500, 300);
  await ann.page.keyboard.press('Delete');
  await told('Live');
  const left = (await boardOf(ann.page)).map(({ id }) => id);
  expect(left).toHaveLength(1);
  expect(left).not.toContain(first);
  await saved(ann.page);
  await home.leave(ann);
  const bob = await home.enter(room, { name: 'Bob' });
  await saved(bob.page);
  await shows(bob.page, left);
});

test('twelve pages in one room: no mesh, and one board', async () => {
  const room = home.room();
  const people: Visitor[] = [];
  for (let at = 0; at < 12; at += 1)
    people.push(await home.enter(room, { name: `Person ${at + 1}`, viewport: { width: 800, height: 600 } }));
  const [ann, ...others] = people;
  if (!ann) throw new Error('nobody');
  for (const { page } of people) {
    await page.waitForFunction(
      () => window.inkwire?.comings().joined === 11 && window.inkwire.peers().length === 0,
      undefined,
      { timeout: PATIENCE },
    );
    await saved(page);
  }
  for (const { page } of people)
    await draw(page, [
      [300, 250],
      [400, 300],
    ]);
  for (const { page } of people) {
    await page.waitForFunction(() => window.inkwire?.board().length === 12, undefined, { timeout: PATIENCE });
    await saved(page);
  }
  for (const { page } of others) await sameBoard(page, ann.page);
  await ann.page.getByRole('button', { name: '12 people are here. Show people' }).click();
  await picture(ann.page, 'twelve');
  // Few enough again: they link. Whoever goes may be called once more, and is not found.
  for (const visitor of others.slice(3)) {
    forgive(visitor, /\/relay\//);
    await home.leave(visitor);
  }
  for (const { page } of people.slice(0, 4)) await linked(page, 3);
  await shows(
    ann.page,
    (await boardOf(others[0]?.page ?? ann.page)).map(({ id }) => id),
  );
  for (const visitor of people) forgive(visitor, /\/relay\//);
});
