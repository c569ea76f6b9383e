/**
 * One server and one browser for a file of tests, and the visitors they let in. It serves the test files.
 * Invariant: after each test nobody is left in, and whoever complained has failed it.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { canvasReady } from './board.js';
import { launch, type Visit, type Visitor, visit } from './browser.js';
import { type Server, startServer } from './server.js';

const PICTURES = fileURLToPath(new URL('../screenshots', import.meta.url));

export interface House {
  readonly url: string;
  readonly server: Server;
  readonly browser: Browser;
  /** A room nobody has been in. */
  room(): string;
  /** Lets somebody in, and waits for their canvas. */
  enter(url: string, options?: Visit): Promise<Visitor>;
  /** Lets them out before the end of the test; their complaints still count. */
  leave(visitor: Visitor): Promise<void>;
}

export function house(): House {
  let server: Server | undefined;
  let browser: Browser | undefined;
  let rooms = 0;
  let inside: Visitor[] = [];
  const complaints: string[] = [];

  beforeAll(async () => {
    server = await startServer();
    browser = await launch();
  });

  afterEach(async () => {
    for (const visitor of inside) complaints.push(...visitor.complaints);
    await Promise.all(inside.map((visitor) => visitor.close()));
    inside = [];
    expect(complaints.splice(0)).toEqual([]);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  const there = <T>(thing: T | undefined): T => {
    if (thing === undefined) throw new Error('the house is not open yet');
    return thing;
  };

  return {
    get url() {
      return there(server).url;
    },
    get server() {
      return there(server);
    },
    get browser() {
      return there(browser);
    },
    room() {
      rooms += 1;
      return `${there(server).url}/room-${rooms}-${Math.random().toString(36).slice(2, 10)}`;
    },
    async enter(url, options) {
      const visitor = await visit(there(browser), url, options);
      inside.push(visitor);
      await canvasReady(visitor.page);
      return visitor;
    },
    async leave(visitor) {
      inside = inside.filter((other) => other !== visitor);
      complaints.push(...visitor.complaints);
      await visitor.close();
    },
  };
}

/** What has come is on the screen two frames later at most. */
export async function painted(page: Page): Promise<void> {
  await page.evaluate(() => document.fonts.ready);
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

/** Takes away the complaints that a test has itself brought about; anything else still counts. */
export function forgive({ complaints }: Visitor, pattern: RegExp): void {
  complaints.splice(0, complaints.length, ...complaints.filter((complaint) => !pattern.test(complaint)));
}

/** Kept for people to look at; nothing is compared. */
export async function picture(page: Page, name: string): Promise<void> {
  await painted(page);
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`) });
}
