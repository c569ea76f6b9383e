/**
 * The page's service worker: with it, a board opens without the network. It serves the page, whose shell and parts it keeps.
 * Invariant: what it answers is of one edition, whole: a shell is kept only after all that it may load, and an edition goes
 * only when no tab of it is left. What is not the page's own file goes to the network as if it was not there.
 *
 * The network is asked first for the page, so whoever is online always has the server's own edition. The worker takes over
 * as soon as it has its edition whole: tabs of earlier ones find their parts, by names that never change their content, in
 * the editions that are still kept.
 */
import {
  type Edition,
  fontsOf,
  freshRoom,
  isAnswer,
  ROOM_BYTES,
  ROUTES,
  SHELL,
  TAB,
  treatmentOf,
  WORKER,
} from './rules.js';

declare const self: ServiceWorkerGlobalScope;
/** Put here by the build. */
declare const EDITION: Edition;

/** How the caches of editions are called: each also by the script that its tabs have begun with. */
const EDITIONS = 'inkwire edition ';
const OWN = `${EDITIONS}${EDITION.name} ${EDITION.entry}`;
/** Fonts are kept when they are used: all of them are many times the rest. */
const FONTS = 'inkwire fonts';
/** Milliseconds a network is given to answer for the page. One that takes longer is as good as none to whoever waits. */
const PATIENCE = 2_000;

self.addEventListener('install', (event) => {
  bypass(event);
  event.waitUntil(whileHeld(keepEdition).then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  event.waitUntil(self.clients.claim().then(tidy));
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  switch (treatmentOf(request, self.location.origin)) {
    case 'start':
      event.respondWith(page(event, async () => Response.redirect(`/${fresh()}`)));
      break;
    case 'board':
      event.respondWith(page(event, shell));
      break;
    case 'part':
      event.respondWith(part(request));
      break;
    case 'font':
      event.respondWith(font(event));
      break;
    case 'pass':
      break;
  }
});

/** A page is live: the fonts it has used, and a good moment to look round. */
self.addEventListener('message', (event) => {
  const { used } = (event.data ?? {}) as { used?: unknown };
  const fonts = fontsOf(used, self.location.origin);
  event.waitUntil(Promise.allSettled([tidy(), ...fonts.map(keepNewFont)]));
});

/** Where the browser can, the server's own routes do not even wake the worker. */
function bypass(event: ExtendableEvent): void {
  const install = event as ExtendableEvent & { addRoutes?: (rules: object[]) => Promise<void> };
  const paths = ROUTES.filter((route) => route !== 'static').flatMap((route) => [`/${route}`, `/${route}/*`]);
  const rules = paths.map((pathname) => ({ condition: { urlPattern: { pathname } }, source: 'network' }));
  void install.addRoutes?.(rules).catch(() => undefined);
}

/** Earlier workers, which are still there, must not take what is not whole yet for something nobody needs. */
function whileHeld(act: () => Promise<void>): Promise<void> {
  return navigator.locks.request(TAB + EDITION.entry, { mode: 'shared' }, act);
}

/**
 * One file after another, so as not to stand in the way of anything. What an earlier attempt has brought is not fetched
 * again, and the shell comes last: without it, an edition is never shown.
 */
async function keepEdition(): Promise<void> {
  const cache = await caches.open(OWN);
  for (const [path, integrity] of EDITION.parts) {
    if (await cache.match(path)) continue;
    // Rejects what is not, byte for byte, what was built.
    await cache.put(path, await fetch(path, { integrity, priority: 'low' }));
  }
  await cache.put(SHELL, await fetchShell());
}

/** Of several nodes, the one that answers may have another edition; and between us there may stand anything. */
async function fetchShell(): Promise<Response> {
  const answer = await fetch(SHELL, { cache: 'no-cache' });
  const isOurs = answer.ok && (await answer.clone().text()).includes(EDITION.entry);
  if (!isOurs) throw new Error('the shell is of another edition');
  return answer;
}

/** What is kept; a browser that cannot look has nothing. */
const found = (url: string, options: MultiCacheQueryOptions = {}) =>
  caches.match(url, { ignoreVary: true, ...options }).catch(() => undefined);

const shell = () => found(SHELL, { cacheName: OWN });

/** The network's word, if it comes in time; else what is kept, if it is; else the network's, whatever it is. */
async function page(event: FetchEvent, kept: () => Promise<Response | undefined>): Promise<Response> {
  const asked = fetch(event.request);
  event.waitUntil(asked.then(leaveIfUnwanted).catch(() => undefined));
  const late = new Promise<undefined>((done) => setTimeout(done, PATIENCE));
  const answer = await Promise.race([asked.catch(() => undefined), late]);
  if (answer && isAnswer(answer)) return answer;
  return ((await shell()) && (await kept())) ?? asked;
}

async function part(request: Request): Promise<Response> {
  return (await found(request.url)) ?? fetch(request);
}

/** What is kept, at once; and asked for again behind it, for a font may change under its name. */
async function font(event: FetchEvent): Promise<Response> {
  const kept = await found(event.request.url);
  const asked = fetch(event.request);
  const keeping = asked.then((answer) => keepFont(event.request.url, answer.clone(), kept));
  event.waitUntil(keeping.catch(() => undefined));
  return kept ?? asked;
}

async function keepNewFont(url: string): Promise<void> {
  if (!(await found(url))) await keepFont(url, await fetch(url));
}

async function keepFont(url: string, answer: Response, kept?: Response): Promise<void> {
  const cache = await caches.open(FONTS);
  const tag = answer.headers.get('etag');
  const isKept = tag !== null && kept?.headers.get('etag') === tag;
  if (answer.ok && !isKept) await cache.put(url, answer);
  if (answer.status === 404) await cache.delete(url);
}

const fresh = () => freshRoom(crypto.getRandomValues(new Uint8Array(ROOM_BYTES)));

/** Lets editions go of which no tab is left. */
async function tidy(): Promise<void> {
  const entries = await tabs();
  for (const name of await caches.keys()) {
    if (!name.startsWith(EDITIONS) || name === OWN) continue;
    if (!entries.some((entry) => name.endsWith(` ${entry}`))) await caches.delete(name);
  }
}

/** The scripts with which the tabs that are open have begun. */
async function tabs(): Promise<string[]> {
  const { held = [] } = await navigator.locks.query();
  return held.flatMap(({ name }) => (name?.startsWith(TAB) ? [name.slice(TAB.length)] : []));
}

let isAsked = false;

/**
 * A server that has no worker any more, or is another altogether, wants none. It is asked once each time we are woken; and
 * tabs that may still need what is kept are waited for.
 */
async function leaveIfUnwanted(): Promise<void> {
  if (isAsked) return;
  isAsked = true;
  const { status } = await fetch(WORKER, { method: 'HEAD', cache: 'no-store' });
  if (status !== 404 && status !== 410) return;
  isAsked = false;
  if ((await tabs()).length > 0) return;
  await self.registration.unregister();
  for (const name of await caches.keys()) if (name.startsWith('inkwire ')) await caches.delete(name);
}
