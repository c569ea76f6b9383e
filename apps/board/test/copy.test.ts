/**
 * The copy in this browser, written to a disk that fails. The store is a value here: what was given to it, and whether it took
 * it.
 */
import { expect, test, vi } from 'vitest';
import { Copy } from '../src/live/copy.js';
import type { Kept, KeptPlace, Store } from '../src/live/store.js';
import { BoardChannel } from '../src/sync/channel.js';
import { toDraft } from '../src/sync/message.js';
import { Replica } from '../src/sync/replica.js';
import { rectangle } from './drawing.js';

/** More than two portions. */
const MANY = 600;
const HEAD = `${MANY}-0`;
/** Milliseconds: nothing here takes so long on any machine. */
const PATIENCE = 15_000;

class Disk {
  isFull = false;
  writes = 0;
  offset = '';
  readonly ids = new Set<string>();

  async write(place: KeptPlace, changed: readonly Kept[]): Promise<void> {
    this.writes += 1;
    if (this.isFull) throw new DOMException('', 'QuotaExceededError');
    this.offset = place.offset;
    for (const { id } of changed) this.ids.add(id);
  }

  load = async () => ({ place: undefined, elements: [] });
  tidy = async () => undefined;
  close = () => undefined;
}

/** The messages of a log, as its pages hold them. */
function log() {
  const other = new Replica();
  return Array.from({ length: MANY }, (_, at) => {
    other.put(rectangle({ id: `e${at}`, version: 1 }), 'here');
    const entry = other.get(`e${at}`);
    if (!entry) throw new Error('it was put there');
    const { key, version, text } = toDraft(entry, other.textOf(entry));
    return { offset: `${at + 1}-0`, '@key': key, '@version': version, element: text };
  });
}

test('what a full disk did not take is not passed over when there is room again', async () => {
  const [replica, disk] = [new Replica(), new Disk()];
  const copy = new Copy(replica, disk as unknown as Store);
  const nothing = () => undefined;
  const channel = new BoardChannel(replica, {
    ...{ now: () => 0, random: () => 0, publish: nothing, follow: nothing, unfollow: nothing },
    ...{ onNonsense: nothing, onTurned: (id: string) => copy.mark(id) },
    read: (_after, ticket) =>
      queueMicrotask(() => channel.page(ticket, { messages: log(), head: HEAD, gap: false })),
  });
  await copy.restore(channel);
  channel.connected();
  await vi.waitUntil(() => channel.standing === 'level', PATIENCE);

  disk.isFull = true;
  await copy.write();
  expect([disk.writes, copy.isBehind, copy.isWorking]).toEqual([1, true, false]);
  disk.isFull = false;
  copy.request();
  await vi.waitUntil(() => disk.offset === HEAD, PATIENCE);
  expect(disk.ids.size).toBe(MANY);
  copy.end();
});
