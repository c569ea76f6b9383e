/** The parser of event streams, piece by piece. */
import { describe, expect, test } from 'vitest';
import { MAX_LINE, type SseBlock, SseOverflow, SseParser } from '../src/sse.js';

function parse(...pieces: string[]): SseBlock[] {
  const parser = new SseParser();
  return pieces.flatMap((piece) => parser.push(piece));
}

const block = (part: Partial<SseBlock>): SseBlock => ({
  event: 'message',
  data: undefined,
  id: undefined,
  retry: undefined,
  ...part,
});

describe('fields', () => {
  const cases: [string, string, SseBlock[]][] = [
    ['a plain event', 'data: hello\n\n', [block({ data: 'hello' })]],
    ['a name', 'event: ping\ndata: {}\n\n', [block({ event: 'ping', data: '{}' })]],
    ['several data lines', 'data: a\ndata: b\ndata\n\n', [block({ data: 'a\nb\n' })]],
    ['one space only is taken off', 'data:  a\n\n', [block({ data: ' a' })]],
    ['no space', 'data:a:b\n\n', [block({ data: 'a:b' })]],
    ['a comment', ': hi\n\ndata: a\n\n', [block({ data: 'a' })]],
    ['an id alone', 'id: 7-1\n\n', [block({ id: '7-1' })]],
    ['an empty id', 'id\ndata: a\n\n', [block({ id: '', data: 'a' })]],
    ['an id with NUL', 'id: a\0b\ndata: a\n\n', [block({ data: 'a' })]],
    ['retry', 'retry: 1000\n\n', [block({ retry: 1000 })]],
    ['a senseless retry', 'retry: 1e3\n\n', []],
    ['an unknown field', 'mood: fine\n\n', []],
    ['an unfinished block', 'data: a\n', []],
    ['CR alone', 'data: a\rdata: b\r\r', [block({ data: 'a\nb' })]],
    ['CRLF', 'data: a\r\ndata: b\r\n\r\n', [block({ data: 'a\nb' })]],
    ['mixed ends', 'data: a\n\r\ndata: b\r\n\n', [block({ data: 'a' }), block({ data: 'b' })]],
    ['a byte order mark', '\uFEFFdata: a\n\n', [block({ data: 'a' })]],
    ['a mark elsewhere is text', 'data: \uFEFFa\n\n', [block({ data: '\uFEFFa' })]],
  ];
  test.each(cases)('%s', (_name, text, expected) => {
    expect(parse(text)).toEqual(expected);
  });
});

test('the cuts do not matter', () => {
  const text =
    '\uFEFFretry: 1000\r\n\r\nid: 1-0\n\nevent: connected\r\ndata: {"a":1}\r\n\r\n: c\n\ndata: x\rdata: y\r\rid: 2\nevent: é😀\ndata: z\n\n';
  const whole = parse(text);
  expect(whole).toHaveLength(5);
  expect(parse(...text)).toEqual(whole);
  for (let a = 0; a <= text.length; a += 1) {
    for (let b = a; b <= text.length; b += 3) {
      expect(parse(text.slice(0, a), text.slice(a, b), text.slice(b))).toEqual(whole);
    }
  }
});

test('an endless line is refused instead of kept', () => {
  const parser = new SseParser();
  const piece = 'x'.repeat(MAX_LINE / 2);
  parser.push(piece);
  parser.push(piece);
  expect(() => parser.push('x')).toThrow(SseOverflow);
});

test('an endless block is refused instead of kept', () => {
  const parser = new SseParser();
  const line = `data: ${'x'.repeat(MAX_LINE - 100)}\n`;
  parser.push(line);
  parser.push(line);
  expect(() => parser.push(line)).toThrow(SseOverflow);
});
