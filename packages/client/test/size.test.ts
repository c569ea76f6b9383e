/** What the package weighs, as a page would load it. */

import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { rolldown } from 'rolldown';
import { expect, test } from 'vitest';

const INDEX = fileURLToPath(new URL('../src/index.ts', import.meta.url));
/** Bytes, gzipped. */
const LIMIT = 12 * 1024;

/** What is loaded at once, and what only when it is wanted. */
interface Weight {
  first: number;
  later: number;
}

async function weigh(names: string): Promise<Weight> {
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
  const chunks = output.filter((file) => file.type === 'chunk');
  const atOnce = new Set([output[0].fileName]);
  // A set goes on with what is added to it meanwhile.
  for (const name of atOnce)
    for (const more of chunks.find(({ fileName }) => fileName === name)?.imports ?? []) atOnce.add(more);
  const sum = (isFirst: boolean) =>
    chunks
      .filter(({ fileName }) => atOnce.has(fileName) === isFirst)
      .reduce((size, { code }) => size + gzipSync(code, { level: 9 }).length, 0);
  return { first: sum(true), later: sum(false) };
}

test('a page pays for what it uses, and less than 12 KiB gzipped', async () => {
  const [channels, cached, mesh] = await Promise.all(
    ['{ createClient }', '{ createClient, indexedDb }', '{ Mesh, Signalling }'].map(weigh),
  );
  console.log('gzipped bytes:', { channels, cached, mesh });
  expect(channels?.first).toBeLessThan(LIMIT);
  expect(mesh?.first).toBeLessThan(LIMIT);
  // Rooms come later, and weigh something.
  expect(channels?.later).toBeGreaterThan(2_000);
  expect(channels?.later).toBeLessThan(LIMIT);
  expect((await weigh('{ isAfter }')).first).toBeLessThan(512);
});
