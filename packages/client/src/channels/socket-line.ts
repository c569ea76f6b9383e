/**
 * A line made of a WebSocket. It serves the driver.
 * Invariant: a socket that does not open, or gives no sign of life, is an end like any other.
 */
import { encodeCommand } from './command.js';
import { decodeHeard } from './heard.js';
import { BROKEN, type End, type Line, type LineEvents, type OpenLine, PING_ID } from './line.js';

/**
 * As much of a WebSocket as is used. The handlers are `unknown` because every implementation has a type of its own for
 * their events; each is given a function, and nothing is read back.
 */
export interface SocketLike {
  onopen: unknown;
  onmessage: unknown;
  onclose: unknown;
  onerror: unknown;
  send(text: string): void;
  close(code?: number): void;
}

/** The browser's own, Node's from 22 on, or that of the packages `ws` and `undici`. */
export type SocketConstructor = new (url: string, protocols: string) => SocketLike;

/** Milliseconds until a socket is open; a server that takes connections and says nothing is passed over. */
const OPENING = 10_000;
/** Milliseconds between pings. A browser does not show those of the server. */
const PING_EVERY = 10_000;
/** Pings without an answer. Counted, not timed: the timers of a page in the background come late. */
const MAX_UNANSWERED = 2;

export function socketLines(Socket: SocketConstructor): OpenLine {
  return (base, events) => new SocketLine(Socket, `${base.replace(/^http/, 'ws')}/ws`, events);
}

class SocketLine implements Line {
  readonly #socket: SocketLike | undefined;
  readonly #events: LineEvents;
  readonly #opening: ReturnType<typeof setTimeout>;
  #pings: ReturnType<typeof setInterval> | undefined;
  #unanswered = 0;
  #isOver = false;

  constructor(Socket: SocketConstructor, url: string, events: LineEvents) {
    this.#events = events;
    this.#opening = setTimeout(() => this.#end({ code: BROKEN, reason: 'it did not open in time' }), OPENING);
    try {
      this.#socket = new Socket(url, 'inkwire.v1');
    } catch (error) {
      // Told later, as every other end: nobody has hold of this line yet.
      queueMicrotask(() => this.#end({ code: BROKEN, reason: String(error) }));
      return;
    }
    this.#socket.onopen = () => this.#open();
    this.#socket.onmessage = ({ data }: { data: unknown }) => this.#hear(data);
    this.#socket.onclose = ({ code, reason }: { code: number; reason: unknown }) =>
      this.#end({ code, reason: String(reason) || `closed with ${code}` });
    // Said before every `close` that is not clean, and it says nothing that `close` does not.
    this.#socket.onerror = () => undefined;
  }

  send(command: Parameters<Line['send']>[0], id: number): void {
    if (!this.#isOver) this.#socket?.send(encodeCommand(command, id));
  }

  close(): void {
    this.#isOver = true;
    clearTimeout(this.#opening);
    clearInterval(this.#pings);
    // Closing one that is not open yet makes some implementations complain to `onerror`, which stays.
    this.#socket?.close(1000);
  }

  #open(): void {
    if (this.#isOver) return;
    clearTimeout(this.#opening);
    this.#pings = setInterval(() => this.#ping(), PING_EVERY);
    this.#events.opened();
  }

  #hear(data: unknown): void {
    if (this.#isOver || typeof data !== 'string') return;
    this.#unanswered = 0;
    const heard = decodeHeard(data);
    if ('id' in heard && heard.id === PING_ID) return;
    this.#events.heard(heard);
  }

  #ping(): void {
    if (this.#unanswered >= MAX_UNANSWERED) {
      this.#end({ code: BROKEN, reason: 'no sign of life' });
      return;
    }
    this.#unanswered += 1;
    this.send({ op: 'ping' }, PING_ID);
  }

  #end(end: End): void {
    if (this.#isOver) return;
    this.close();
    this.#events.ended(end);
  }
}
