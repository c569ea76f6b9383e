/** Decoding: the fixtures shared with the server, and everything that is no word of it. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type Command, encodeCommand } from '../src/channels/command.js';
import { decodeHeard } from '../src/channels/heard.js';
import { isAfter } from '../src/channels/offset.js';
import { WireError } from '../src/check.js';

type Row = Record<string, unknown>;
const path = fileURLToPath(new URL('../../../crates/protocol/fixtures/channels.json', import.meta.url));
const fixtures = JSON.parse(readFileSync(path, 'utf8')) as {
  [part in 'commands' | 'replies' | 'events']: Row[];
};

describe('the fixtures shared with the server', () => {
  test.each(fixtures.replies)('reply %j', (row) => {
    const heard = decodeHeard(JSON.stringify(row));
    if (heard instanceof WireError || heard.event !== 'reply') throw new Error(String(heard));
    const { id, outcome } = heard;
    const again = outcome.ok ? { id, ok: true, ...outcome.reply } : { id, ok: false, error: outcome.error };
    expect(again).toEqual(row);
  });

  test.each(fixtures.events)('event %j', (row) => {
    const heard = decodeHeard(JSON.stringify(row));
    if (heard instanceof WireError) throw heard;
    expect(heard.event === 'other' ? { event: heard.name, ...heard.data } : heard).toEqual(row);
  });

  const ours = new Set(['auth', 'subscribe', 'unsubscribe', 'publish', 'ping']);
  test.each(fixtures.commands.filter(({ op, id }) => ours.has(String(op)) && id !== undefined))(
    'command %j',
    ({ id, ...command }) => {
      expect(JSON.parse(encodeCommand(command as unknown as Command, Number(id)))).toEqual({
        id,
        ...command,
      });
    },
  );
});

test.each([
  '',
  'null',
  '[]',
  '{}',
  '{"ok":true}',
  '{"id":"1","ok":true}',
  '{"id":1,"ok":false}',
  '{"id":1,"ok":false,"error":{"code":7,"message":""}}',
  '{"id":1,"ok":true,"offset":"1"}',
  '{"id":1,"ok":true,"messages":[{}]}',
  '{"event":7}',
  '{"event":"connected","user":{"id":"a"}}',
  '{"event":"messages","channel":"a"}',
  '{"event":"messages","channel":"a","messages":[{"offset":"1-0","a":1}]}',
  '{"event":"messages","channel":"a","messages":[{"offset":1}]}',
  '{"event":"gap","channel":"a"}',
  '{"event":"error"}',
])('no word of the server: %s', (text) => {
  expect(decodeHeard(text)).toBeInstanceOf(WireError);
});

test('a field named __proto__ is a field', () => {
  const heard = decodeHeard(
    '{"event":"messages","channel":"a","messages":[{"offset":"1-0","__proto__":"x"}]}',
  );
  if (heard instanceof WireError || heard.event !== 'messages') throw new Error(String(heard));
  expect(Object.keys(heard.messages[0] ?? {})).toContain('__proto__');
});

test('offsets are compared as numbers', () => {
  const ordered = [
    '0',
    '0-1',
    '9-0',
    '10-0',
    '10-9',
    '10-10',
    '18446744073709551614-0',
    '18446744073709551615-1',
  ];
  for (const [at, offset] of ordered.entries()) {
    expect(isAfter(offset, offset)).toBe(false);
    for (const later of ordered.slice(at + 1)) {
      expect(isAfter(later, offset)).toBe(true);
      expect(isAfter(offset, later)).toBe(false);
    }
  }
});
