/**
 * A gateway before the server, which may have another edition of the page than the server, a part of one, or none. It serves
 * the tests of working offline.
 * Invariant: whatever is not the page's passes unchanged, both ways.
 */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeWorker } from '../../apps/board/build/worker.js';
import { listen } from './loopback.js';

const BUILT = fileURLToPath(new URL('../../apps/board/dist', import.meta.url));

/** A folder with a page in it. */
export interface Edition {
  folder: string;
  /** The name of the script it begins with. */
  entry: string;
  remove(): void;
}

/** The page as it was built, under other names: what a build makes of a page in which everything is a little different. */
export async function anotherEdition(suffix: string): Promise<Edition> {
  const folder = mkdtempSync(join(tmpdir(), 'inkwire-edition-'));
  cpSync(BUILT, folder, { recursive: true, filter: (path) => !/\.(br|gz)$/.test(path) });
  const assets = join(folder, 'assets');
  const names = readdirSync(assets).map((name): [string, string] => {
    const ending = extname(name);
    return [name, `${name.slice(0, -ending.length)}${suffix}${ending}`];
  });
  const renamed = (text: string) => names.reduce((so, [before, after]) => so.replaceAll(before, after), text);
  const texts = ['index.html', ...names.map(([name]) => join('assets', name))];
  for (const name of texts.filter((name) => /\.(html|js|css)$/.test(name))) {
    const path = join(folder, name);
    writeFileSync(path, renamed(readFileSync(path, 'utf8')));
  }
  for (const [before, after] of names) renameSync(join(assets, before), join(assets, after));
  const shell = readFileSync(join(folder, 'index.html'), 'utf8');
  const entry = /src="\/static\/(assets\/[^"]+)"/.exec(shell)?.[1] ?? '';
  await writeWorker(folder, '/static/', `/static/${entry}`);
  return { folder, entry, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** What of an edition the gateway has: the status it answers for a path, if not the file. */
export type Lack = (path: string) => number | undefined;

export interface Front {
  url: string;
  serve(edition: Edition, lack?: Lack): void;
  close(): Promise<void>;
}

export async function startFront(target: string, edition: Edition): Promise<Front> {
  const { hostname, port } = new URL(target);
  // As the server says it for its own page.
  const policy = (await fetch(`${target}/any`)).headers.get('content-security-policy') ?? '';
  let [serving, lacking]: [Edition, Lack] = [edition, () => undefined];
  const sockets = new Set<Socket>();
  const pass = (asked: IncomingMessage, answer: ServerResponse) => {
    const onward = request(
      { hostname, port, path: asked.url, method: asked.method, headers: asked.headers },
      (said) => {
        answer.writeHead(said.statusCode ?? 502, said.headers);
        said.pipe(answer);
      },
    );
    onward.on('error', () => answer.destroy());
    answer.on('close', () => onward.destroy());
    asked.pipe(onward);
  };
  const server = createServer((asked, answer) => {
    const path = pagePath(asked);
    if (path === undefined) {
      pass(asked, answer);
      return;
    }
    const file = join(serving.folder, path);
    const status = lacking(path) ?? (existsSync(file) ? 200 : 404);
    answer.writeHead(status, {
      'content-type': TYPES[extname(path)] ?? 'application/octet-stream',
      'content-security-policy': policy,
      'cache-control':
        status === 200 && path.startsWith('assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
      ...(path === 'worker.js' && { 'service-worker-allowed': '/' }),
    });
    answer.end(status === 200 && asked.method !== 'HEAD' ? readFileSync(file) : '');
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('upgrade', (asked, near: Socket, head) => {
    const far = connect(Number(port), hostname, () => {
      const lines = asked.rawHeaders.flatMap((name, at, all) => (at % 2 ? [] : [`${name}: ${all[at + 1]}`]));
      far.write(`GET ${asked.url} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
      far.write(head);
      far.pipe(near).pipe(far);
    });
    far.on('error', () => near.destroy());
    near.on('error', () => far.destroy());
    near.on('close', () => far.destroy());
  });
  const url = await listen(server);
  return {
    url,
    serve: (next, lack = () => undefined) => {
      [serving, lacking] = [next, lack];
    },
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

/** The page's own file that is asked for. */
function pagePath({ method, url = '/' }: IncomingMessage): string | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  if (url.startsWith('/static/')) return url.slice('/static/'.length);
  return /^\/(room-|v\.)[^/]*$/.test(url) ? 'index.html' : undefined;
}
