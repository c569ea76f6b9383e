/**
 * The real binary, started on a free port with a folder of its own. It serves every browser test.
 * Invariant: what was started is ended, by its own id, and its folder with it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Milliseconds. A debug build on a busy machine takes its time. */
const PATIENCE = 30_000;

export interface Server {
  url: string;
  /** Ends it without a word, as a power cut would; what it has answered for is on the disk. */
  kill(): Promise<void>;
  /** Starts it again after `kill`, where it was and with what it had. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function startServer(): Promise<Server> {
  const binary = resolve(ROOT, process.env.INKWIRE_BIN ?? 'target/debug/inkwire');
  if (!existsSync(binary)) {
    throw new Error(
      `no server at ${binary}: build it (cargo build -p inkwire-cli), or say where it is in INKWIRE_BIN`,
    );
  }
  const folder = mkdtempSync(join(tmpdir(), 'inkwire-e2e-'));
  const start = (port: number) =>
    spawn(binary, ['serve', '--bind', '127.0.0.1', '--port', String(port), '--data-dir', folder], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  let child = start(0);
  const kill = () => end(child);
  const stop = async () => {
    await kill();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const url = await address(child);
    const restart = async () => {
      child = start(Number(new URL(url).port));
      await address(child);
    };
    return { url, kill, restart, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function address(child: ChildProcess): Promise<string> {
  return new Promise((found, failed) => {
    let said = '';
    const timer = setTimeout(() => failed(new Error(`no address within ${PATIENCE} ms:\n${said}`)), PATIENCE);
    child.once('error', failed);
    child.once('exit', (code) => failed(new Error(`the server ended with ${code}:\n${said}`)));
    child.stderr?.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-10_000);
    });
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const match = /http:\/\/[^\s/]+:(\d+)/.exec(said);
      if (!match) return;
      clearTimeout(timer);
      found(`http://127.0.0.1:${match[1]}`);
    });
  });
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined)
    return Promise.resolve();
  return new Promise((done) => {
    child.once('exit', () => done());
    // Nothing here is worth draining for.
    child.kill('SIGKILL');
  });
}
