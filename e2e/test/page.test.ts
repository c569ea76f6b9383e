/** The page itself: what it weighs, what it asks for, who can use it. */
import { expect, test } from 'vitest';
import { draw, linked, PATIENCE, sameBoard } from '../src/board.js';
import { house, picture } from '../src/house.js';

const home = house();

/** Bytes on the wire, of everything up to a live board. */
const LIMIT = 900 * 1024;

test('the first load is small, compressed, and from one origin', async () => {
  const context = await home.browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  const wire = await context.newCDPSession(page);
  await wire.send('Network.enable');
  const loads = new Map<
    string,
    { url: string; encoding: string; bytes: number; policy: string; cache: string }
  >();
  wire.on('Network.responseReceived', ({ requestId, response }) => {
    const header = (name: string) =>
      Object.entries(response.headers).find(([key]) => key.toLowerCase() === name)?.[1] ?? '';
    loads.set(requestId, {
      url: response.url,
      encoding: header('content-encoding'),
      policy: header('content-security-policy'),
      cache: header('cache-control'),
      bytes: 0,
    });
  });
  wire.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    const load = loads.get(requestId);
    if (load) load.bytes = encodedDataLength;
  });
  const room = home.room();
  await page.goto(room);
  await linked(page, 0);
  await page.evaluate(() => document.fonts.ready);
  const all = [...loads.values()];
  const total = all.reduce((sum, { bytes }) => sum + bytes, 0);
  console.info(`first load over the wire: ${(total / 1024).toFixed(0)} KiB in ${all.length} responses`);
  expect(total).toBeLessThan(LIMIT);
  expect(total).toBeGreaterThan(100 * 1024);
  for (const { url, encoding } of all.filter(({ url: from }) => /assets\/index-.*\.(js|css)$/.test(from))) {
    expect(encoding, url).toMatch(/^(br|gzip)$/);
  }
  const fetched = all.filter(({ url }) => !url.startsWith('data:'));
  expect(new Set(fetched.map(({ url }) => new URL(url).origin))).toEqual(new Set([new URL(home.url).origin]));
  expect(all.find(({ url }) => url === room)?.policy).toContain("default-src 'none'");
  expect(all.filter(({ url }) => url.includes('token='))).toEqual([]);
  for (const { url, cache } of all.filter(({ url: from }) => from.includes('/static/assets/'))) {
    expect(cache, url).toContain('immutable');
  }
  await context.close();
});

test('the canvas stands before the connection is even asked for', async () => {
  const ann = await home.enter(home.room(), { name: 'Ann' });
  await linked(ann.page, 0);
  const order = ann.requests.map((url) => new URL(url).pathname);
  const live = order.findIndex((path) => /\/live-/.test(path));
  expect(live).toBeGreaterThan(0);
  expect(order.indexOf('/access')).toBeGreaterThan(live);
  const painted = await ann.page.evaluate(() => {
    const paint = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0;
    const access =
      performance.getEntriesByType('resource').find(({ name }) => name.endsWith('/access'))?.startTime ?? 0;
    return { paint, access };
  });
  expect(painted.paint).toBeGreaterThan(0);
  expect(painted.access).toBeGreaterThan(painted.paint);
});

test('a first visit, on a phone and in the dark', async () => {
  const url = home.room();
  const phone = await home.enter(url, {
    viewport: { width: 390, height: 844 },
    hasTouch: true,
    isMobile: true,
    deviceScaleFactor: 2,
    theme: 'dark',
  });
  await linked(phone.page, 0);
  await picture(phone.page, 'first-phone-dark');
  const desk = await home.enter(url, { name: 'Bob', theme: 'dark' });
  for (const { page } of [phone, desk]) await linked(page, 1);
  await desk.page.getByRole('button', { name: /people are here/ }).click();
  await draw(phone.page, [
    [100, 300],
    [300, 420],
  ]);
  await sameBoard(desk.page, phone.page);
  await picture(desk.page, 'people-dark');
  // The question for a name has let the stroke through, and still stands.
  expect(await phone.page.getByRole('form', { name: 'Your name' }).count()).toBe(1);
});

test('a page whose live part cannot be had says so, and still draws', async () => {
  const context = await home.browser.newContext();
  await context.route(/\/live-/, (route) => route.abort());
  const page = await context.newPage();
  await page.goto(home.room());
  await page.getByRole('status').filter({ hasText: 'Disconnected' }).waitFor({ timeout: PATIENCE });
  await draw(page, [
    [400, 300],
    [500, 350],
  ]);
  await page.getByTestId('button-undo').and(page.locator(':enabled')).waitFor({ timeout: PATIENCE });
  await context.close();
});

test('the root leads to a room of its own', async () => {
  const page = await home.browser.newPage();
  await page.goto(home.url);
  expect(new URL(page.url()).pathname).toMatch(/^\/[A-Za-z0-9_-]{14,64}$/);
  await page.close();
});

test('everything that can be pressed or filled in has a name', async () => {
  const ann = await home.enter(home.room());
  await linked(ann.page, 0);
  await ann.page.getByRole('button', { name: /Only you are here/ }).click();
  const nameless = await ann.page.evaluate(() =>
    [...document.querySelectorAll('.room button, .room input, .greeting button, .greeting input')]
      .filter((control) => {
        const labels = control instanceof HTMLInputElement ? [...(control.labels ?? [])] : [];
        const said = [
          control.getAttribute('aria-label'),
          control.textContent,
          ...labels.map((l) => l.textContent),
        ];
        return !said.some((text) => text?.trim());
      })
      .map((control) => control.outerHTML),
  );
  expect(nameless).toEqual([]);
  expect(await ann.page.getByRole('status').first().textContent()).toContain('Live');
  expect(await ann.page.locator('html').getAttribute('lang')).toBe('en');
  expect(await ann.page.getByRole('main').count()).toBe(1);
});

test('the people can be reached, read and closed with the keyboard alone', async () => {
  const ann = await home.enter(home.room(), { name: 'Ann' });
  await linked(ann.page, 0);
  const people = ann.page.getByRole('button', { name: /Only you are here/ });
  for (let tabs = 0; tabs < 80; tabs += 1) {
    if (await people.evaluate((button) => button === document.activeElement)) break;
    await ann.page.keyboard.press('Tab');
  }
  expect(await people.evaluate((button) => button === document.activeElement)).toBe(true);
  await ann.page.keyboard.press('Enter');
  const list = ann.page.getByRole('region', { name: 'People' });
  await list.waitFor({ timeout: PATIENCE });
  expect(await people.getAttribute('aria-expanded')).toBe('true');
  // Into the name, and a new one, without the editor taking the letters for tools.
  await ann.page.getByRole('textbox', { name: 'Your name' }).focus();
  await ann.page.keyboard.press('Control+a');
  await ann.page.keyboard.type('ron');
  await ann.page.keyboard.press('Enter');
  expect(await ann.page.getByRole('textbox', { name: 'Your name' }).inputValue()).toBe('ron');
  await ann.page.getByRole('textbox', { name: 'Your name' }).focus();
  await ann.page.keyboard.press('Escape');
  await list.waitFor({ state: 'detached', timeout: PATIENCE });
  expect(await people.evaluate((button) => button === document.activeElement)).toBe(true);
});

test('the link is copied, and leads here', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann', permissions: ['clipboard-read', 'clipboard-write'] });
  await ann.page.getByRole('button', { name: 'Copy link to this board' }).click();
  await ann.page.getByRole('button', { name: 'Copied' }).waitFor({ timeout: PATIENCE });
  expect(await ann.page.evaluate(() => navigator.clipboard.readText())).toBe(room);
});

test('light and dark: the system decides, unless somebody does', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann', theme: 'dark' });
  const theme = () => ann.page.evaluate(() => document.documentElement.dataset.theme);
  expect(await theme()).toBe('dark');
  await ann.page.emulateMedia({ colorScheme: 'light' });
  await expect.poll(theme).toBe('light');
  await ann.page.getByTestId('main-menu-trigger').click();
  await picture(ann.page, 'menu');
  // Nothing of the menu is hidden by our own style.
  for (const entry of ['Copy link', 'Export image...', 'Help', 'Canvas background']) {
    await ann.page.getByText(entry, { exact: true }).first().waitFor({ timeout: PATIENCE });
  }
  await ann.page.locator('.RadioGroup input[type=radio]').nth(1).check({ force: true });
  await expect.poll(theme).toBe('dark');
  await ann.page.reload();
  await expect.poll(theme).toBe('dark');
});

test('tools that would not be shared are not offered', async () => {
  const ann = await home.enter(home.room(), { name: 'Ann' });
  await ann.page.locator('.App-toolbar__extra-tools-trigger').click();
  await ann.page.getByText('Frame tool').waitFor({ timeout: PATIENCE });
  await picture(ann.page, 'tools');
  for (const tool of ['Web Embed', 'Mermaid to Excalidraw', 'Generate', 'Text to diagram']) {
    expect(await ann.page.getByText(tool, { exact: true }).locator('visible=true').count(), tool).toBe(0);
  }
  expect(await ann.page.getByTestId('toolbar-image').count()).toBe(1);
});

test('on a phone nothing is lost, and a finger draws', async () => {
  const room = home.room();
  const ann = await home.enter(room, {
    name: 'Ann',
    viewport: { width: 390, height: 844 },
    hasTouch: true,
    isMobile: true,
    deviceScaleFactor: 2,
  });
  const bob = await home.enter(room, { name: 'Bob' });
  for (const { page } of [ann, bob]) await linked(page, 1);
  await draw(bob.page, [
    [300, 300],
    [350, 400],
  ]);
  await picture(ann.page, 'phone');
  const [width, inside] = await ann.page.evaluate(() => [
    window.innerWidth,
    document.documentElement.scrollWidth,
  ]);
  expect(inside).toBe(width);
  for (const control of await ann.page.locator('.room button').all()) {
    const box = await control.boundingBox();
    expect(box && box.x >= 0 && box.x + box.width <= 390).toBe(true);
  }
  await ann.page.getByRole('button', { name: /people are here/ }).tap();
  await ann.page.getByRole('region', { name: 'People' }).waitFor({ timeout: PATIENCE });
  await picture(ann.page, 'phone-people');
});
