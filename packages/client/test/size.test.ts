/** What the package weighs, as a page would load it. */

import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { rolldown } from 'rolldown';
import { expect, test } from 'vitest';

const INDEX = fileURLToPath(new URL('../src/index.ts', import.meta.url));
/** Bytes, gzipped. */
const LIMIT = 12 * 1024;

async function weigh(names: string): Promise<number> {
  const entry = 'entry.js';
  const bundle = await rolldown({
    input: entry,
    plugins: [
      {
        name: 'entry',
        resolveId: (id) => (id === entry ? entry : null),
        load: (id) => (id === entry ? `export ${names} from ${JSON.stringify(INDEX)}` : null),
      },
    ],
  });
  const { output } = await bundle.generate({ minify: true, format: 'esm' });
  await bundle.close();
  return gzipSync(output[0].code, { level: 9 }).length;
}

test('a page pays for what it uses, and less than 12 KiB gzipped', async () => {
  const [channels, mesh] = await Promise.all(['{ createClient }', '{ Mesh, Signalling }'].map(weigh));
  console.log(`gzipped: channels ${channels}, mesh ${mesh} bytes`);
  expect(channels).toBeLessThan(LIMIT);
  expect(mesh).toBeLessThan(LIMIT);
  expect(await weigh('{ isAfter }')).toBeLessThan(512);
});
