/** Lines that break: what the others notice of it, and what they do not. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { boardOf, comingsOf, draw, linked, PATIENCE, peersOf, sameBoard } from '../src/board.js';
import { house, picture } from '../src/house.js';
import { type Line, startLine } from '../src/proxy.js';

const home = house();
let line: Line;

beforeEach(async () => {
  line = await startLine(home.url);
});
afterEach(() => line.close());

const path = (room: string) => new URL(room).pathname;

/** Complaints that a cut line is bound to cause in the page behind it. */
const expected = /ERR_CONNECTION|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE|ERR_SOCKET|ERR_NETWORK/;

test('a cut event stream is resumed, and nobody sees a flicker', async () => {
  const room = home.room();
  const ann = await home.enter(`${line.url}${path(room)}`, { name: 'Ann' });
  const bob = await home.enter(room, { name: 'Bob' });
  const cay = await home.enter(room, { name: 'Cay' });
  for (const { page } of [ann, bob, cay]) await linked(page, 2);
  const before = await Promise.all([ann, bob, cay].map(({ page }) => comingsOf(page)));
  const identity = (await peersOf(bob.page)).find(({ peer }) => peer.username === 'Ann')?.peer.id;
  for (let cuts = 1; cuts <= 3; cuts += 1) {
    const made = line.connections;
    line.cut();
    await ann.page.waitForFunction(
      () => {
        const state = window.inkwire?.connection();
        return state?.kind === 'live' && state.resumed === true;
      },
      undefined,
      { timeout: PATIENCE },
    );
    await expect.poll(() => line.connections, { timeout: PATIENCE }).toBeGreaterThan(made);
    await linked(ann.page, 2);
  }
  // Whoever comes now is introduced over the resumed stream.
  const dan = await home.enter(room, { name: 'Dan' });
  for (const { page } of [ann, bob, cay, dan]) await linked(page, 3);
  await draw(ann.page, [
    [400, 300],
    [500, 350],
  ]);
  for (const { page } of [bob, cay, dan]) await sameBoard(page, ann.page);
  const after = await Promise.all([ann, bob, cay].map(({ page }) => comingsOf(page)));
  expect(after).toEqual(before.map((then) => ({ joined: (then?.joined ?? 0) + 1, left: then?.left })));
  expect((await peersOf(bob.page)).some(({ peer }) => peer.id === identity)).toBe(true);
  forgive(ann.complaints);
});

test('away for longer than the grace time: it says so, draws on, and comes back with everything', async () => {
  const room = home.room();
  const ann = await home.enter(`${line.url}${path(room)}`, { name: 'Ann' });
  const bob = await home.enter(room, { name: 'Bob' });
  for (const { page } of [ann, bob]) await linked(page, 1);
  line.block();
  await ann.page.locator('.standing', { hasText: /Reconnecting|Offline/ }).waitFor({ timeout: PATIENCE });
  // The server has given Ann up.
  await linked(bob.page, 0);
  await picture(ann.page, 'away');
  await draw(ann.page, [
    [400, 300],
    [500, 350],
  ]);
  await draw(bob.page, [
    [600, 300],
    [700, 350],
  ]);
  line.mend();
  await ann.page.evaluate(() => window.dispatchEvent(new Event('online')));
  for (const { page } of [ann, bob]) await linked(page, 1);
  await ann.page.locator('.standing', { hasText: 'Live' }).waitFor({ timeout: PATIENCE });
  for (const { page } of [ann, bob]) {
    await page.waitForFunction(() => window.inkwire?.board().length === 2, undefined, { timeout: PATIENCE });
  }
  await sameBoard(ann.page, bob.page);
  expect(await boardOf(bob.page)).toHaveLength(2);
  forgive(ann.complaints);
});

/** Takes away what the cut itself has caused; anything else still counts. */
function forgive(complaints: string[]): void {
  complaints.splice(0, complaints.length, ...complaints.filter((complaint) => !expected.test(complaint)));
}
