/** Drawings out of the board and into it: PNG, SVG, the editor's own files; without the internet. */
import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { boardOf, draw, linked, PATIENCE, sameBoard, saved, shows, take, write } from '../src/board.js';
import { drawingOf, drop, openDrawing, rectangle, stroke } from '../src/drawing.js';
import { forgive, house, picture } from '../src/house.js';

const home = house();

/** Presses a button and gives what is downloaded. */
async function downloaded(page: Page, press: () => Promise<void>): Promise<Buffer> {
  const coming = page.waitForEvent('download', { timeout: PATIENCE });
  await press();
  return readFileSync(await (await coming).path());
}

test('a board is exported as PNG, SVG and JSON, and nothing of it comes from elsewhere', async () => {
  const ann = await home.enter(home.room(), { name: 'Ann', acceptDownloads: true });
  // The dialog of the system cannot be pressed here; without it the browser downloads.
  await ann.context.addInitScript(() => {
    for (const name of ['showOpenFilePicker', 'showSaveFilePicker']) Reflect.deleteProperty(window, name);
  });
  await ann.page.reload();
  await linked(ann.page, 0);
  await draw(ann.page, [
    [400, 300],
    [500, 350],
  ]);
  await take(ann.page, 't');
  await write(ann.page, [400, 450], 'Hello');
  await ann.page.keyboard.press('Escape');
  await saved(ann.page);
  await ann.page.getByTestId('main-menu-trigger').click();
  await ann.page.getByTestId('image-export-button').click();
  const dialog = ann.page.locator('.ImageExportModal');
  await dialog.waitFor({ timeout: PATIENCE });
  await picture(ann.page, 'export');
  const image = await downloaded(ann.page, () => dialog.getByRole('button', { name: /PNG/ }).first().click());
  expect(image.subarray(1, 4).toString()).toBe('PNG');
  expect(image.length).toBeGreaterThan(1_000);
  const svg = await downloaded(ann.page, () => dialog.getByRole('button', { name: /SVG/ }).first().click());
  const text = svg.toString();
  expect(text).toContain('<svg');
  expect(text).toContain('Hello');
  // The font is in it, and no address of one.
  expect(text).toMatch(/@font-face[^}]*data:font\/woff2/);
  expect(text.match(/url\((?!['"]?(data:|#))[^)]*\)/g)).toBeNull();
  await ann.page.reload();
  await ann.page.waitForFunction(() => window.inkwire?.board().length === 2, undefined, {
    timeout: PATIENCE,
  });
  await ann.page.getByTestId('main-menu-trigger').click();
  await ann.page.getByTestId('json-export-button').click();
  const save = ann.page.locator('.ExportDialog--json');
  await save.waitFor({ timeout: PATIENCE });
  const json = await downloaded(ann.page, () => save.getByRole('button').first().click());
  const { type, elements } = JSON.parse(json.toString()) as { type: string; elements: { type: string }[] };
  expect(type).toBe('excalidraw');
  expect(elements.map((element) => element.type).sort()).toEqual(['freedraw', 'text']);
  // On a slow machine the editor takes the whole font instead of the letters that are used.
  forgive(ann, /subsetting/);
});

test('a drawing is opened, or dropped, beside what is there: the others see both', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  const bob = await home.enter(room, { name: 'Bob' });
  for (const { page } of [ann, bob]) await linked(page, 1);
  await draw(ann.page, [
    [400, 300],
    [500, 350],
  ]);
  await openDrawing(ann, drawingOf([rectangle(1), rectangle(2)]));
  await bob.page.waitForFunction(() => window.inkwire?.board().length === 3, undefined, {
    timeout: PATIENCE,
  });
  const before = (await boardOf(bob.page)).find(({ id }) => id === 'many-1');
  // The same file again, with one of them elsewhere: a newer version of what is there.
  const text = drawingOf([{ ...rectangle(1), x: 777 }, rectangle(3)]);
  await drop(ann, 'again.excalidraw', 'application/json', Buffer.from(text));
  await bob.page.waitForFunction(
    () => window.inkwire?.board().some(({ id, x }) => id === 'many-1' && x === 777),
    undefined,
    { timeout: PATIENCE },
  );
  const after = (await boardOf(bob.page)).find(({ id }) => id === 'many-1');
  expect(after?.version).toBeGreaterThan(before?.version ?? 0);
  await saved(ann.page);
  await sameBoard(bob.page, ann.page);
  expect(await boardOf(bob.page)).toHaveLength(4);
  // One step back for one file.
  await ann.page.keyboard.press('Control+z');
  await saved(ann.page);
  await sameBoard(bob.page, ann.page);
  expect((await boardOf(bob.page)).map(({ id }) => id)).not.toContain('many-3');
  // What is no drawing is said to be none.
  await drop(ann, 'broken.excalidraw', 'application/json', Buffer.from('{'));
  await ann.page.getByText('broken.excalidraw is no drawing').waitFor({ timeout: PATIENCE });
});

test('of a drawing with odd elements the others are opened, and what older editors left out is filled in', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  await saved(ann.page);
  const { simulatePressure: _, pressures: __, ...oldStroke } = stroke(1);
  const line = { startBinding: null, endBinding: null, startArrowhead: null, endArrowhead: 'arrow' };
  const odd = [
    null,
    'rectangle',
    { ...stroke(2), points: undefined },
    {
      ...stroke(3),
      points: [
        [0, 0],
        ['a', 'b'],
      ],
    },
    { ...stroke(4), points: [[0, 0], [5]] },
    { ...rectangle(5), type: 'embeddable', link: 'https://example.org/' },
    { ...rectangle(6), x: 'far' },
  ];
  const good = [
    rectangle(7),
    oldStroke,
    { ...stroke(8), type: 'arrow', ...line },
    { ...rectangle(9), version: 2 ** 52 },
  ];
  await openDrawing(ann, drawingOf([...odd, ...good]));
  await ann.page
    .getByText('7 elements are nothing for a board, and left out.')
    .waitFor({ timeout: PATIENCE });
  await shows(ann.page, ['many-1', 'many-7', 'many-8', 'many-9']);
  await saved(ann.page);
  // The page is alive, and so is what was opened.
  await draw(ann.page, [
    [300, 600],
    [400, 650],
  ]);
  await ann.page.waitForFunction(() => window.inkwire?.board().length === 5, undefined, {
    timeout: PATIENCE,
  });
  await saved(ann.page);
  const bob = await home.enter(room, { name: 'Bob' });
  await sameBoard(bob.page, ann.page);
  await picture(ann.page, 'odd-drawing');
});
