/** What stands around the canvas, for whoever sees little, hears it read, or has a keyboard only: axe, and looks. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { canvasReady, draw, linked, PATIENCE, saved } from '../src/board.js';
import { forgive, house, picture } from '../src/house.js';
import { spoil } from '../src/outsider.js';

const home = house();

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe finds wrong with our own parts of the page; the editor's are the editor's. */
async function faults(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const results = await page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: { run(context: object, options: object): Promise<AxeResults> };
    };
    const ours = ['.room', '.greeting', '.hint'].filter((part) => document.querySelector(part));
    return axe.run({ include: ours.map((part) => [part]) }, { resultTypes: ['violations', 'passes'] });
  });
  expect(results.passes.length).toBeGreaterThan(5);
  return results.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`),
  );
}

const SIZES = { desk: { width: 1100, height: 750 }, phone: { width: 390, height: 844 } } as const;

for (const theme of ['light', 'dark'] as const) {
  for (const [size, viewport] of Object.entries(SIZES)) {
    test(`${theme}, ${size}: first visit, people, unsent, view`, async () => {
      const room = home.room();
      const permissions = ['clipboard-read', 'clipboard-write'];
      const ann = await home.enter(room, { theme, viewport, permissions });
      await linked(ann.page, 0);
      expect(await faults(ann.page)).toEqual([]);
      await picture(ann.page, `first-${size}-${theme}`);
      const bob = await home.enter(room, { name: 'Bob' });
      for (const { page } of [ann, bob]) await linked(page, 1);
      await draw(bob.page, [
        [300, 400],
        [360, 480],
        [420, 400],
      ]);
      await saved(bob.page);
      await ann.page.getByRole('button', { name: '2 people are here. Show people' }).click();
      await ann.page.getByRole('region', { name: 'People' }).waitFor({ timeout: PATIENCE });
      expect(await faults(ann.page)).toEqual([]);
      await picture(ann.page, `people-${size}-${theme}`);
      // With the keyboard alone: to the read-only link, and onto the clipboard.
      const copy = ann.page.getByRole('button', { name: /Copy read-only link/ });
      for (let tabs = 0; tabs < 20; tabs += 1) {
        if (await copy.evaluate((button) => button === document.activeElement)) break;
        await ann.page.keyboard.press('Tab');
      }
      await ann.page.keyboard.press('Enter');
      await ann.page.getByRole('button', { name: 'Copied' }).waitFor({ timeout: PATIENCE });
      const link = await ann.page.evaluate(() => navigator.clipboard.readText());
      const eve = await home.enter(link, { theme, viewport });
      await eve.page.locator('.standing', { hasText: 'Live' }).waitFor({ timeout: PATIENCE });
      expect(await faults(eve.page)).toEqual([]);
      await picture(eve.page, `view-${size}-${theme}`);
    });

    test(`${theme}, ${size}: a dead link, and a board that cannot be saved`, async () => {
      const eve = await home.enter(`${home.url}/v.${'a'.repeat(40)}`, { theme, viewport });
      await eve.page.getByRole('alert').waitFor({ timeout: PATIENCE });
      expect(await faults(eve.page)).toEqual([]);
      await picture(eve.page, `dead-${size}-${theme}`);
      forgive(eve, /status of 404/);
      const room = home.room();
      await spoil(room);
      const ann = await home.enter(room, { theme, viewport, name: 'Ann' });
      await linked(ann.page, 0);
      await draw(ann.page, [
        [200, 500],
        [260, 580],
      ]);
      await ann.page
        .getByRole('alert')
        .getByText('This board cannot be saved')
        .waitFor({ timeout: PATIENCE });
      expect(await faults(ann.page)).toEqual([]);
      await picture(ann.page, `unsaved-${size}-${theme}`);
      // The way out that it names: the menu has it, and the link leads to another board.
      const next = ann.context.waitForEvent('page');
      await ann.page.getByRole('link', { name: 'Open a new board' }).click();
      const other = await next;
      await canvasReady(other);
      expect(new URL(other.url()).pathname).not.toBe(new URL(room).pathname);
      await ann.page.getByTestId('main-menu-trigger').click();
      for (const entry of ['Save to...', 'Open a drawing…'])
        await ann.page.getByText(entry, { exact: true }).waitFor({ timeout: PATIENCE });
    });
  }
}
