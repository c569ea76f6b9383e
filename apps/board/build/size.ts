/**
 * The first load, added up. It serves whoever opens a board on a slow line.
 * Invariant: a build whose first load is over the limit is no build.
 */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'vite';

const KIB = 1024;

/**
 * Everything that is fetched before and right after the canvas appears, as it travels: the page, the entry and what it
 * imports, the style, the part that goes live, and the fonts of the first paint.
 */
export function firstLoad(limit: number, extra: readonly string[]): Plugin {
  let out = '';
  const files = new Set(['index.html', ...extra]);
  return {
    name: 'first-load',
    apply: 'build',
    configResolved(config) {
      out = join(config.root, config.build.outDir);
    },
    generateBundle(_options, bundle) {
      for (const item of Object.values(bundle)) {
        if (item.type === 'asset' && /\.(css|woff2)$/.test(item.fileName)) files.add(item.fileName);
        if (item.type !== 'chunk' || !(item.isEntry || item.name === 'live')) continue;
        for (const name of [item.fileName, ...item.imports]) files.add(name);
      }
    },
    closeBundle: {
      // After the compression.
      sequential: true,
      order: 'post',
      handler() {
        const sizes = [...files].map((name) => [name, travelling(join(out, name))] as const);
        const total = sizes.reduce((sum, [, size]) => sum + size, 0);
        const list = sizes.map(([name, size]) => `  ${name} ${size}`).join('\n');
        if (total > limit) throw new Error(`the first load is ${total} bytes, over ${limit}:\n${list}`);
        console.info(`first load: ${(total / KIB).toFixed(0)} KiB compressed, of ${limit / KIB} allowed`);
      },
    },
  };
}

function travelling(file: string): number {
  return statSync(existsSync(`${file}.br`) ? `${file}.br` : file).size;
}
