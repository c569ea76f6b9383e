/** Decoding: every event of the contract, and everything that is none. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { decode, WireError } from '../src/wire.js';

const ann = { id: 'a1', username: 'ann' };

describe('the events of the contract', () => {
  const cases: [string, unknown, unknown][] = [
    [
      'connected',
      { user: ann, resumed: false, node: 'n1' },
      { event: 'connected', user: ann, resumed: false },
    ],
    ['ping', {}, { event: 'ping' }],
    ['gap', {}, { event: 'gap' }],
    ['replaced', {}, { event: 'replaced' }],
    ['draining', { more: 1 }, { event: 'draining' }],
    [
      'add-peer',
      { peer: ann, roomId: 'r', offer: true },
      { event: 'add-peer', peer: ann, roomId: 'r', offer: true },
    ],
    ['remove-peer', { peer: ann, roomId: 'r' }, { event: 'remove-peer', peer: ann, roomId: 'r' }],
    [
      'ice-candidate',
      { peer: ann, data: { candidate: '' } },
      { event: 'relayed', name: 'ice-candidate', peer: ann, data: { candidate: '' } },
    ],
    ['wave', { peer: ann, data: null }, { event: 'relayed', name: 'wave', peer: ann, data: null }],
  ];
  test.each(cases)('%s', (event, data, expected) => {
    expect(decode(event, JSON.stringify(data))).toEqual(expected);
  });
});

describe('what is none', () => {
  const cases: [string, string][] = [
    ['ping', ''],
    ['ping', 'null'],
    ['ping', '[]'],
    ['connected', '{}'],
    ['connected', '{"user":{"id":"a","username":"b"}}'],
    ['connected', '{"user":{"id":7,"username":"b"},"resumed":true}'],
    ['add-peer', '{"peer":{"id":"a","username":"b"},"roomId":"r"}'],
    ['add-peer', '{"peer":{"id":"","username":"b"},"roomId":"r","offer":true}'],
    ['remove-peer', '{"peer":"a","roomId":"r"}'],
    ['error', '{"peer":{"id":"a","username":"b"},"data":1}'],
    ['messages', '{"peer":{"id":"a","username":"b"},"data":1}'],
    ['__proto__', '{"peer":{"id":"a","username":"b"},"data":1}'],
    ['Upper', '{"peer":{"id":"a","username":"b"},"data":1}'],
    ['wave', '{"peer":{"id":"a","username":"b"}}'],
    ['wave', '{"data":1}'],
    ['wave', '{"__proto__":{"peer":1}'],
  ];
  test.each(cases)('%s %s', (event, text) => {
    expect(decode(event, text)).toBeInstanceOf(WireError);
  });
});

const fixtures = fileURLToPath(new URL('../../../crates/protocol/fixtures', import.meta.url));

/** The server's own examples of its stream, which its own tests read too. */
describe('the fixtures shared with the server', () => {
  const files = readdirSync(fixtures).filter((name) => name.endsWith('.json'));
  const examples = files.flatMap((file) => {
    const list = JSON.parse(readFileSync(join(fixtures, file), 'utf8')) as unknown;
    const rows = Array.isArray(list) ? (list as { event?: string; data?: unknown }[]) : [];
    return rows
      .filter((row) => typeof row.event === 'string' && row.data !== undefined)
      .map((row) => [file, String(row.event), row.data] as const);
  });
  test('are there', () => {
    expect(examples.length).toBeGreaterThan(0);
  });
  test.each(examples)('%s: %s', (_file, event, data) => {
    const decoded = decode(event, JSON.stringify(data));
    expect(decoded).not.toBeInstanceOf(WireError);
    // Nothing that was sent is lost on the way in.
    const { event: _name, name: _relayed, ...fields } = decoded as unknown as Record<string, unknown>;
    expect(fields).toEqual(data);
  });
});
