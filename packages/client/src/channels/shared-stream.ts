/**
 * One event stream of a channel for all tabs of a browser, since browsers open six connections to a server over HTTP/1.1. It
 * serves the line of event streams and POSTs, which loads it in pages.
 *
 * The tab that holds the channel's lock has the stream and passes on what comes; the others read for themselves what they
 * have missed, and then listen. When it goes, the browser gives the lock to another, which goes on where it stands itself.
 *
 * Invariant: every tab tells what follows its own offset. What a tab is passed on counts only after it has read, from the
 * server, all that was there when this leader was first heard.
 */
import type { Heard, WireMessage } from './heard.js';
import { BEGINNING, isAfter } from './offset.js';

export type Told = Extract<Heard, { event: 'messages' | 'gap' }>;

export interface ShareWorld {
  /** The same for all tabs that may share: server and channel. */
  name: string;
  channel: string;
  /** Ends it. */
  signal: AbortSignal;
  /** A page of what follows an offset. */
  read(after: string): Promise<{ messages: WireMessage[]; head: string; gap: boolean }>;
  /** Follows the channel until the stream ends. */
  stream(offset: string, take: (told: Told) => void): Promise<void>;
  tell(told: Told): void;
}

/** What is said among tabs. Without `told`: a new leader makes itself known. */
interface Passed {
  leader: string;
  told?: Told;
}

/** Messages that wait while a tab reads what it has missed; with more it reads again. */
const MAX_WAITING = 10_000;

/** Rejects, or resolves, when the channel can be followed no more. */
export async function shareStream(world: ShareWorld, offset: string): Promise<void> {
  const tab = new Tab(world, offset);
  try {
    await Promise.race([tab.lead(), tab.failed]);
  } finally {
    tab.close();
  }
}

class Tab {
  /** Rejects when what was missed cannot be read. */
  readonly failed: Promise<never>;
  readonly #world: ShareWorld;
  readonly #radio: BroadcastChannel;
  readonly #id = crypto.getRandomValues(new Uint32Array(4)).join('-');
  #cursor: string;
  #leader: string | undefined;
  /** What was passed on while we read; `undefined` when we are level. */
  #waiting: Told[] | undefined;
  #reading = 0;
  #fail: (error: unknown) => void = () => undefined;

  constructor(world: ShareWorld, offset: string) {
    this.#world = world;
    this.#cursor = offset;
    this.failed = new Promise((_, failed) => {
      this.#fail = failed;
    });
    this.#radio = new BroadcastChannel(world.name);
    this.#radio.onmessage = ({ data }: MessageEvent<Passed>) => this.#hear(data);
    this.#read();
  }

  /** Waits for the lock, and has the stream from then on. */
  lead(): Promise<void> {
    const { name, signal } = this.#world;
    return navigator.locks.request(name, { signal }, async () => {
      this.#radio.onmessage = null;
      this.#stopReading();
      this.#pass({ leader: this.#id });
      await this.#world.stream(this.#cursor, (told) => {
        this.#tell(told);
        this.#pass({ leader: this.#id, told });
      });
    });
  }

  close(): void {
    this.#radio.onmessage = null;
    this.#stopReading();
    this.#radio.close();
  }

  #hear({ leader, told }: Passed): void {
    if (leader !== this.#leader || (this.#waiting?.length ?? 0) > MAX_WAITING) {
      this.#leader = leader;
      this.#read();
    }
    if (!told) return;
    if (this.#waiting) this.#waiting.push(told);
    else this.#tell(told);
  }

  #read(): void {
    this.#waiting = [];
    this.#reading += 1;
    this.#catchUp(this.#reading).catch(this.#fail);
  }

  async #catchUp(turn: number): Promise<void> {
    const { channel } = this.#world;
    for (;;) {
      const after = this.#cursor;
      const { messages, head, gap } = await this.#world.read(after);
      if (turn !== this.#reading) return;
      if (gap) this.#tell({ event: 'gap', channel, after, oldest: messages[0]?.offset ?? head });
      if (messages.length > 0) this.#tell({ event: 'messages', channel, messages });
      if (messages.length === 0 || !isAfter(head, this.#cursor)) break;
    }
    const passed = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const told of passed) this.#tell(told);
  }

  #stopReading(): void {
    this.#reading += 1;
    this.#waiting = undefined;
  }

  #tell(told: Told): void {
    if (told.event === 'gap') this.#cursor = BEGINNING;
    for (const { offset } of told.event === 'messages' ? told.messages : [])
      if (isAfter(offset, this.#cursor)) this.#cursor = offset;
    // What was told already is known by its offset to whoever is told.
    this.#world.tell(told);
  }

  #pass(passed: Passed): void {
    if (!this.#world.signal.aborted) this.#radio.postMessage(passed);
  }
}
