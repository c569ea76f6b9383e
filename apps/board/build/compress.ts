/**
 * Every file that gets smaller by it, compressed once, beside itself, as `.br` and `.gz`. It serves the server, which then
 * compresses nothing.
 * Invariant: a compressed file is there only if it is worth it, and never older than its source.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import type { Plugin } from 'vite';

const COMPRESSIBLE = /\.(js|css|html|svg|json|txt|wasm|map)$/;
/** Bytes. Below that a response fits into one packet anyway. */
const WORTH_IT = 1024;

export function compressed(): Plugin {
  let out = '';
  return {
    name: 'compressed',
    apply: 'build',
    configResolved(config) {
      out = join(config.root, config.build.outDir);
    },
    async closeBundle() {
      await Promise.all(
        filesIn(out)
          .filter((file) => COMPRESSIBLE.test(file))
          .map(compress),
      );
    },
  };
}

export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());
}

async function compress(file: string): Promise<void> {
  const bytes = readFileSync(file);
  if (bytes.length < WORTH_IT) return;
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 10,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  const [small, plain] = await Promise.all([
    promisify(brotliCompress)(bytes, { params }),
    promisify(gzip)(bytes, { level: 9 }),
  ]);
  if (small.length < bytes.length) writeFileSync(`${file}.br`, small);
  if (plain.length < bytes.length) writeFileSync(`${file}.gz`, plain);
}
