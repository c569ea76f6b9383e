/**
 * Real pages in Debian's Chromium. It serves every browser test.
 * Invariant: whatever a page complains of, or asks of another origin, is kept and fails the test that opened it.
 */
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core';

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Without it the peers name themselves by multicast DNS, which a test machine need not have.
  '--disable-features=WebRtcHideLocalIpsWithMdns',
];

export function launch(more: string[] = []): Promise<Browser> {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  return chromium.launch({ executablePath, args: [...ARGUMENTS, ...more] });
}

export interface Visitor {
  page: Page;
  context: BrowserContext;
  /** Errors, warnings of the policy, and requests that left the origin. */
  complaints: string[];
  requests: string[];
  /** What the page has sent over WebSockets. */
  frames: string[];
  close(): Promise<void>;
}

export interface Visit extends BrowserContextOptions {
  name?: string;
  theme?: 'light' | 'dark';
  /** As in a browser, or a network, that does not let pages speak to each other. */
  withoutWebRtc?: boolean;
}

/** A person of their own: an own browser context, with nothing remembered but what `visit` says. */
export async function visit(browser: Browser, url: string, options: Visit = {}): Promise<Visitor> {
  const { name, theme, withoutWebRtc, ...contextOptions } = options;
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    colorScheme: theme ?? 'light',
    ...contextOptions,
  });
  if (name) await context.addInitScript((given) => localStorage.setItem('inkwire.name', given), name);
  if (withoutWebRtc) {
    await context.addInitScript(() => {
      Reflect.deleteProperty(window, 'RTCPeerConnection');
    });
  }
  const page = await context.newPage();
  const complaints: string[] = [];
  const requests: string[] = [];
  const frames: string[] = [];
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on('request', (request) => {
    requests.push(request.url());
    const { origin, protocol } = new URL(request.url());
    if (protocol !== 'data:' && protocol !== 'blob:' && origin !== new URL(url).origin) {
      complaints.push(`left the origin: ${request.url()}`);
    }
  });
  page.on('websocket', (socket) =>
    socket.on('framesent', ({ payload }) => {
      frames.push(String(payload));
    }),
  );
  await page.goto(url);
  return { page, context, complaints, requests, frames, close: () => context.close() };
}
