/**
 * Empty pages that have the npm package at hand, on the origin of the server. They serve the tests of the package in a
 * browser.
 * Invariant: what a page runs is the package as bundlers see it, and nothing of the board.
 */
import { fileURLToPath } from 'node:url';
import type { BrowserContext, Page } from 'playwright-core';
import { rolldown } from 'rolldown';

const INDEX = fileURLToPath(new URL('../../packages/client/src/index.ts', import.meta.url));

declare global {
  interface Window {
    toolkit: typeof import('inkwire');
  }
}

/** The files of a bundle, by their names; the first page of it is `entry.js`. */
export type Bundle = Map<string, string>;

/** Bundles a module given as text, in which `inkwire` is the package. */
export async function bundle(module: string): Promise<Bundle> {
  const made = await rolldown({
    input: 'entry',
    resolve: { alias: { inkwire: INDEX } },
    plugins: [
      {
        name: 'entry',
        resolveId: (id) => (id === 'entry' ? id : null),
        load: (id) => (id === 'entry' ? { code: module, moduleType: 'ts' } : null),
      },
    ],
  });
  const { output } = await made.generate({ format: 'esm' });
  await made.close();
  return new Map(
    output.map((file) => [file.fileName, file.type === 'chunk' ? file.code : String(file.source)]),
  );
}

/** Lets every page of the context find `html` and the bundle under `/workshop/`, whatever the server has there. */
export async function furnish(
  context: BrowserContext,
  origin: string,
  files: Bundle,
  html = '',
): Promise<void> {
  await context.route(`${origin}/workshop/**`, (route) => {
    const name = new URL(route.request().url()).pathname.replace('/workshop/', '');
    const code = files.get(name);
    if (code !== undefined) return route.fulfill({ contentType: 'text/javascript', body: code });
    const body =
      html || '<!doctype html><title>workshop</title><script type="module" src="entry.js"></script>';
    return route.fulfill({ contentType: 'text/html', body });
  });
}

/** The bundle that puts the whole package into `window.toolkit`. */
export const toolkit = () => bundle("import * as toolkit from 'inkwire'; window.toolkit = toolkit;");

export async function enterWorkshop(page: Page, origin: string): Promise<void> {
  await page.goto(`${origin}/workshop/`);
  await page.waitForFunction(() => window.toolkit !== undefined);
}
