/**
 * The end of a stroke, cut off and joined again: to the right beginning, or to none.
 *
 * Breakages tried on purpose, each of which makes these fail: no checksum; a beginning that is not compared before the cut;
 * finished strokes cut like others.
 */
import { expect, test } from 'vitest';
import { type Beginning, beginningOf, cutEnd, decodeGrow, joinEnd } from '../src/sync/grow.js';
import { stroke } from './drawing.js';

const points = (length: number, scale = 1) => Array.from({ length }, (_, n) => [n * scale, n * n * scale]);
const short = stroke({ points: points(30), version: 30 });
const long = stroke({ points: points(60), version: 60, width: 500 });

function begun(): Beginning {
  const beginning = beginningOf(short);
  if (!beginning) throw new Error('no beginning');
  return beginning;
}

function word() {
  const decoded = decodeGrow(JSON.parse(cutEnd(long, begun()) ?? '{}') as Record<string, unknown>);
  if (!decoded) throw new Error('no word');
  return decoded;
}

test('joined to its beginning it is the whole stroke', () => {
  const { from, sum, end } = word();
  expect(end.points).toHaveLength(30);
  expect(joinEnd(short, from, sum, end)).toEqual(long);
});

test('any copy that starts with the beginning will do, wherever it has been moved to', () => {
  const { from, sum, end } = word();
  const held = stroke({ points: points(45), version: 45, x: 999 });
  expect(joinEnd(held, from, sum, end)).toEqual(long);
});

test('another beginning will not', () => {
  const { from, sum, end } = word();
  for (const held of [
    stroke({ points: points(29) }),
    stroke({ points: points(30, 2) }),
    stroke({ points: [...points(29), [7, 7]] }),
    stroke({ type: 'rectangle' }),
  ]) {
    expect(joinEnd(held, from, sum, end)).toBeUndefined();
  }
});

test('a joined stroke passes the same gate as any other', () => {
  const { from, sum, end } = word();
  for (const bad of [
    { points: [['x', 0]] },
    { points: 5 },
    { pressures: null },
    { x: 1e300 },
    { index: '!' },
  ]) {
    expect(joinEnd(short, from, sum, { ...end, ...bad })).toBeUndefined();
  }
});

test('what is not just a longer stroke is sent whole', () => {
  const beginning = begun();
  for (const element of [
    stroke({ points: points(30 + 65) }),
    stroke({ points: points(60, 2) }),
    stroke({ points: points(20) }),
    stroke({ points: points(60), isDeleted: true }),
    stroke({ points: points(60), lastCommittedPoint: [1, 1] }),
  ]) {
    expect(cutEnd(element, beginning)).toBeUndefined();
  }
  expect(beginningOf(stroke({ points: points(5) }))).toBeUndefined();
});
