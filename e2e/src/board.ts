/**
 * What a person does and sees at a board, through the page alone. It serves the browser tests.
 * Invariant: it waits for conditions, never for time.
 */
import type { Page } from 'playwright-core';

/** Milliseconds. The machine is slow and shared; what takes this long is broken. */
export const PATIENCE = 30_000;

interface Counters {
  messagesSent: number;
  bytesSent: number;
  messagesReceived: number;
  bytesReceived: number;
  ignored: number;
  refused: number;
}

export interface Peer {
  peer: { id: string; username: string };
  state: { kind: string; route?: string };
  counters: Record<'updates' | 'cursors', Counters>;
  ignored: number;
}

export interface Element {
  id: string;
  type: string;
  isDeleted: boolean;
  version: number;
  index: string;
  x: number;
  y: number;
  points?: unknown[];
  text?: string;
}

/** What the page shows of itself, see `Insight` in the board. */
interface Insight {
  connection(): { kind: string; resumed?: boolean };
  peers(): Peer[];
  board(): Element[];
  level(): boolean;
  channel(): { standing: string; offset: string; unsent: number; isKept: boolean };
  comings(): { joined: number; left: number };
}

declare global {
  interface Window {
    inkwire?: Insight;
  }
}

export async function canvasReady(page: Page): Promise<void> {
  await page.locator('canvas.interactive').waitFor({ timeout: PATIENCE });
}

/** Waits until the page is linked to exactly `count` peers. */
export async function linked(page: Page, count: number): Promise<void> {
  await page.waitForFunction(
    (wanted) => {
      const peers = window.inkwire?.peers() ?? [];
      return (
        window.inkwire?.connection().kind === 'live' &&
        window.inkwire.level() &&
        peers.length === wanted &&
        peers.every((peer) => peer.state.kind === 'connected')
      );
    },
    count,
    { timeout: PATIENCE },
  );
}

/** Waits until the server has confirmed all that the page holds, and the page has all that the server does. */
export async function saved(page: Page): Promise<void> {
  await page.waitForFunction(
    () => {
      const channel = window.inkwire?.channel();
      return channel?.standing === 'level' && channel.unsent === 0;
    },
    undefined,
    { timeout: PATIENCE },
  );
}

/** Waits until so many changes wait for the server, and the browser has written down all it is to keep. */
export async function keeps(page: Page, unsent: number): Promise<void> {
  await page.waitForFunction(
    (count) => {
      const channel = window.inkwire?.channel();
      return channel?.unsent === count && channel.isKept;
    },
    unsent,
    { timeout: PATIENCE },
  );
}

export const channelOf = (page: Page) => page.evaluate(() => window.inkwire?.channel());

export const peersOf = (page: Page): Promise<Peer[]> => page.evaluate(() => window.inkwire?.peers() ?? []);

export const comingsOf = (page: Page) => page.evaluate(() => window.inkwire?.comings());

/** The living elements of a page's board. */
export async function boardOf(page: Page): Promise<Element[]> {
  const all = await page.evaluate(() => window.inkwire?.board() ?? []);
  return all.filter((element) => !element.isDeleted);
}

/** Their ids, in one order. */
export async function idsOf(page: Page): Promise<string[]> {
  return (await boardOf(page)).map(({ id }) => id).sort();
}

/** Waits until the living elements of the page are exactly these. */
export async function shows(page: Page, ids: string[]): Promise<void> {
  await page.waitForFunction(
    (wanted) => {
      const living = (window.inkwire?.board() ?? []).filter((element) => !element.isDeleted);
      return JSON.stringify(living.map(({ id }) => id).sort()) === wanted;
    },
    JSON.stringify([...ids].sort()),
    { timeout: PATIENCE },
  );
}

/** Waits until the page's board, tombstones and all, is the same as another's. */
export async function sameBoard(page: Page, other: Page): Promise<void> {
  const state = () =>
    JSON.stringify(
      (window.inkwire?.board() ?? [])
        .map(({ id, version, isDeleted }) => [id, version, isDeleted])
        .sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)),
    );
  const wanted = await other.evaluate(state);
  await page.waitForFunction(
    (expected) =>
      JSON.stringify(
        (window.inkwire?.board() ?? [])
          .map(({ id, version, isDeleted }) => [id, version, isDeleted])
          .sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)),
      ) === expected,
    wanted,
    { timeout: PATIENCE },
  );
}

/** Waits until an image of pixels.ts is drawn: its rows of grey are on the canvas. */
export async function showsRows(page: Page): Promise<void> {
  await page.waitForFunction(
    () => {
      const canvas = document.querySelector<HTMLCanvasElement>('canvas.static');
      const context = canvas?.getContext('2d');
      if (!canvas || !context) return false;
      const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
      const greys = new Set<number>();
      for (let at = 0; at < data.length; at += 4)
        if (data[at] === data[at + 1] && data[at] === data[at + 2]) greys.add(data[at] ?? 0);
      return greys.size > 20;
    },
    undefined,
    { timeout: PATIENCE },
  );
}

export type Point = readonly [number, number];

/** Takes a tool by its key, as the help says. */
export async function take(page: Page, key: string): Promise<void> {
  await page.locator('.excalidraw').first().focus();
  await page.keyboard.press(key);
}

/** Draws with the mouse along the points, and calls `midway` before letting go. */
export async function draw(
  page: Page,
  points: readonly Point[],
  midway?: () => Promise<void>,
): Promise<void> {
  const [first, ...rest] = points;
  if (!first) return;
  await page.mouse.move(...first);
  await page.mouse.down();
  for (const point of rest) await page.mouse.move(...point, { steps: 3 });
  await midway?.();
  await page.mouse.up();
}

/** A short stroke from there. */
export const drawLine = (page: Page, x: number, y: number): Promise<void> =>
  draw(page, [
    [x, y],
    [x + 80, y + 60],
  ]);

/** Writes where the page is clicked, once the editor has its cursor there. The text tool is taken already. */
export async function write(page: Page, at: Point, text: string): Promise<void> {
  await page.mouse.click(...at);
  const field = page.locator('textarea.excalidraw-wysiwyg');
  await field.waitFor({ timeout: PATIENCE });
  await page.waitForFunction(() => document.activeElement?.classList.contains('excalidraw-wysiwyg'));
  await page.keyboard.type(text);
}

/** Ids of what is on `after` and not on `before`. */
export function added(before: Element[], after: Element[]): string[] {
  const known = new Set(before.map(({ id }) => id));
  return after.filter(({ id }) => !known.has(id)).map(({ id }) => id);
}
