/**
 * A line between a page and the server that can be cut. It serves the tests of resuming.
 * Invariant: bytes pass unchanged, or not at all.
 */
import { connect, createServer, type Socket } from 'node:net';
import { listen } from './loopback.js';

export interface Line {
  url: string;
  /** Breaks every connection at once; new ones are let through. */
  cut(): void;
  /** Breaks every connection, and lets none through until `mend`. */
  block(): void;
  mend(): void;
  /** How many connections were made through it. */
  readonly connections: number;
  close(): Promise<void>;
}

export async function startLine(target: string): Promise<Line> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let connections = 0;
  let open = true;
  const server = createServer((near) => {
    if (!open) {
      near.destroy();
      return;
    }
    connections += 1;
    const far = connect(Number(port), hostname);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      // A broken half breaks the other; nothing to report, that is what the line is for.
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  const url = await listen(server);
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url,
    cut,
    block: () => {
      open = false;
      cut();
    },
    mend: () => {
      open = true;
    },
    get connections() {
      return connections;
    },
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        cut();
      }),
  };
}
