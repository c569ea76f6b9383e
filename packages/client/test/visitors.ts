/** A server of a test file's own, and clients of it, which end with each test. */
import { afterAll, afterEach, beforeAll } from 'vitest';
import { WebSocket } from 'ws';
import { type Client, type ClientOptions, createClient } from '../src/channels/client.js';
import { mint, Node } from './node.js';

/** What a proxy that knows no WebSocket makes of one. */
export class Blocked {
  onopen: unknown;
  onmessage: unknown;
  onerror: unknown;
  onclose: ((event: { code: number; reason: string }) => void) | undefined;
  constructor() {
    setTimeout(() => this.onclose?.({ code: 1006, reason: 'blocked' }), 1);
  }
  send(): void {}
  close(): void {}
}

/** A client, and the field `n` of all that it was told. */
export type Visitor = Client & { heard: string[] };

export interface Visitors {
  readonly node: Node;
  connect(options?: ClientOptions): Visitor;
}

/** To be called where tests are declared. */
export function visitors(): Visitors {
  let node: Node | undefined;
  const open: Client[] = [];
  beforeAll(async () => {
    node = await Node.start();
  });
  afterEach(() => {
    for (const client of open.splice(0)) client.close();
  });
  afterAll(() => node?.[Symbol.asyncDispose]());
  return {
    get node(): Node {
      if (!node) throw new Error('the server starts with the first test');
      return node;
    },
    connect(options: ClientOptions = {}): Visitor {
      const token = options.getToken ? {} : { token: mint() };
      const client = createClient({ targets: this.node.url, WebSocket, ...token, ...options });
      open.push(client);
      const heard: string[] = [];
      client.on('messages', (_channel, messages) => heard.push(...messages.map(({ n }) => String(n))));
      return Object.assign(client, { heard });
    },
  };
}
