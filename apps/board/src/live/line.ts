/**
 * The room's channel, as it is reached over the network. It serves the live board.
 * Invariant: every publish and every read is answered, however many connections it takes, or the line was ended.
 */
import { type Client, ClientError, type ConnectionState, createClient, HttpError, isOffset } from 'inkwire';
import type { Page } from '../sync/channel.js';
import { isRecord } from '../sync/element.js';
import type { BoardMessage, Draft } from '../sync/message.js';
import type { Outcome } from '../sync/unsent.js';
import type { Pass } from './pass.js';

export interface LineWorld {
  connected(): void;
  lost(): void;
  /** Nothing is followed any more; the next connection is another line's. */
  ended(): void;
  page(ticket: number, page: Page): void;
  messages(messages: readonly BoardMessage[]): void;
  gap(): void;
  answered(draft: Draft, outcome: Outcome): void;
  /** The state is another, or an error has come. */
  changed(): void;
}

/** Messages of one page; the server ends one sooner where they are large. */
const PAGE = 1_000;
/** Milliseconds between two tries at a page. */
const READ_AGAIN = 1_000;

export class Line {
  readonly #channel: string;
  readonly #pass: Pass;
  readonly #world: LineWorld;
  #client: Client | undefined;
  #error = '';
  #refusal: ClientError | undefined;
  /** Ends the reading under way. */
  #reading = new AbortController();

  constructor(channel: string, pass: Pass, world: LineWorld) {
    this.#channel = channel;
    this.#pass = pass;
    this.#world = world;
  }

  get state(): ConnectionState {
    return this.#client?.state ?? { kind: 'idle' };
  }

  /** The last thing the server refused to do, in its words. */
  get error(): string {
    return this.#error;
  }

  /** Why the server would not have what it would not have last. It stays true over a new connection. */
  get refusal(): ClientError | undefined {
    return this.#refusal;
  }

  start(): void {
    if (this.#client && this.state.kind !== 'stopped') return;
    if (this.#client) this.stop();
    const client = createClient({ cache: false, getToken: this.#pass.source() });
    this.#client = client;
    client.on('connect', () => {
      this.#error = '';
      this.#world.connected();
      this.#world.changed();
    });
    client.on('disconnect', () => this.#lose());
    client.on('messages', (channel, messages) => {
      if (channel === this.#channel) this.#world.messages(messages);
    });
    client.on('gap', () => this.#world.gap());
    client.on('error', (error) => this.#fail(error));
  }

  /** Leaves off. What was under way is tried again after the next `start`. */
  stop(): void {
    const client = this.#client;
    this.#client = undefined;
    client?.close();
    this.#reading.abort();
    this.#world.ended();
    this.#world.changed();
  }

  /** Connects again now, unless it is connected. */
  retry(): void {
    if (this.state.kind === 'live') return;
    this.stop();
    this.start();
  }

  publish(draft: Draft): void {
    const { key, version, text, isTombstone } = draft;
    const answer = this.#client?.publish(
      this.#channel,
      { element: text },
      { key, version, ...(isTombstone && { tombstone: true }) },
    );
    (answer ?? Promise.reject(new ClientError('closed', 'there is no line'))).then(
      (offset) => this.#world.answered(draft, { kind: 'stored', offset }),
      (error: Error) => this.#world.answered(draft, { kind: this.#refusalOf(error) }),
    );
  }

  follow(after: string): void {
    // A subscription that was ended by `unfollow` or by the line is nobody's fault.
    this.#client?.subscribe(this.#channel, after).catch((error: Error) => this.#fail(error));
  }

  unfollow(): void {
    void this.#client?.unsubscribe(this.#channel);
  }

  /** Tries until it has the page, or something else is read, or the line is lost. */
  read(after: string, ticket: number): void {
    this.#reading.abort();
    this.#reading = new AbortController();
    void this.#read(after, ticket, this.#reading.signal);
  }

  async #read(after: string, ticket: number, signal: AbortSignal): Promise<void> {
    const query = `?after=${encodeURIComponent(after)}&limit=${PAGE}`;
    while (!signal.aborted) {
      try {
        const page = await this.#fetchPage(query, signal);
        if (!signal.aborted) this.#world.page(ticket, page);
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#fail(error as Error);
        await new Promise((done) => setTimeout(done, READ_AGAIN));
      }
    }
  }

  async #fetchPage(query: string, signal: AbortSignal): Promise<Page> {
    const headers = { authorization: `Bearer ${await this.#pass.token()}` };
    const response = await fetch(`/channels/${encodeURIComponent(this.#channel)}${query}`, {
      headers,
      signal,
    });
    const body: unknown = await response.json();
    if (response.ok) return decodePage(body);
    const detail = isRecord(body) && typeof body.detail === 'string' ? body.detail : '';
    throw new ClientError('refused', detail || `status ${response.status}`);
  }

  #lose(): void {
    this.#reading.abort();
    this.#world.lost();
    this.#world.changed();
  }

  #fail(error: Error): void {
    if (error instanceof ClientError && error.code === 'closed') return;
    // What the network does is seen by the state; these are words of the server's.
    if (error instanceof ClientError || error instanceof HttpError) this.#error = error.message;
    this.#world.changed();
  }

  #refusalOf(error: Error): Exclude<Outcome['kind'], 'stored'> {
    const code = error instanceof ClientError ? error.code : '';
    if (code === 'too-large') return 'too-large';
    if (code === 'closed' || code === 'uncertain' || code === 'full') return 'failed';
    if (error instanceof ClientError) this.#refusal = error;
    this.#fail(error);
    return 'refused';
  }
}

function decodePage(body: unknown): Page {
  if (!isRecord(body) || !Array.isArray(body.messages) || !isOffset(body.head))
    throw new Error('the server answered with something that is no page');
  const messages = body.messages.filter(
    (message): message is BoardMessage => isRecord(message) && isOffset(message.offset),
  );
  return { messages, head: body.head, gap: body.gap === true };
}
