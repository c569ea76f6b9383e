/** The examples of the README about channels, run as they stand there against the real server. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as ws from 'ws';
import * as inkwire from '../src/index.js';
import { mint, Node } from './node.js';

const README = readFileSync(fileURLToPath(new URL('../README.md', import.meta.url)), 'utf8');
const examples = [...README.matchAll(/```ts\n([^`]*createClient(?:[^`]|`(?!``))*)```/g)].map(
  ([, code]) => code ?? '',
);

let node: Node;
beforeAll(async () => {
  node = await Node.start();
});
afterAll(() => node[Symbol.asyncDispose]());

test('are there', () => {
  expect(examples.length).toBeGreaterThanOrEqual(4);
});

test.each(examples)('%s', async (code) => {
  const said: string[] = [];
  const say = (...words: unknown[]) => said.push(words.join(' '));
  const modules: Record<string, unknown> = {
    // Where there is no WebSocket, as in Node 20, the examples for browsers are given one.
    inkwire: {
      ...inkwire,
      createClient: (options: inkwire.ClientOptions) =>
        inkwire.createClient({ WebSocket: ws.WebSocket, ...options }),
    },
    ws,
    './my-app.js': { getToken: () => mint() },
  };
  const body = code
    .replaceAll(/import (\{[^}]*\}) from ('[^']*');/g, 'const $1 = modules[$2];')
    .replaceAll(/https:\/\/\w+\.example/g, node.url);
  const run = Object.getPrototypeOf(async () => undefined).constructor as new (
    ...parts: string[]
  ) => (...given: unknown[]) => Promise<void>;
  await new run('modules', 'console', body)(modules, { log: say, error: say });
  expect(said.filter((line) => line.includes('Error'))).toEqual([]);
  for (const line of code.matchAll(/console\.log\(message\.(\w+)\)/g)) expect(said, line[0]).toHaveLength(1);
});
