/** Cutting and joining of messages. */
import { expect, test } from 'vitest';
import { Assembly, cut, type Frame, MAX_FRAME, MAX_MESSAGE, MAX_OPEN } from '../src/frames.js';
import { seeded, shuffle } from './random.js';

function join(frames: Frame[]): string[] {
  const assembly = new Assembly();
  return frames
    .map((frame) => assembly.take(frame))
    .flatMap((got) => (got.kind === 'message' ? [got.text] : []));
}

const sized = (frame: Frame) =>
  typeof frame === 'string' ? new TextEncoder().encode(frame).length : frame.byteLength;

test('every message comes out as it went in, in any order of its frames', () => {
  const random = seeded(11);
  for (const length of [0, 1, 100, 5461, 5462, MAX_FRAME, MAX_FRAME + 1, 50_000, 400_000]) {
    for (const letter of ['a', 'é', '𝔸']) {
      const message = letter.repeat(length);
      const frames = cut(message, 7) ?? [];
      for (const frame of frames) expect(sized(frame)).toBeLessThanOrEqual(MAX_FRAME);
      expect(join(shuffle(frames, random))).toEqual([message]);
    }
  }
});

test('messages that come interleaved stay apart', () => {
  const a = cut('a'.repeat(40_000), 1) ?? [];
  const b = cut('b'.repeat(40_000), 2) ?? [];
  expect(join(shuffle([...a, ...b], seeded(3))).sort()).toEqual(['a'.repeat(40_000), 'b'.repeat(40_000)]);
});

test('the largest message passes, and one byte more does not', () => {
  expect(join(cut('x'.repeat(MAX_MESSAGE), 1) ?? [])[0]).toHaveLength(MAX_MESSAGE);
  expect(cut('x'.repeat(MAX_MESSAGE + 1), 1)).toBeUndefined();
});

test('a piece that comes twice harms nothing', () => {
  const frames = cut('x'.repeat(40_000), 1) ?? [];
  const [first, ...rest] = frames;
  if (!first) throw new Error('no frames');
  expect(join([first, first, ...rest])).toEqual(['x'.repeat(40_000)]);
});

function part(number: number, index: number, count: number, bytes = 4): ArrayBuffer {
  const frame = new ArrayBuffer(8 + bytes);
  const view = new DataView(frame);
  view.setUint32(0, number);
  view.setUint16(4, index);
  view.setUint16(6, count);
  return frame;
}

test('frames that are none are refused', () => {
  const assembly = new Assembly();
  const bad: unknown[] = [
    undefined,
    7,
    {},
    new ArrayBuffer(0),
    new ArrayBuffer(8),
    new ArrayBuffer(MAX_FRAME + 1),
    'x'.repeat(MAX_FRAME + 1),
    part(1, 0, 0),
    part(1, 0, 1),
    part(1, 2, 2),
    part(1, 0, 65_535),
  ];
  for (const frame of bad) expect(assembly.take(frame)).toEqual({ kind: 'bad' });
});

test('broken UTF-8 is refused', () => {
  const assembly = new Assembly();
  const first = new Uint8Array(part(1, 0, 2));
  first[8] = 0xff;
  assembly.take(first.buffer);
  expect(assembly.take(part(1, 1, 2))).toEqual({ kind: 'bad' });
});

test('a peer that never finishes holds a bounded number of messages', () => {
  const assembly = new Assembly();
  const [first, ...rest] = cut('x'.repeat(40_000), 1) ?? [];
  assembly.take(first);
  for (let number = 2; number <= MAX_OPEN + 1; number += 1) assembly.take(part(number, 0, 3));
  // The first one was the oldest, and is forgotten: its other parts begin anew and do not complete it.
  expect(rest.map((frame) => assembly.take(frame).kind)).toEqual(rest.map(() => 'part'));
});
