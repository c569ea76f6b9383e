/**
 * The service worker, built after the page and told what the page is made of. It serves the build.
 * Invariant: a worker knows the whole of one build, and another build has another worker.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'vite';
import type { Edition } from '../worker/rules.js';
import { filesIn } from './compress.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

export function serviceWorker(): Plugin {
  let out = '';
  let base = '';
  return {
    name: 'service-worker',
    apply: 'build',
    configResolved(config) {
      out = join(config.root, config.build.outDir);
      base = config.base;
    },
    // Everything is written; nothing is compressed yet.
    async writeBundle(_options, bundle) {
      const entry = Object.values(bundle).find((item) => item.type === 'chunk' && item.isEntry);
      if (!entry) throw new Error('a page without a beginning');
      await writeWorker(out, base, base + entry.fileName);
    },
  };
}

/** Builds the worker of the page that lies in a folder, and the list of the page's parts for browsers without workers. */
export async function writeWorker(out: string, base: string, entry: string): Promise<void> {
  const edition = editionOf(out, base, entry);
  writeFileSync(join(out, 'parts.json'), JSON.stringify(edition.parts.map(([path]) => path)));
  await build({
    configFile: false,
    root: ROOT,
    logLevel: 'warn',
    publicDir: false,
    define: { EDITION: JSON.stringify(edition) },
    build: {
      outDir: out,
      emptyOutDir: false,
      target: 'es2022',
      reportCompressedSize: false,
      rolldownOptions: {
        input: join(ROOT, 'worker/worker.ts'),
        output: { format: 'iife', entryFileNames: 'worker.js' },
      },
    },
  });
}

function editionOf(out: string, base: string, entry: string): Edition {
  const assets = filesIn(join(out, 'assets')).sort();
  const parts = assets.map((file): [string, string] => [
    base + relative(out, file),
    `sha256-${hashOf(file)}`,
  ]);
  const shell = hashOf(join(out, 'index.html'));
  const name = createHash('sha256')
    .update(JSON.stringify([shell, parts]))
    .digest('hex')
    .slice(0, 16);
  return { name, entry, parts };
}

const hashOf = (file: string) => createHash('sha256').update(readFileSync(file)).digest('base64');
