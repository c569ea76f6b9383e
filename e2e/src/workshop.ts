/**
 * Empty pages that have the npm package at hand, on an origin of their own. They serve the tests of the package in a browser.
 * Invariant: what a page runs is the package as bundlers see it, and nothing of the board.
 */
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { rolldown } from 'rolldown';
import { listen } from './loopback.js';

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

export interface Workshop {
  url: string;
  close(): Promise<void>;
}

/** Serves the bundle, and an empty page that loads it. */
export async function startWorkshop(files: Bundle): Promise<Workshop> {
  const page =
    '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/entry.js"></script>';
  const server = createServer(({ url = '/' }, response) => {
    const code = files.get(url.slice(1));
    response.setHeader('content-type', code === undefined ? 'text/html' : 'text/javascript');
    response.end(code ?? page);
  });
  const url = await listen(server);
  return {
    url,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

/** The bundle that puts the whole package into `window.toolkit`. */
export const toolkit = () => bundle("import * as toolkit from 'inkwire'; window.toolkit = toolkit;");

export async function enterWorkshop(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await page.waitForFunction(() => window.toolkit !== undefined);
}
