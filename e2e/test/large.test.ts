/** A board of ten thousand elements: how long it takes to open, from the channel and from this browser's copy. */
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { keeps, PATIENCE, saved } from '../src/board.js';
import { drawingOf, openDrawing, stroke } from '../src/drawing.js';
import { forgive, house, picture } from '../src/house.js';

const home = house();

const MANY = 10_000;

/** Milliseconds from the navigation until the whole board is here and on the screen, as far as it can be had. */
async function opened(page: Page, standing: 'level' | 'away'): Promise<{ here: number; seen: number }> {
  const here = await page.waitForFunction(
    ([count, wanted]) => {
      const { inkwire } = window;
      // The board is asked for when it may be there: to count it takes the page's own time.
      return inkwire?.channel().standing === wanted && inkwire.board().length === count
        ? performance.now()
        : undefined;
    },
    [MANY, standing] as const,
    { timeout: PATIENCE },
  );
  const seen = await page.evaluate(
    () =>
      new Promise<number>((done) =>
        requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))),
      ),
  );
  return { here: Number(await here.jsonValue()), seen };
}

test('ten thousand elements', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  await saved(ann.page);
  const elements = Array.from({ length: MANY }, (_, at) => stroke(at));
  await openDrawing(ann, drawingOf(elements));
  await ann.page.waitForFunction((count) => window.inkwire?.board().length === count, MANY, {
    timeout: PATIENCE,
  });
  await ann.page.waitForFunction(() => window.inkwire?.channel().unsent === 0, undefined, {
    timeout: 3 * PATIENCE,
  });
  await home.leave(ann);
  // What the page itself takes, on this machine and at this moment.
  const empty = await home.enter(home.room(), { name: 'Cay' });
  await saved(empty.page);
  const bare = await empty.page.evaluate(() => performance.now());
  await home.leave(empty);
  const bob = await home.enter(room, { name: 'Bob' });
  const fromTheChannel = await opened(bob.page, 'level');
  await saved(bob.page);
  await keeps(bob.page, 0);
  const api = /\/(access|connect|channels|rooms|relay)/;
  await bob.context.route(api, (route) => route.abort());
  await bob.page.reload();
  const fromTheCopy = await opened(bob.page, 'away');
  await picture(bob.page, 'large');
  forgive(bob, /ERR_/);
  const said = ({ here, seen }: { here: number; seen: number }) =>
    `${here.toFixed(0)} ms, on the screen after ${seen.toFixed(0)} ms`;
  console.info(`an empty board is live after ${bare.toFixed(0)} ms`);
  console.info(`from the channel ${said(fromTheChannel)}; from the copy ${said(fromTheCopy)}`);
  expect(fromTheCopy.here).toBeGreaterThan(0);
});
