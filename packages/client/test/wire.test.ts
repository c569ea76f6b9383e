/** Decoding the events of `/connect`: the fixtures shared with the server, and what a peer's mark must look like. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { WireError } from '../src/check.js';
import { decode } from '../src/wire.js';

const path = fileURLToPath(new URL('../../../crates/protocol/fixtures/signalling.json', import.meta.url));
const fixtures = JSON.parse(readFileSync(path, 'utf8')) as { event: string; data: Record<string, unknown> }[];

test.each(fixtures)('event %j', ({ event, data }) => {
  const decoded = decode(event, JSON.stringify(data));
  if (decoded instanceof WireError) throw decoded;
  if (decoded.event === 'relayed') {
    const { event: _, name, ...rest } = decoded;
    expect({ name, rest }).toEqual({ name: event, rest: data });
  } else {
    expect(decoded).toEqual({ event, ...data });
  }
});

test.each(['true', 1, false, null, {}])('a peer is no viewer by %j', (viewer) => {
  const peer = { id: 'p', username: 'ann' };
  const data = { peer: { ...peer, viewer }, roomId: 'lobby', offer: true };
  expect(decode('add-peer', JSON.stringify(data))).toEqual({
    event: 'add-peer',
    peer,
    roomId: 'lobby',
    offer: true,
  });
});
