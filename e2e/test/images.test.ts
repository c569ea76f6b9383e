/** Images: sent once, under their own name, and there for whoever comes. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { boardOf, keeps, linked, PATIENCE, sameBoard, saved, showsRows } from '../src/board.js';
import type { Visitor } from '../src/browser.js';
import { drop } from '../src/drawing.js';
import { forgive, house, picture } from '../src/house.js';
import { png } from '../src/pixels.js';

const home = house();

const puts = ({ requests }: Visitor) => requests.filter((url) => url.includes('/files/'));

test('an image is uploaded once, and fetched by the others and by whoever comes late', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  const bob = await home.enter(room, { name: 'Bob' });
  for (const { page } of [ann, bob]) await linked(page, 1);
  const bytes = png(120, 90);
  await drop(ann, 'rows.png', 'image/png', bytes);
  await ann.page.waitForFunction(() => window.inkwire?.board().length === 1, undefined, {
    timeout: PATIENCE,
  });
  await saved(ann.page);
  await showsRows(ann.page);
  await showsRows(bob.page);
  await sameBoard(bob.page, ann.page);
  const [image] = await boardOf(bob.page);
  const { fileId } = image as unknown as { fileId: string };
  // The name is that of the bytes: asked of the server by hand, they are what the name says.
  const token = await bob.page.evaluate(async () => {
    const answer = await fetch('/access', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"username":"x"}',
    });
    return ((await answer.json()) as { token: string }).token;
  });
  const answer = await fetch(`${home.url}/rooms${new URL(room).pathname}/files/${fileId}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(answer.status).toBe(200);
  const there = Buffer.from(await answer.arrayBuffer());
  expect(createHash('sha256').update(there).digest('hex')).toBe(fileId);
  expect(puts(ann)).toHaveLength(1);
  // The same picture again: it is there already, and is not sent again.
  await drop(ann, 'again.png', 'image/png', bytes);
  await ann.page.waitForFunction(() => window.inkwire?.board().length === 2, undefined, {
    timeout: PATIENCE,
  });
  await saved(ann.page);
  expect(puts(ann)).toHaveLength(1);
  // Bob may have asked for it before it was there; he asks again.
  forgive(bob, /status of 404/);
  for (const visitor of [ann, bob]) await home.leave(visitor);
  const cay = await home.enter(room, { name: 'Cay' });
  await showsRows(cay.page);
  await picture(cay.page, 'image');
});

test('an image drawn offline is kept over a reload, and sent when the network is back', async () => {
  const room = home.room();
  const ann = await home.enter(room, { name: 'Ann' });
  await saved(ann.page);
  const api = /\/(access|connect|channels|rooms|relay)/;
  await ann.context.route(api, (route) => route.abort());
  await ann.page.reload();
  await drop(ann, 'rows.png', 'image/png', png(60, 64));
  await showsRows(ann.page);
  // The element and its image.
  await keeps(ann.page, 2);
  await ann.page.reload();
  await showsRows(ann.page);
  await keeps(ann.page, 2);
  await ann.context.unroute(api);
  await saved(ann.page);
  forgive(ann, /ERR_/);
  await home.leave(ann);
  const bob = await home.enter(room, { name: 'Bob' });
  await showsRows(bob.page);
});
