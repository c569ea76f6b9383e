/**
 * What the worker does with a request, as a function of the request. It serves the worker.
 * Invariant: `pass` is the answer to everything that is not a page, a part of it or a font: rooms, channels and events are
 * never the worker's business.
 */

/** One build of the page: what belongs together. */
export interface Edition {
  /** Another one for every build that differs in anything. */
  name: string;
  /** The script the page begins with. Its name has the hash of what it holds and loads, so a page that names it belongs to it. */
  entry: string;
  /** Everything else of the page but its fonts, with the hash that `fetch` takes as `integrity`. */
  parts: [path: string, integrity: string][];
}

/** `start`: the address that leads to a fresh room. `board`: a room, or the view of one. */
export type Treatment = 'start' | 'board' | 'part' | 'font' | 'pass';

/** Where the page itself is to be had by a name that is no room's. */
export const SHELL = '/static/index.html';
export const WORKER = '/static/worker.js';
/** A tab holds a lock of this name and the address of the script it began with, while it may load parts of its edition. */
export const TAB = 'inkwire tab of ';
const PARTS = '/static/assets/';
const FONTS = '/static/fonts/';

/** First segments of paths that are the server's, and so no rooms; the protocol has them in id.rs. */
export const ROUTES: readonly string[] = [
  'access',
  'connect',
  'relay',
  'rooms',
  'ice',
  'static',
  'ws',
  'channels',
  'healthz',
  'readyz',
  'metrics',
  'doctor',
];

const ROOM = /^\/([A-Za-z0-9_-]{1,64})$/;
const VIEW = /^\/v\.[A-Za-z0-9_-]{39,123}$/;

export interface Asked {
  url: string;
  method: string;
  mode: string;
}

export function treatmentOf({ url, method, mode }: Asked, origin: string): Treatment {
  const { origin: from, pathname } = new URL(url);
  if (from !== origin || method !== 'GET') return 'pass';
  if (mode === 'navigate') return pageAt(pathname);
  if (pathname.startsWith(PARTS)) return 'part';
  return pathname.startsWith(FONTS) ? 'font' : 'pass';
}

function pageAt(path: string): Treatment {
  if (path === '/') return 'start';
  const room = ROOM.exec(path)?.[1];
  const isBoard = room === undefined ? VIEW.test(path) : !ROUTES.includes(room);
  return isBoard ? 'board' : 'pass';
}

/** Whether an answer is the page's, for the one who asked for a board: a gateway speaks for a server that is not there. */
export const isAnswer = ({ status }: { status: number }) => status < 500;

/** As the server makes them: 96 bits. */
export function freshRoom(random: Uint8Array): string {
  return btoa(String.fromCharCode(...random))
    .replaceAll('+', '-')
    .replaceAll('/', '_');
}
export const ROOM_BYTES = 12;

/** The fonts among what a page says it has used. */
export function fontsOf(said: unknown, origin: string): string[] {
  if (!Array.isArray(said)) return [];
  return said.filter((url): url is string => typeof url === 'string' && url.startsWith(origin + FONTS));
}
