/**
 * The package as it is published: packed, unpacked in a folder of its own, and used there by Node and by the compiler.
 *
 * Breakages tried on purpose, each of which makes tests fail: `rooms/` is not packed; the sources
 * are; a guest is somebody else each time; the README links to a folder above, to a heading or a document that is not there.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mint, Node } from './node.js';

const HERE = fileURLToPath(new URL('..', import.meta.url));
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const TSC = fileURLToPath(new URL('../../../node_modules/typescript/bin/tsc', import.meta.url));
const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'inkwire-package-'));
let files: string[];

beforeAll(async () => {
  const { stdout } = await run('npm', ['pack', '--json', '--silent', '--pack-destination', folder], {
    cwd: HERE,
  });
  // What the build says comes before.
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [
    { filename: string; files: { path: string }[] },
  ];
  files = packed.files.map(({ path }) => path);
  const home = join(folder, 'node_modules', 'inkwire');
  mkdirSync(home, { recursive: true });
  await run('tar', ['-xzf', join(folder, packed.filename), '-C', home, '--strip-components=1']);
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

test('holds what it needs, and nothing else', () => {
  const others = files.filter((path) => !/^dist\/[\w/-]+\.(js|d\.ts)$/.test(path));
  expect(others.sort()).toEqual(['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'package.json']);
  for (const name of ['index', 'channels/client', 'channels/database-cache', 'rooms/rooms', 'mesh'])
    expect(files).toEqual(expect.arrayContaining([`dist/${name}.js`, `dist/${name}.d.ts`]));
});

test('has a README whose links lead to something, wherever it is read', () => {
  const home = join(folder, 'node_modules', 'inkwire');
  const text = readFileSync(join(home, 'README.md'), 'utf8').replaceAll(/^```.*?^```/gms, '');
  const { repository } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as {
    repository: { url: string };
  };
  const project = repository.url.replace(/^git\+|\.git$/g, '');
  const links = [...text.matchAll(/\]\(([^)\s]*)[^)]*\)|^\[[^\]]+\]:\s*(\S+)|(?:href|src)="([^"]*)"/gm)];
  expect(links.length).toBeGreaterThan(1);
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  );
  const isThere = (link: string) => {
    if (link.startsWith('#')) return headings.includes(link.slice(1));
    // Of our own documents this tree knows whether they are there; the web is not asked.
    const document = link.startsWith(`${project}/blob/main/`) && link.slice(`${project}/blob/main/`.length);
    if (document) return existsSync(join(ROOT, document.replace(/#.*/, '')));
    return link.startsWith('https://') || files.includes(link);
  };
  const dead = links.map(([, a, b, c]) => a ?? b ?? c ?? '').filter((link) => !isThere(link));
  expect(dead).toEqual([]);
});

test('works in Node as it is, channels and rooms, without any other package', async () => {
  await using node = await Node.start();
  const program = `
    import { createClient, guestToken } from 'inkwire';
    const client = createClient({ targets: '${node.url}', token: '${mint()}' });
    await client.publish('p:node', 'text', 'hello');
    for await (const { text } of client.messages('p:node', '0')) { console.log(text); break; }
    const room = await client.room('packed');
    console.log(room.peers.length);
    client.close();
    const getToken = guestToken('${node.url}', 'ann');
    const idOf = (token) => JSON.parse(atob(token.split('.')[1])).id;
    console.log(idOf(await getToken()) === idOf(await getToken()));
  `;
  writeFileSync(join(folder, 'program.js'), program);
  const { stdout } = await run(process.execPath, ['program.js'], { cwd: folder });
  expect(stdout.trim().split('\n')).toEqual(['hello', '0', 'true']);
}, 60_000);

test.each(['nodenext', 'bundler'])(
  'has types that a compiler finds (%s)',
  async (moduleResolution) => {
    const source = `
    import { type Client, createClient, indexedDb, type Message, type Room } from 'inkwire';
    const client: Client<number> = createClient({ token: 'a', decode: Number, cache: indexedDb() });
    client.on('messages', (_channel: string, messages: readonly Message<number>[]) => messages);
    const room: Room = await client.room('a', { cap: 3 });
    room.on('message', (peer, data: unknown) => room.send(peer.id, data));
    // @ts-expect-error: it is called broadcast
    room.brodcast('b');
  `;
    writeFileSync(join(folder, 'typed.ts'), source);
    const options = {
      strict: true,
      noEmit: true,
      target: 'es2022',
      skipLibCheck: false,
      types: [],
      moduleResolution,
    };
    const module = moduleResolution === 'bundler' ? 'esnext' : 'nodenext';
    const lib = ['es2023', 'dom', 'dom.iterable', 'dom.asynciterable'];
    const config = { files: ['typed.ts'], compilerOptions: { ...options, module, lib } };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const said = await run(process.execPath, [TSC, '-p', folder]).catch(({ stdout }) => ({ stdout }));
    expect(said.stdout).toBe('');
  },
  60_000,
);
