/** What boards say to each other, and what is not understood. */
import { expect, test } from 'vitest';
import { decodeCursor, decodeWord, isName } from '../src/sync/words.js';
import { rectangle } from './drawing.js';

test('words', () => {
  expect(decodeWord('{"t":"level","sent":3}')).toEqual({ t: 'level', sent: 3 });
  expect(decodeWord('{"t":"hello","name":"Ann"}')).toEqual({ t: 'hello', name: 'Ann' });
  const version = '00000000000001.fffffffe';
  expect(decodeWord(`{"t":"have","versions":{"a":"${version}"}}`)).toEqual({
    t: 'have',
    versions: new Map([['a', version]]),
  });
  const put = JSON.stringify({ t: 'put', elements: [rectangle(), { id: 'b' }] });
  expect(decodeWord(put)).toEqual({ t: 'put', elements: [rectangle()], refused: 1 });
});

test('what is none', () => {
  for (const text of [
    '',
    'null',
    '[]',
    '{"t":"toString"}',
    '{"t":"hello"}',
    '{"t":"hello","name":"\\u0007"}',
    '{"t":"have","versions":{"a":"1"}}',
    '{"t":"have","versions":[]}',
    '{"t":"put","elements":{}}',
    '{"t":"grow","from":0,"sum":"x","end":{"id":"a"}}',
    '{"t":"grow","from":5,"sum":"x","end":[]}',
    '{"t":"grow","from":5,"sum":"x","end":{}}',
    '{"t":"still"}',
    '{"t":"level"}',
    '{"t":"level","sent":-1}',
  ]) {
    expect(decodeWord(text)).toBeUndefined();
  }
});

test('cursors', () => {
  const at = { t: 'at', x: 1, y: 2, tool: 'laser', button: 'down', selected: ['a', 5] };
  expect(decodeCursor(JSON.stringify(at))).toEqual({ ...at, selected: ['a'] });
  expect(decodeCursor('{"t":"away"}')).toEqual({ t: 'away' });
  expect(decodeCursor('{"t":"at","x":1,"y":2}')).toMatchObject({
    tool: 'pointer',
    button: 'up',
    selected: [],
  });
  for (const text of [
    '{"t":"at","x":1}',
    '{"t":"at","x":1e99,"y":0}',
    '{"t":"at","x":"1","y":0}',
    ' '.repeat(20_000),
  ]) {
    expect(decodeCursor(text)).toBeUndefined();
  }
});

test('names', () => {
  for (const name of ['A', 'Jörg Ø', '🖋️'.repeat(10), 'x'.repeat(64)]) expect(isName(name)).toBe(true);
  for (const name of ['', '  ', 'a\nb', 'x'.repeat(65), 5, null]) expect(isName(name)).toBe(false);
});
