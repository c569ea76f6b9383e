/** Servers of the tests' own. It serves whatever stands in for something of the world outside. */
import type { Server } from 'node:net';

/** Listens on a free port of this machine alone; gives the address, without a slash at its end. */
export function listen(server: Server): Promise<string> {
  return new Promise((found) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('no port');
      found(`http://127.0.0.1:${address.port}`);
    });
  });
}
