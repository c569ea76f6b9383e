/**
 * The picture of the README: three people plan a day at a lake. It serves whoever reads before trying.
 * Invariant: every line of it was drawn with a mouse, in real pages, and came to the one in the picture over the mesh.
 */
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { test } from 'vitest';
import { hueOf } from '../../apps/board/src/who/colour.js';
import { linked, type Point, peersOf, sameBoard, take, write } from '../src/board.js';
import type { Visitor } from '../src/browser.js';
import { house, painted } from '../src/house.js';

const home = house();
const FILE = fileURLToPath(new URL('../../docs/board.png', import.meta.url));

const BLUE = '#1971c2';
const RED = '#e03131';
const GREEN = '#2f9e44';
const ORANGE = '#f08c00';
const BLACK = '#1e1e1e';

/** A hand is not a ruler: the same small tremor in every run. */
function tremble([x, y]: Point, at: number): Point {
  return [x + 1.6 * Math.sin(at * 1.7), y + 1.6 * Math.cos(at * 2.3)];
}

async function colours(page: Page, tool: string, stroke: string, background?: string): Promise<void> {
  await take(page, tool);
  await page.getByTestId(`color-top-pick-${stroke}`).first().click();
  if (background) await page.getByTestId(`color-top-pick-${background}`).first().click();
}

async function along(page: Page, points: readonly Point[], lift = true): Promise<void> {
  for (const [at, point] of points.entries()) {
    await page.mouse.move(...tremble(point, at));
    if (at === 0) await page.mouse.down();
  }
  if (lift) await page.mouse.up();
}

/** Points on the way between corners, close enough for a smooth stroke. */
function through(corners: readonly Point[], step = 9): Point[] {
  return corners.flatMap((to, at) => {
    const from = corners[at - 1];
    if (!from) return [to];
    const parts = Math.max(1, Math.round(Math.hypot(to[0] - from[0], to[1] - from[1]) / step));
    return Array.from({ length: parts }, (_, part): Point => {
      const share = (part + 1) / parts;
      return [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share];
    });
  });
}

const wave = (x: number, y: number, length: number): Point[] =>
  Array.from({ length: Math.round(length / 6) }, (_, at): Point => [x + at * 6, y + 6 * Math.sin(at / 2.4)]);

async function note(page: Page, at: Point, text: string, size: string, colour: string): Promise<void> {
  await colours(page, 't', colour);
  await page.getByTestId(`fontSize-${size}`).click({ force: true });
  await write(page, at, text);
  await page.keyboard.press('Escape');
}

/** Colours follow ids, and ids are drawn by lot: people come again until theirs are easy to tell apart. */
async function threeColours(room: string): Promise<[Visitor, Visitor, Visitor]> {
  for (;;) {
    const maya = await home.enter(room, { name: 'Maya' });
    const tomas = await home.enter(room, { name: 'Tomás' });
    const jun = await home.enter(room, { name: 'Jun' });
    const all: [Visitor, Visitor, Visitor] = [maya, tomas, jun];
    for (const { page } of all) await linked(page, 2);
    const ids = [...(await peersOf(maya.page)), ...(await peersOf(jun.page))].map(({ peer }) => peer.id);
    const hues = [...new Set(ids)].map(hueOf);
    const apart = hues.every((one, at) => hues.every((other, n) => n === at || between(one, other) > 50));
    // Yellow is taken by the list.
    if (apart && hues.every((hue) => between(hue, 50) > 40)) return all;
    for (const visitor of all) await home.leave(visitor);
  }
}

const between = (a: number, b: number) => Math.min(Math.abs(a - b), 360 - Math.abs(a - b));

test('the picture', async () => {
  const [maya, tomas, jun] = await threeColours(`${home.url}/saturday`);

  await note(maya.page, [330, 118], 'Saturday at the lake', 'veryLarge', BLACK);

  // Mountains, and snow on them.
  await colours(tomas.page, 'p', BLACK);
  await along(
    tomas.page,
    through([
      [270, 470],
      [360, 345],
      [415, 275],
      [470, 345],
      [510, 385],
      [560, 310],
      [600, 262],
      [655, 340],
      [700, 400],
      [760, 470],
    ]),
  );
  await along(
    tomas.page,
    through([
      [385, 315],
      [400, 335],
      [415, 318],
      [430, 340],
      [446, 316],
    ]),
  );
  await along(
    tomas.page,
    through([
      [571, 300],
      [586, 318],
      [600, 302],
      [615, 322],
      [630, 303],
    ]),
  );

  // The sun, and its rays.
  await colours(jun.page, 'o', ORANGE, '#ffec99');
  await along(
    jun.page,
    through([
      [735, 215],
      [800, 280],
    ]),
  );
  await colours(jun.page, 'p', ORANGE);
  for (let ray = 0; ray < 9; ray += 1) {
    const angle = (ray / 9) * 2 * Math.PI;
    const end = (radius: number): Point => [767 + radius * Math.cos(angle), 247 + radius * Math.sin(angle)];
    await along(jun.page, through([end(44), end(62)]));
  }

  // Water.
  await colours(tomas.page, 'p', BLUE);
  await along(tomas.page, wave(262, 500, 510));
  await along(tomas.page, wave(300, 528, 430));
  await along(tomas.page, wave(350, 556, 330));

  // The tent on the shore, and a tree.
  await colours(maya.page, 'p', RED);
  await along(
    maya.page,
    through([
      [610, 690],
      [668, 600],
      [728, 690],
      [610, 690],
    ]),
  );
  await along(
    maya.page,
    through([
      [650, 690],
      [668, 640],
      [686, 690],
    ]),
  );
  await colours(tomas.page, 'p', GREEN);
  await along(
    tomas.page,
    through([
      [330, 700],
      [330, 668],
    ]),
  );
  await along(
    tomas.page,
    through([
      [290, 668],
      [330, 628],
      [372, 668],
      [345, 664],
      [302, 640],
      [330, 598],
      [360, 640],
      [316, 636],
      [330, 574],
      [350, 612],
    ]),
  );

  // Who brings what.
  await colours(jun.page, 'r', BLACK, '#ffec99');
  await along(
    jun.page,
    through([
      [930, 335],
      [1210, 575],
    ]),
  );
  await note(jun.page, [960, 350], 'Who brings what', 'medium', BLACK);
  await note(jun.page, [960, 398], 'Maya    the tent', 'medium', RED);
  await note(jun.page, [960, 440], 'Tomás   the canoe', 'medium', GREEN);
  await note(jun.page, [960, 482], 'Jun     pancakes!', 'medium', BLUE);

  // From the list to the tent.
  await colours(maya.page, 'a', RED);
  await along(
    maya.page,
    through([
      [930, 540],
      [750, 640],
    ]),
  );
  await note(tomas.page, [430, 640], 'swim here?', 'large', BLUE);

  // And while the picture is taken, two hands are still at it.
  await colours(tomas.page, 'p', BLUE);
  await along(tomas.page, wave(440, 700, 130), false);
  await colours(jun.page, 'p', ORANGE);
  await along(jun.page, wave(962, 522, 150), false);
  await maya.page.keyboard.press('p');
  await maya.page.mouse.move(860, 690);
  await maya.page.getByRole('button', { name: /people are here/ }).click();
  await sameBoard(maya.page, tomas.page);
  await sameBoard(maya.page, jun.page);
  await painted(maya.page);
  await maya.page.screenshot({ path: FILE });
});
