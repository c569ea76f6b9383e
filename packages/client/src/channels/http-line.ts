/**
 * A line made of POSTs and event streams, for networks that let no WebSocket through. It serves the driver, which does not
 * know the difference.
 *
 * A channel that is followed is one event stream, shared by the tabs of a browser; browsers open six to a server over HTTP/1.1,
 * and a hundred over HTTP/2.
 * Publishes of a channel go one after the other, since nothing else keeps their order.
 *
 * Invariant: a network that fails is the end of the line, as it is for a socket; what the server refuses is an answer.
 */
import { isRecord, parseJson, WireError } from '../check.js';
import { type Asking, type Fetch, HttpError, request, segment } from '../http.js';
import type { SseBlock } from '../sse.js';
import { readStream } from '../stream.js';
import { readToken } from '../tokens.js';
import type { Command, Publish, Subscribe } from './command.js';
import { decodeHeard, decodeMessage, type Heard, type Reply } from './heard.js';
import { BROKEN, EXPIRED, type Line, type LineEvents, type OpenLine, RESTARTS } from './line.js';
import type { ShareWorld, Told } from './shared-stream.js';

/** Milliseconds until a WebSocket is tried again: networks change, and a socket is better. */
export const TRY_SOCKET_AFTER = 300_000;

/** Whether there are other tabs, and a way to share with them. Node has the way, and no tabs. */
function isShared(): boolean {
  return typeof document !== 'undefined' && navigator.locks !== undefined && 'BroadcastChannel' in globalThis;
}

export function httpLines(fetch: Fetch, canHaveSocket: boolean): OpenLine {
  return (base, events) => new HttpLine(base, fetch, events, canHaveSocket);
}

class HttpLine implements Line {
  readonly #base: string;
  readonly #fetch: Fetch;
  readonly #events: LineEvents;
  readonly #life = new AbortController();
  readonly #streams = new Map<string, AbortController>();
  /** The last publish of each channel under way. */
  readonly #queues = new Map<string, Promise<void>>();
  #peer: Promise<boolean> | undefined;
  #lifetime: ReturnType<typeof setTimeout> | undefined;
  #token = '';

  constructor(base: string, fetch: Fetch, events: LineEvents, canHaveSocket: boolean) {
    this.#base = base;
    this.#fetch = fetch;
    this.#events = events;
    queueMicrotask(() => {
      if (!this.#life.signal.aborted) events.opened();
    });
    if (canHaveSocket)
      this.#lifetime = setTimeout(() => this.#end(BROKEN, 'time to try a WebSocket again'), TRY_SOCKET_AFTER);
  }

  send(command: Command, id: number): void {
    void this.#answer(command, id);
  }

  close(): void {
    clearTimeout(this.#lifetime);
    this.#life.abort();
    for (const stream of this.#streams.values()) stream.abort();
  }

  async #answer(command: Command, id: number): Promise<void> {
    try {
      // Made before the first wait, so that an `unsubscribe` meanwhile finds it.
      const stream = command.op === 'subscribe' ? this.#open(command.channel) : undefined;
      const reply = await this.#carryOut(command);
      if (this.#life.signal.aborted) return;
      this.#events.heard({ event: 'reply', id, outcome: { ok: true, reply } });
      if (stream && command.op === 'subscribe')
        void this.#follow(command.channel, reply.offset ?? '0', stream);
    } catch (error) {
      this.#fail(error, id);
    }
  }

  async #carryOut(command: Command): Promise<Reply> {
    switch (command.op) {
      case 'auth':
        return this.#introduce(command.token, command.lastEventId);
      case 'subscribe':
        return this.#begin(command);
      case 'unsubscribe':
        this.#streams.get(command.channel)?.abort();
        this.#streams.delete(command.channel);
        return {};
      case 'publish':
        return this.#inTurn(command);
      case 'join':
        // Joining needs the peer's stream to be open.
        await this.#connect();
        return this.#post(`/${segment(command.room)}/join`);
      case 'leave':
        return this.#post(`/${segment(command.room)}/leave`);
      case 'relay':
        return this.#post(`/relay/${segment(command.to)}/${segment(command.event)}`, command.data);
      case 'ping':
        return {};
    }
  }

  /** Asks for something that every token may have, and so whether this one is taken. */
  async #introduce(token: string, lastEventId: string | undefined): Promise<Reply> {
    const isFirst = this.#token === '';
    this.#token = token;
    if (!isFirst) return {};
    const resumed = lastEventId === undefined ? undefined : await this.#connect(lastEventId);
    if (resumed === undefined) await this.#request('/ice');
    if (this.#life.signal.aborted) return {};
    const id = readToken(token).id ?? '';
    const user = { id, username: id };
    this.#events.heard({
      ...{ event: 'connected', user, node: this.#base },
      ...(resumed !== undefined && { resumed }),
    });
    return {};
  }

  /** Opens the peer's stream, and answers whether it goes on where it stood. */
  #connect(position?: string): Promise<boolean> {
    this.#peer ??= new Promise((done, failed) => {
      const stream = this.#open('');
      readStream({
        url: `${this.#base}/connect`,
        ...{ token: this.#token, position, fetch: this.#fetch, signal: stream.signal },
        onBlock: (block) => {
          if (!stream.signal.aborted) this.#takePeer(block, done);
        },
      }).then(
        () => this.#end(this.#endCode(), 'the stream was ended'),
        (error) => {
          failed(error);
          if (!stream.signal.aborted) this.#end(this.#endCode(), String(error));
        },
      );
    });
    return this.#peer;
  }

  #takePeer({ event, data, id }: SseBlock, opened: (resumed: boolean) => void): void {
    const told = data === undefined ? undefined : parseJson(data);
    if (event === 'connected') opened(isRecord(told) && told.resumed === true);
    // Another stream has taken its place: it ends, and the channels go on.
    else if (event === 'replaced') {
      this.#streams.get('')?.abort();
      this.#peer = undefined;
    } else if (event === 'draining') this.#end(RESTARTS, 'the node goes down');
    if (event === 'ping' || event === 'connected' || event === 'draining') return;
    const position = id === undefined ? {} : { position: id };
    const about = isRecord(told) ? told : {};
    this.#events.heard({
      event: 'other',
      name: told === undefined ? 'position' : event,
      data: { ...about, ...position },
    });
  }

  async #post(path: string, body?: unknown): Promise<Reply> {
    await this.#request(path, { method: 'POST', body });
    return {};
  }

  /** Where a subscription begins: as a stream does not say it, the log is asked. That it has a gap, the stream says. */
  async #begin({ channel, offset }: Subscribe): Promise<Reply> {
    const after = offset === '$' ? '0' : offset;
    const answer = await this.#request(`${path(channel)}?after=${after}&limit=1`);
    const place = offset === '$' ? answer.head : offset;
    return { offset: typeof place === 'string' ? place : '0', gap: false };
  }

  #open(channel: string): AbortController {
    const stream = new AbortController();
    this.#streams.set(channel, stream);
    return stream;
  }

  async #follow(channel: string, offset: string, stream: AbortController): Promise<void> {
    try {
      const { shareStream } = isShared() ? await import('./shared-stream.js') : {};
      if (stream.signal.aborted) return;
      const tell = (told: Heard) => {
        if (!stream.signal.aborted) this.#events.heard(told);
      };
      if (shareStream) await shareStream(this.#shareWorld(channel, stream.signal, tell), offset);
      else await this.#stream(channel, offset, stream.signal, tell);
      if (!stream.signal.aborted) this.#end(this.#endCode(), 'the stream was ended');
    } catch (error) {
      // The last answer about this channel was yes: whatever ends its stream now ends the line, and it is asked again.
      if (!stream.signal.aborted) this.#end(this.#endCode(), String(error));
    }
  }

  #stream(channel: string, offset: string, signal: AbortSignal, tell: (told: Told) => void): Promise<void> {
    return readStream({
      url: `${this.#base}${path(channel)}?offset=${offset}`,
      ...{ token: this.#token, fetch: this.#fetch, signal },
      onBlock: (block) => this.#take(channel, block, tell),
    });
  }

  #shareWorld(channel: string, signal: AbortSignal, tell: (told: Told) => void): ShareWorld {
    return {
      name: `inkwire ${this.#base} ${channel}`,
      ...{ channel, signal, tell },
      stream: (offset, take) => this.#stream(channel, offset, signal, take),
      read: async (after) => {
        const page = await this.#request(`${path(channel)}?after=${after}&limit=1000`);
        const messages = Array.isArray(page.messages) ? page.messages : [];
        const read = messages.map(decodeMessage).filter((message) => message !== undefined);
        return { messages: read, head: String(page.head), gap: page.gap === true };
      },
    };
  }

  #take(channel: string, { event, data }: SseBlock, tell: (told: Told) => void): void {
    if (data === undefined) return;
    if (event === 'message') {
      const message = decodeMessage(parseJson(data));
      if (message) tell({ event: 'messages', channel, messages: [message] });
    } else if (event === 'gap') {
      const gap = parseJson(data);
      const heard = decodeHeard(JSON.stringify({ event, channel, ...(isRecord(gap) ? gap : {}) }));
      if (!(heard instanceof WireError) && heard.event === 'gap') tell(heard);
    }
  }

  #inTurn(publish: Publish): Promise<Reply> {
    const { channel } = publish;
    const before = this.#queues.get(channel) ?? Promise.resolve();
    const answer = before.then(() => this.#publish(publish));
    const settled = answer.then(
      () => undefined,
      () => undefined,
    );
    this.#queues.set(channel, settled);
    void settled.then(() => {
      if (this.#queues.get(channel) === settled) this.#queues.delete(channel);
    });
    return answer;
  }

  async #publish({ channel, fields, producer, op: _op, ...options }: Publish): Promise<Reply> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(options)) query.set(name, String(value));
    const answer = await this.#request(`${path(channel)}?${query}`, {
      method: 'POST',
      headers: producer ? { 'idempotency-key': `${producer.id}:${producer.seq}` } : {},
      body: fields,
    });
    return typeof answer.offset === 'string' ? { offset: answer.offset } : {};
  }

  async #request(pathAndQuery: string, asking: Asking = {}): Promise<Record<string, unknown>> {
    const { signal } = this.#life;
    signal.throwIfAborted();
    const answer = await request(this.#fetch, this.#base + pathAndQuery, {
      ...{ token: this.#token, signal },
      ...asking,
    });
    return isRecord(answer) ? answer : {};
  }

  #fail(error: unknown, id: number): void {
    if (this.#life.signal.aborted) return;
    // A server that cannot may have done it all the same; what follows must not go before it is asked again.
    if (!(error instanceof HttpError) || error.status >= 500) {
      this.#end(BROKEN, String(error));
    } else if (error.status === 401 || this.#endCode() === EXPIRED) {
      this.#end(EXPIRED, error.message);
    } else {
      const { code, message, retryAfter } = error;
      const refusal = { code: code || 'invalid', message };
      const wait = retryAfter === undefined ? {} : { retryAfterMs: retryAfter };
      this.#events.heard({ event: 'reply', id, outcome: { ok: false, error: { ...refusal, ...wait } } });
    }
  }

  /** An expired token and a missing grant are both 403: the token itself tells which it is. */
  #endCode(): number {
    return (readToken(this.#token).expires ?? Number.POSITIVE_INFINITY) <= Date.now() ? EXPIRED : BROKEN;
  }

  #end(code: number, reason: string): void {
    if (this.#life.signal.aborted) return;
    this.close();
    this.#events.ended({ code, reason });
  }
}

function path(channel: string): string {
  return `/channels/${segment(channel)}`;
}
