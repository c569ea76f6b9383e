/**
 * A stand-in for the server, as much of it as a client can see: each connection and each POST is in the test's hands. It
 * serves the tests of the signalling.
 */
import type { Fetch } from '../src/http.js';

export interface Connection {
  headers: Headers;
  url: string;
  /** Writes one event; `id` moves the position. */
  say(event: string, data: unknown, id?: string): void;
  write(text: string): void;
  /** Ends the stream as a server does. */
  end(): void;
  /** Breaks it as a network does. */
  cut(): void;
  /** Whether the client has let go of it. */
  released: boolean;
}

export interface Post {
  path: string;
  headers: Headers;
  body: unknown;
}

export class StandIn {
  readonly connections: Connection[] = [];
  readonly posts: Post[] = [];
  issued = 0;
  /** What each request for a token was authorized by. */
  readonly shown: (string | null)[] = [];
  /** Seconds. */
  tokenLife = 3600;
  /** The identity of the next tokens; each gets a new one unless this is set. */
  identity: string | undefined;
  /** Answers a request before the stand-in does; `undefined` lets it pass. */
  answer: (method: string, path: string) => Response | undefined = () => undefined;
  #waiting: (() => void)[] = [];

  readonly fetch: Fetch = async (url, init) => {
    const method = init.method ?? 'GET';
    const path = url.replace('http://node', '');
    const special = this.answer(method, path);
    if (special) return special;
    if (path === '/access') {
      this.shown.push(new Headers(init.headers).get('authorization'));
      return this.#grant();
    }
    if (path === '/connect') return this.#connect(url, init);
    if (path === '/ice') return Response.json({ iceServers: [] });
    const body = typeof init.body === 'string' ? (JSON.parse(init.body) as unknown) : undefined;
    this.posts.push({ path, headers: new Headers(init.headers), body });
    this.#stir();
    return Response.json({});
  };

  /** Waits until `condition` gives something. */
  async until<T>(condition: () => T | undefined | false): Promise<T> {
    for (;;) {
      const got = condition();
      if (got !== undefined && got !== false) return got;
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  /** The `n`th connection, counted from 0. */
  connection(n: number): Promise<Connection> {
    return this.until(() => this.connections[n]);
  }

  /** To be called by whatever changes what a test may wait for. */
  #stir(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    // Let the client finish its turn first.
    setImmediate(() => {
      for (const resolve of waiting) resolve();
    });
  }

  stir(): void {
    this.#stir();
  }

  #grant(): Response {
    this.issued += 1;
    const id = this.identity ?? `u${this.issued}`;
    const claims = { id, exp: Math.floor(Date.now() / 1000) + this.tokenLife };
    const token = `h.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${this.issued}`;
    return Response.json({ token, user: { id, username: 'ann' } });
  }

  #connect(url: string, init: RequestInit): Response {
    const encoder = new TextEncoder();
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    const stream = new ReadableStream<Uint8Array>({
      start: (made) => {
        controller = made;
      },
    });
    const write = (text: string) => controller?.enqueue(encoder.encode(text));
    const connection: Connection = {
      headers: new Headers(init.headers),
      url,
      released: false,
      write,
      say: (event, data, id) =>
        write(`event: ${event}\ndata: ${JSON.stringify(data)}\n${id === undefined ? '' : `id: ${id}\n`}\n`),
      end: () => controller?.close(),
      cut: () => controller?.error(new Error('cut')),
    };
    init.signal?.addEventListener('abort', () => {
      connection.released = true;
      try {
        controller?.error(init.signal?.reason);
      } catch {
        // Already over.
      }
      this.#stir();
    });
    this.connections.push(connection);
    this.#stir();
    return new Response(stream, { headers: { 'content-type': 'text/event-stream' } });
  }
}
