/** Every example of the README: checked by the compiler, and run as it stands there against the real server. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as ws from 'ws';
import * as inkwire from '../src/index.js';
import { mint, Node, until } from './node.js';
import { FakeConnection } from './wires.js';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const README = readFileSync(at('../README.md'), 'utf8');
const examples = [...README.matchAll(/^```(?:ts|js)\n(.*?)^```/gms)].map(([, code = '']) => code);

let node: Node;
beforeAll(async () => {
  node = await Node.start();
});
afterAll(() => node[Symbol.asyncDispose]());

test('are there', () => {
  expect(examples.length).toBeGreaterThanOrEqual(8);
  // None of another kind that would be passed over.
  expect(README.split('```').length - 1).toBe(2 * examples.length);
});

test('the compiler has nothing to say', () => {
  const folder = mkdtempSync(at('./examples-'));
  try {
    examples.forEach((code, n) => {
      writeFileSync(join(folder, `example-${n}.ts`), code);
    });
    writeFileSync(join(folder, 'my-app.ts'), "export const getToken = async () => 'token';\n");
    const config = {
      extends: '../../tsconfig.json',
      include: ['*.ts'],
      // An example may show a result and not use it.
      compilerOptions: { paths: { inkwire: ['../../src/index.ts'] }, noUnusedLocals: false },
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const tsc = at('../../../node_modules/typescript/bin/tsc');
    const { stdout } = spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' });
    expect(stdout).toBe('');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.each(examples)('%s', async (code) => {
  const said: string[] = [];
  const say = (...words: unknown[]) => said.push(words.join(' '));
  const open: { close(): void }[] = [];
  const keep = <T extends { close(): void }>(thing: T) => {
    open.push(thing);
    return thing;
  };
  const modules: Record<string, unknown> = {
    // What Node 20 has not, the examples for browsers are given.
    inkwire: {
      ...inkwire,
      createClient: (options: inkwire.ClientOptions) =>
        keep(inkwire.createClient({ WebSocket: ws.WebSocket, ...options })),
      Signalling: class extends inkwire.Signalling {
        constructor(options: inkwire.SignallingOptions) {
          super({ ...options, base: node.url });
          keep(this);
        }
      },
      Mesh: class extends inkwire.Mesh {
        constructor(signalling: inkwire.MeshSignalling) {
          super(signalling, { Connection: FakeConnection as unknown as typeof RTCPeerConnection });
          keep(this);
        }
      },
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
  for (const line of code.matchAll(/console\.log\(message\.(\w+)\)/g)) expect(said, line[0]).toHaveLength(1);
  if (code.includes('Signalling')) await until(() => said.includes('live'));
  expect(said.filter((line) => line.includes('Error'))).toEqual([]);
  for (const thing of open.reverse()) thing.close();
});
