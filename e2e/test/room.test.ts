/** People in one room: what one draws the others see, while it is being drawn, through the data channels. */
import { expect, test } from 'vitest';
import {
  added,
  boardOf,
  draw,
  linked,
  PATIENCE,
  peersOf,
  sameBoard,
  saved,
  shows,
  take,
  write,
} from '../src/board.js';
import type { Visitor } from '../src/browser.js';
import { house, picture } from '../src/house.js';

const home = house();

/** What a page has published so far. */
const published = ({ frames }: Visitor) => frames.filter((frame) => frame.includes('"op":"publish"'));

test('a stroke is seen by the others while it is being drawn, and the server is told it once', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  const bob = await home.enter(room, { name: 'Bob' });
  const cay = await home.enter(room, { name: 'Cay' });
  for (const { page } of [ann, bob, cay]) await linked(page, 2);
  const before = await Promise.all([ann, bob, cay].map(({ page }) => peersOf(page)));
  const requests = ann.requests.length;
  let early = 0;
  await draw(
    ann.page,
    [
      [400, 300],
      [500, 250],
      [600, 350],
      [700, 300],
    ],
    async () => {
      // The button is still down: nothing is finished yet.
      for (const { page } of [bob, cay]) {
        await page.waitForFunction(
          () =>
            (window.inkwire?.board() ?? []).some(
              ({ type, points }) => type === 'freedraw' && (points?.length ?? 0) >= 6,
            ),
          undefined,
          { timeout: PATIENCE },
        );
      }
      early = (await boardOf(bob.page))[0]?.version ?? 0;
      expect(published(ann)).toEqual([]);
    },
  );
  const drawn = await boardOf(ann.page);
  expect(drawn).toHaveLength(1);
  expect(early).toBeGreaterThan(0);
  for (const { page } of [bob, cay]) await sameBoard(page, ann.page);
  // After the button was released the stroke was finished, by a newer version of the same element.
  expect((await boardOf(bob.page))[0]?.version).toBeGreaterThan(early);
  const after = await Promise.all([ann, bob, cay].map(({ page }) => peersOf(page)));
  const annId = after[1]?.find(({ peer }) => peer.username === 'Ann')?.peer.id;
  for (const { peer, counters } of after[0] ?? []) {
    const earlier = before[0]?.find((other) => other.peer.id === peer.id);
    expect(counters.updates.messagesSent).toBeGreaterThan(earlier?.counters.updates.messagesSent ?? 0);
  }
  for (const at of [1, 2]) {
    const [then, now] = [before, after].map(
      (all) => all[at]?.find(({ peer }) => peer.id === annId)?.counters.updates,
    );
    expect(now?.messagesReceived).toBeGreaterThan((then?.messagesReceived ?? 0) + 1);
    expect(now?.bytesReceived).toBeGreaterThan((then?.bytesReceived ?? 0) + 500);
    expect(now?.ignored).toBe(0);
  }
  expect(ann.requests.length).toBe(requests);
  await saved(ann.page);
  expect(published(ann)).toHaveLength(1);
  expect(after.flat().map(({ state }) => state)).toEqual(
    Array(6).fill({ kind: 'connected', route: 'direct' }),
  );
});

test('whoever closes the page is gone at once; whoever comes late sees the board', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  const bob = await home.enter(room, { name: 'Bob' });
  const cay = await home.enter(room, { name: 'Cay' });
  for (const { page } of [ann, bob, cay]) await linked(page, 2);
  await draw(ann.page, [
    [400, 300],
    [600, 400],
  ]);
  await draw(cay.page, [
    [600, 300],
    [400, 400],
  ]);
  await sameBoard(bob.page, cay.page);
  await shows(
    bob.page,
    (await boardOf(cay.page)).map(({ id }) => id),
  );
  await home.leave(cay);
  for (const { page } of [ann, bob]) await linked(page, 1);
  await ann.page.getByRole('button', { name: /people are here/ }).click();
  const list = ann.page.getByRole('region', { name: 'People' }).getByRole('listitem');
  expect(await list.allTextContents()).toEqual(expect.arrayContaining([expect.stringContaining('Bob')]));
  expect(await list.count()).toBe(2);
  const dan = await home.enter(room, { name: 'Dan' });
  await linked(dan.page, 2);
  await sameBoard(dan.page, ann.page);
  expect(await boardOf(dan.page)).toHaveLength(2);
  await picture(dan.page, 'late');
});

test('a stroke larger than a frame, as it grows and for whoever comes late', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  const bob = await home.enter(room, { name: 'Bob' });
  for (const { page } of [ann, bob]) await linked(page, 1);
  await ann.page.mouse.move(300, 200);
  await ann.page.mouse.down();
  for (let row = 0; row < 8; row += 1) {
    await ann.page.mouse.move(row % 2 === 0 ? 1000.3 : 300.7, 200.1 + row * 40.7, { steps: 65 });
  }
  await ann.page.mouse.up();
  await sameBoard(bob.page, ann.page);
  const [drawn] = await boardOf(ann.page);
  const [seen] = await boardOf(bob.page);
  expect(drawn?.points?.length).toBeGreaterThan(450);
  expect(seen).toEqual(drawn);
  const size = JSON.stringify(drawn).length;
  expect(size).toBeGreaterThan(16 * 1024);
  // Far less than the whole stroke thirty times a second: its new end, and now and then the whole.
  const received = (await peersOf(bob.page))[0]?.counters.updates;
  console.info(
    `a stroke of ${size} characters came in ${received?.messagesReceived} messages, ${received?.bytesReceived} bytes`,
  );
  expect(received?.bytesReceived).toBeLessThan(size * ((received?.messagesReceived ?? 0) / 4));
  await saved(ann.page);
  const cay = await home.enter(room, { name: 'Cay' });
  await linked(cay.page, 2);
  await sameBoard(cay.page, ann.page);
  expect((await boardOf(cay.page))[0]).toEqual(drawn);
  const fetched = (await peersOf(cay.page)).reduce(
    (sum, { counters }) => sum + counters.updates.bytesReceived,
    0,
  );
  // The channel has brought it: no peer is asked for it again.
  expect(fetched).toBeLessThan(size / 4);
});

test('undo takes back what one did oneself, and nobody else’s work', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  const bob = await home.enter(room, { name: 'Bob' });
  for (const { page } of [ann, bob]) await linked(page, 1);
  await draw(ann.page, [
    [400, 300],
    [500, 350],
  ]);
  const [first] = await boardOf(ann.page);
  await shows(bob.page, [first?.id ?? '']);
  await draw(bob.page, [
    [600, 300],
    [700, 350],
  ]);
  const [second = ''] = added(first ? [first] : [], await boardOf(bob.page));
  await shows(ann.page, [first?.id ?? '', second]);
  await draw(bob.page, [
    [600, 500],
    [700, 550],
  ]);
  const third =
    (await boardOf(bob.page)).map(({ id }) => id).find((id) => id !== first?.id && id !== second) ?? '';
  await shows(ann.page, [first?.id ?? '', second, third]);
  // More undoing than Ann has done: it must run out, not go on with Bob's strokes.
  for (let again = 0; again < 4; again += 1) await ann.page.keyboard.press('Control+z');
  for (const { page } of [ann, bob]) await shows(page, [second, third]);
  await ann.page.keyboard.press('Control+Shift+z');
  for (const { page } of [ann, bob]) await shows(page, [first?.id ?? '', second, third]);
  await bob.page.keyboard.press('Control+z');
  for (const { page } of [ann, bob]) await shows(page, [first?.id ?? '', second]);
  await sameBoard(bob.page, ann.page);
});

test('shapes, arrows, text and the eraser', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  const bob = await home.enter(room, { name: 'Bob' });
  for (const { page } of [ann, bob]) await linked(page, 1);
  const shapes: [string, string, number][] = [
    ['r', 'rectangle', 300],
    ['d', 'diamond', 420],
    ['o', 'ellipse', 540],
    ['a', 'arrow', 660],
    ['l', 'line', 780],
  ];
  for (const [key, , x] of shapes) {
    await take(ann.page, key);
    await draw(ann.page, [
      [x, 200],
      [x + 80, 280],
    ]);
  }
  await take(ann.page, 't');
  await write(ann.page, [400, 450], 'Hello, Bob');
  // Text is seen while it is typed.
  await bob.page.waitForFunction(
    () => (window.inkwire?.board() ?? []).some(({ text }) => text?.startsWith('Hello')),
    undefined,
    { timeout: PATIENCE },
  );
  await ann.page.keyboard.press('Escape');
  await sameBoard(bob.page, ann.page);
  const types = (await boardOf(bob.page)).map(({ type }) => type).sort();
  expect(types).toEqual(['arrow', 'diamond', 'ellipse', 'line', 'rectangle', 'text']);
  await picture(bob.page, 'shapes');
  await take(bob.page, 'e');
  await draw(bob.page, [
    [310, 150],
    [320, 320],
  ]);
  await ann.page.waitForFunction(
    () => !(window.inkwire?.board() ?? []).some(({ type, isDeleted }) => type === 'rectangle' && !isDeleted),
    undefined,
    { timeout: PATIENCE },
  );
  await sameBoard(ann.page, bob.page);
  expect(await boardOf(ann.page)).toHaveLength(5);
});

test('all draw at once, and all boards end the same', async () => {
  const room = home.room();
  const people = [
    await home.enter(room, { name: 'Ann' }),
    await home.enter(room, { name: 'Bob' }),
    await home.enter(room, { name: 'Cay' }),
  ];
  for (const { page } of people) await linked(page, 2);
  await Promise.all(
    people.map(async ({ page }, at) => {
      for (let n = 0; n < 4; n += 1) {
        await draw(page, [
          [350 + 200 * at, 200 + 80 * n],
          [450 + 200 * at, 240 + 80 * n],
          [350 + 200 * at, 260 + 80 * n],
        ]);
      }
    }),
  );
  const [ann, bob, cay] = people;
  if (!ann || !bob || !cay) throw new Error('somebody is missing');
  for (const { page } of people) {
    await page.waitForFunction(() => window.inkwire?.board().length === 12, undefined, { timeout: PATIENCE });
  }
  await sameBoard(bob.page, ann.page);
  await sameBoard(cay.page, ann.page);
  // The order of drawing is part of the board.
  const orders = await Promise.all(
    people.map(({ page }) =>
      page.evaluate(() =>
        (window.inkwire?.board() ?? [])
          .map(({ id, index }) => `${index} ${id}`)
          .sort()
          .join(),
      ),
    ),
  );
  expect(new Set(orders).size).toBe(1);
  // At rest nothing is said any more, or two pages would be correcting each other for ever.
  const quiet = async () =>
    (await peersOf(ann.page)).map(({ counters }) => counters.updates.messagesSent).join();
  await ann.page.waitForFunction(
    () => {
      const now = JSON.stringify(
        window.inkwire?.peers().map(({ counters }) => counters.updates.messagesSent),
      );
      const kept = window as unknown as { before?: string; since?: number };
      if (kept.before !== now) Object.assign(kept, { before: now, since: performance.now() });
      return performance.now() - (kept.since ?? 0) > 4_000;
    },
    undefined,
    { timeout: PATIENCE },
  );
  expect(await quiet()).toBe(await quiet());
});

test('a new name is seen by the others, and remembered', async () => {
  const room = home.room();
  const ann = await home.enter(room);
  const bob = await home.enter(room, { name: 'Bob' });
  for (const { page } of [ann, bob]) await linked(page, 1);
  await ann.page.getByRole('form', { name: 'Your name' }).getByRole('textbox').fill('Annabel');
  await ann.page.keyboard.press('Enter');
  await bob.page.getByRole('button', { name: /people are here/ }).click();
  await bob.page.getByRole('region', { name: 'People' }).getByText('Annabel').waitFor({ timeout: PATIENCE });
  await ann.page.reload();
  await linked(ann.page, 1);
  await bob.page.getByRole('region', { name: 'People' }).getByText('Annabel').waitFor({ timeout: PATIENCE });
  expect(await ann.page.getByRole('form', { name: 'Your name' }).count()).toBe(0);
});

test('a reloaded page has its board back', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  const bob = await home.enter(room, { name: 'Bob' });
  for (const { page } of [ann, bob]) await linked(page, 1);
  await draw(ann.page, [
    [400, 300],
    [500, 350],
  ]);
  await sameBoard(bob.page, ann.page);
  await ann.page.reload();
  for (const { page } of [ann, bob]) await linked(page, 1);
  await sameBoard(ann.page, bob.page);
  expect(await boardOf(ann.page)).toHaveLength(1);
});
