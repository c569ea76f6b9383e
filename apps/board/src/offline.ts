/**
 * The page's side of working without the network. It serves the page, once it is live.
 * Invariant: where there is no service worker, nothing is missing but the page itself: its parts are fetched beforehand.
 */

import { TAB, WORKER } from '../worker/rules.js';
import { idle } from './idle.js';

const LOCK = TAB + new URL(import.meta.url).pathname;

/** Holds this page's edition, for as long as it may load parts of it. A page that is put aside must hold no lock. */
export function holdEdition(): void {
  const hold = () => {
    const gone = new Promise<void>((done) =>
      window.addEventListener('pagehide', () => done(), { once: true }),
    );
    void navigator.locks?.request(LOCK, { mode: 'shared' }, () => gone).catch(() => undefined);
  };
  hold();
  window.addEventListener('pageshow', ({ persisted }) => {
    if (persisted) hold();
  });
}

let isKept = false;

/** To be called whenever the page is live: what it needs offline is fetched when there is nothing better to do. */
export function keepPage(): void {
  if (isKept) return;
  isKept = true;
  void idle()
    .then(keepByWorker)
    .catch(keepByHand)
    .catch(() => {
      isKept = false;
    });
}

/** Rejects where there is none to be had: plain HTTP, private windows. */
async function keepByWorker(): Promise<void> {
  const { serviceWorker } = navigator;
  if (!serviceWorker) throw new Error('no service workers here');
  const registration = await serviceWorker.register(WORKER, { scope: '/', updateViaCache: 'none' });
  const worker = await workerOf(registration);
  const used = performance.getEntriesByType('resource').map(({ name }) => name);
  worker.postMessage({ used });
}

/** The first worker has to be installed; that fails where a part cannot be had, as in the midst of an upgrade. */
function workerOf({ active, waiting, installing }: ServiceWorkerRegistration): Promise<ServiceWorker> {
  const worker = active ?? waiting ?? installing;
  return new Promise((done, failed) => {
    const look = () => {
      if (worker?.state === 'activating' || worker?.state === 'activated') done(worker);
      else if (!worker || worker.state === 'redundant') failed(new Error('the worker was not installed'));
    };
    worker?.addEventListener('statechange', look);
    look();
  });
}

/** Into the browser's own cache. */
async function keepByHand(): Promise<void> {
  const list = await fetch(`${import.meta.env.BASE_URL}parts.json`);
  const parts = (await list.json()) as string[];
  for (const part of parts) if (part.endsWith('.js')) await prefetch(part);
}

/** Asked for just as an import asks for it, or the browser would take it for something else and ask again. */
function prefetch(script: string): Promise<void> {
  const link = document.createElement('link');
  Object.assign(link, { rel: 'prefetch', as: 'script', crossOrigin: '', href: script });
  return new Promise<void>((done, failed) => {
    link.onload = () => done();
    link.onerror = () => failed(new Error(`${script} could not be fetched`));
    document.head.append(link);
  }).finally(() => link.remove());
}
