/**
 * Tabs that share a stream, in a world of their own: a log, a lock, and a radio that is slow and forgets what a tab that dies had
 * just said. The browser's own lock and radio are tried in e2e/test/toolkit.test.ts.
 *
 * Breakages tried on purpose, each of which makes tests fail: nothing is read at the beginning, or when there is a new
 * leader; a leader begins where it began, not where it stands; what is passed on is told before what is read; a read that is out of
 * date is believed.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { WireMessage } from '../src/channels/heard.js';
import { isAfter } from '../src/channels/offset.js';
import { shareStream, type Told } from '../src/channels/shared-stream.js';
import { type Random, seeded } from './random.js';

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
let random: Random;
let radios: Radio[] = [];
let queue: (() => void)[] = [];
let log: WireMessage[] = [];

/** Keeps the order of one speaker, and no other. */
class Radio {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  isOpen = true;
  #free = 0;
  constructor(readonly name: string) {
    radios.push(this);
  }
  postMessage(data: unknown): void {
    this.#free = Math.max(this.#free, Date.now()) + random() * 20;
    for (const other of radios) {
      if (other === this) continue;
      setTimeout(() => {
        // A process that dies may not have said it any more.
        if (other.isOpen && (this.isOpen || random() < 0.5)) other.onmessage?.({ data });
      }, this.#free - Date.now());
    }
  }
  close(): void {
    this.isOpen = false;
    radios = radios.filter((radio) => radio !== this);
  }
}

const locks = {
  held: false,
  async request(_name: string, { signal }: { signal: AbortSignal }, act: () => Promise<void>): Promise<void> {
    if (locks.held) {
      await new Promise<void>((resolve, reject) => {
        queue.push(resolve);
        signal.addEventListener('abort', () => {
          queue = queue.filter((one) => one !== resolve);
          reject(signal.reason);
        });
      });
    }
    locks.held = true;
    try {
      await act();
    } finally {
      locks.held = false;
      queue.shift()?.();
    }
  },
};

/** One tab, which drops what it knows, as the followers do. */
function openTab(offset: string) {
  const life = new AbortController();
  const { signal } = life;
  const told: string[] = [];
  let [cursor, streamed] = [offset, 0];
  const ended = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });
  ended.catch(() => undefined);
  const tab = shareStream(
    {
      ...{ name: 'n', channel: 'c', signal },
      async read(after) {
        const found = log.filter((message) => isAfter(message.offset, after)).slice(0, 3);
        const head = log.at(-1)?.offset ?? '0-0';
        await later(random() * 80);
        return { messages: found, head, gap: false };
      },
      async stream(after, take) {
        for (let at = log.findIndex((message) => isAfter(message.offset, after)); ; ) {
          await Promise.race([later(random() * 15), ended]);
          if (at < 0) at = log.findIndex((message) => isAfter(message.offset, after));
          const message = at < 0 ? undefined : log[at];
          if (!message) continue;
          at += 1;
          streamed += 1;
          take({ event: 'messages', channel: 'c', messages: [message] });
        }
      },
      tell(heard: Told) {
        if (signal.aborted || heard.event !== 'messages') return;
        for (const message of heard.messages) {
          if (!isAfter(message.offset, cursor)) continue;
          cursor = message.offset;
          told.push(message.offset);
        }
      },
    },
    offset,
  );
  tab.catch(() => undefined);
  const kill = () => life.abort(new Error('killed'));
  return { told, kill, offset, streamed: () => streamed };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('BroadcastChannel', Radio);
  vi.stubGlobal('navigator', { locks });
  [radios, queue, log] = [[], [], []];
  locks.held = false;
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const publish = () => log.push({ offset: `${log.length + 1}-0` });
const after = (offset: string) =>
  log.map((message) => message.offset).filter((each) => isAfter(each, offset));

test('tabs come, talk and die: each is told what follows its offset, in order and once', async () => {
  for (let seed = 0; seed < 200; seed += 1) {
    random = seeded(seed);
    [radios, queue, log] = [[], [], []];
    locks.held = false;
    let tabs = [openTab('0')];
    for (let step = 0; step < 80; step += 1) {
      const next = random();
      if (next < 0.6) publish();
      else if (next < 0.7 && tabs.length < 6) {
        tabs.push(openTab(log[Math.floor(random() * log.length)]?.offset ?? '0'));
      } else if (next < 0.8 && tabs.length > 1) tabs.splice(random() < 0.6 ? 0 : 1, 1)[0]?.kill();
      await vi.advanceTimersByTimeAsync(random() * 20);
    }
    await vi.advanceTimersByTimeAsync(5_000);
    for (const tab of tabs) expect(tab.told, `seed ${seed}`).toEqual(after(tab.offset));
    for (const tab of tabs) tab.kill();
    await vi.advanceTimersByTimeAsync(100);
    tabs = [];
  }
});

test('one stream for all, and a new leader goes on where it stands', async () => {
  random = seeded(1);
  const tabs = [openTab('0'), openTab('0'), openTab('0')];
  for (let n = 0; n < 50; n += 1) publish();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(tabs.map((tab) => tab.streamed())).toEqual([50, 0, 0]);
  tabs[0]?.kill();
  for (let n = 0; n < 5; n += 1) publish();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(tabs.map((tab) => tab.streamed())).toEqual([50, 5, 0]);
  expect(tabs[2]?.told).toHaveLength(55);
});
