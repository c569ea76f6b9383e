/** The npm package as it is published, in Node, against the real server: signalling needs no browser. */
import { type ConnectionState, Signalling, type SignallingHappening } from 'inkwire';
import { afterEach, expect, test } from 'vitest';
import { PATIENCE } from '../src/board.js';
import { house } from '../src/house.js';
import { startLine } from '../src/proxy.js';

const home = house();
const open: Signalling[] = [];
afterEach(() => {
  for (const signalling of open.splice(0)) signalling.close();
});

function client(base: string, username: string) {
  const happenings: SignallingHappening[] = [];
  const signalling = new Signalling({ base, username });
  signalling.listen((happening) => happenings.push(happening));
  open.push(signalling);
  signalling.start();
  const told = <T extends SignallingHappening['type']>(type: T) =>
    happenings.filter(
      (happening): happening is Extract<SignallingHappening, { type: T }> => happening.type === type,
    );
  return { signalling, happenings, told };
}

test('two meet, one offers, and what they relay arrives in order', async () => {
  const room = new URL(home.room()).pathname.slice(1);
  const ann = client(home.url, 'Ann');
  ann.signalling.join(room);
  await expect.poll(() => ann.signalling.state.kind, { timeout: PATIENCE }).toBe('live');
  const bob = client(home.url, 'Bob');
  bob.signalling.join(room);
  await expect
    .poll(() => [ann.told('add-peer').length, bob.told('add-peer').length], { timeout: PATIENCE })
    .toEqual([1, 1]);
  expect(ann.told('add-peer')[0]).toMatchObject({ peer: { username: 'Bob' }, roomId: room, offer: false });
  expect(bob.told('add-peer')[0]).toMatchObject({ peer: { username: 'Ann' }, roomId: room, offer: true });
  const bobId = ann.told('add-peer')[0]?.peer.id ?? '';
  for (let n = 0; n < 50; n += 1) expect(await ann.signalling.relay(bobId, 'wave', { n })).toBe('delivered');
  await expect.poll(() => bob.told('relayed').length, { timeout: PATIENCE }).toBe(50);
  expect(bob.told('relayed').map(({ data }) => data)).toEqual(Array.from({ length: 50 }, (_, n) => ({ n })));
  expect(await ann.signalling.relay('nobody', 'wave', 1)).toBe('gone');
  expect(await ann.signalling.ice()).toMatchObject({ iceServers: expect.any(Array) });
  bob.signalling.close();
  await expect.poll(() => ann.told('remove-peer').length, { timeout: PATIENCE }).toBe(1);
  expect([ann, bob].flatMap(({ told }) => told('fault'))).toEqual([]);
});

test('relays sent while the line is cut again and again arrive once each', async () => {
  const line = await startLine(home.url);
  try {
    const room = new URL(home.room()).pathname.slice(1);
    const ann = client(home.url, 'Ann');
    const bob = client(line.url, 'Bob');
    for (const { signalling } of [ann, bob]) signalling.join(room);
    await expect.poll(() => ann.told('add-peer').length, { timeout: PATIENCE }).toBe(1);
    const bobId = ann.told('add-peer')[0]?.peer.id ?? '';
    const states: ConnectionState[] = [];
    bob.signalling.listen((happening) => {
      if (happening.type === 'state') states.push(happening.state);
    });
    for (let n = 0; n < 60; n += 1) {
      if (n % 20 === 10) line.cut();
      expect(await ann.signalling.relay(bobId, 'wave', n)).toBe('delivered');
    }
    await expect.poll(() => bob.told('relayed').length, { timeout: PATIENCE }).toBe(60);
    expect(bob.told('relayed').map(({ data }) => data)).toEqual(Array.from({ length: 60 }, (_, n) => n));
    expect(states.some((state) => state.kind === 'live' && state.resumed)).toBe(true);
    expect(bob.told('start')).toHaveLength(1);
    expect(ann.told('remove-peer')).toEqual([]);
  } finally {
    await line.close();
  }
});
