/**
 * The real server: the binary on a port and a folder of its own, which can be killed and started again. It serves the tests
 * of the channels.
 * Invariant: what was started is ended, by its own id, and its folder with it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const SECRET = 'a secret for the tests, of more than 32 bytes';

/** Seconds from now; grants for every channel unless told otherwise. */
export function mint(
  life = 600,
  channels: unknown = [{ match: '*', can: ['subscribe', 'publish'] }],
  id = 'tester',
): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { id, username: 'ann', exp: Math.floor(Date.now() / 1000 + life), channels };
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
}

export class Node {
  readonly #folder = mkdtempSync(join(tmpdir(), 'inkwire-client-'));
  #child: ChildProcess | undefined;
  port = 0;

  static async start(...options: string[]): Promise<Node> {
    const node = new Node();
    await node.start(...options);
    return node;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it, on the port and the folder it had before. */
  async start(...options: string[]): Promise<void> {
    const built = ['release', 'debug'].map((profile) => join(ROOT, 'target', profile, 'inkwire'));
    const { INKWIRE_BIN } = process.env;
    const binary = INKWIRE_BIN ? resolve(ROOT, INKWIRE_BIN) : built.find((path) => existsSync(path));
    if (!binary)
      throw new Error('no server: build it (cargo build -p inkwire-cli), or name it in INKWIRE_BIN');
    const child = spawn(
      binary,
      ['serve', '--port', String(this.port), '--data-dir', this.#folder, '--drain', '1', ...options],
      {
        cwd: this.#folder,
        env: { ...process.env, TOKEN_SECRET: SECRET },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    this.#child = child;
    this.port = await new Promise((found, failed) => {
      let said = '';
      child.once('exit', (code) => failed(new Error(`the server ended with ${code}:\n${said}`)));
      child.stderr?.on('data', (chunk: Buffer) => {
        said = (said + chunk).slice(-10_000);
      });
      child.stdout?.on('data', (chunk: Buffer) => {
        const match = /http:\/\/[^\s/]+:(\d+)/.exec(String(chunk));
        if (match) found(Number(match[1]));
      });
    });
  }

  /** `SIGKILL`: without a word. */
  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Waits until `condition` gives something. */
export async function until<T>(condition: () => T | undefined | false, patience = 15_000): Promise<T> {
  const end = Date.now() + patience;
  for (;;) {
    const got = condition();
    if (got !== undefined && got !== false) return got;
    if (Date.now() > end) throw new Error(`not within ${patience} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
