/** The gate: what the editor makes passes, what could harm it does not. */
import { describe, expect, test } from 'vitest';
import { decodeElement } from '../src/sync/element.js';
import { isIndexKey } from '../src/sync/index-key.js';
import { note, rectangle, stroke } from './drawing.js';

const line = (fields = {}) =>
  rectangle({
    type: 'line',
    points: [
      [0, 0],
      [5, 5],
    ],
    lastCommittedPoint: null,
    startBinding: null,
    endBinding: null,
    startArrowhead: null,
    endArrowhead: null,
    ...fields,
  });
const arrow = (fields = {}) => line({ type: 'arrow', elbowed: false, endArrowhead: 'arrow', ...fields });
const far = [
  [0, 0],
  [1e8, 5],
];
/** There and back, and a little to the side. */
const scribble = (count: number, size: number) =>
  Array.from({ length: count }, (_, at) => [(at / count) * size, (at % 2) * size] as const);
const filled = { backgroundColor: '#f00', fillStyle: 'hachure' };

describe('what passes', () => {
  test.each([
    ['a rectangle', rectangle()],
    ['ten minutes of scribbling', stroke({ points: scribble(36_000, 40) })],
    ['a stroke across a whole continent', stroke({ points: scribble(200, 1e8) })],
    ['a large pattern', rectangle({ ...filled, width: 20_000, height: 20_000, strokeWidth: 1 })],
    ['a huge plain area', rectangle({ backgroundColor: '#f00', width: 1e8, height: 1e8 })],
    ['a tombstone', rectangle({ isDeleted: true, width: 0, height: 0 })],
    ['a stroke of one point', stroke({ points: [[0, 0]] })],
    ['a pen stroke', stroke({ pressures: [0.5, 1], simulatePressure: false })],
    ['a line', line()],
    ['a bound arrow', arrow({ startBinding: { elementId: 'x', focus: 0.1, gap: 4, fixedPoint: null } })],
    [
      'an elbow arrow',
      arrow({ elbowed: true, fixedSegments: null, startIsSpecial: false, endIsSpecial: null }),
    ],
    ['text', note()],
    ['text in a box', note({ containerId: 'box', textAlign: 'center' })],
    ['a frame', rectangle({ type: 'frame', name: null })],
    ['a box with text', rectangle({ boundElements: [{ id: 't', type: 'text' }] })],
  ])('%s, unchanged', (_name, element) => {
    expect(decodeElement(element)).toEqual(element);
    expect(decodeElement(JSON.parse(JSON.stringify(element)))).toEqual(element);
  });

  test('unknown fields stay outside', () => {
    expect(decodeElement(rectangle({ onload: 'x', __proto__: { y: 1 } }))).toEqual(rectangle());
  });
});

describe('what does not', () => {
  const bad: [string, unknown][] = [
    ['nothing', undefined],
    ['null', null],
    ['a list', []],
    ['text', 'rectangle'],
    ['an unknown type', rectangle({ type: 'script' })],
    ['a type of the language', rectangle({ type: 'constructor' })],
    ['an embedded page', rectangle({ type: 'iframe' })],
    ['an embeddable', rectangle({ type: 'embeddable', link: 'https://example.org' })],
    ['an image', rectangle({ type: 'image' })],
    ['a stroke that fills a continent', stroke({ points: scribble(30_000, 1e8) })],
    ['a stroke that fills a hall', stroke({ points: scribble(30_000, 100_000) })],
    ['a version nobody can reach', rectangle({ version: Number.MAX_SAFE_INTEGER })],
    ['a pattern of endless lines', rectangle({ ...filled, width: 1e8, strokeWidth: 0 })],
    ['a pattern of a million lines', rectangle({ ...filled, height: 4e6, strokeWidth: 1 })],
    ['a pattern of fine lines', rectangle({ ...filled, width: 50_000, strokeWidth: 0.01 })],
    ['a pattern within far points', line({ ...filled, points: far })],
    ['no id', rectangle({ id: '' })],
    ['a long id', rectangle({ id: 'x'.repeat(101) })],
    ['version 0', rectangle({ version: 0 })],
    ['a huge version', rectangle({ version: 2 ** 60 })],
    ['a broken nonce', rectangle({ versionNonce: 0.5 })],
    ['an index of nonsense', rectangle({ index: '!!' })],
    ['no index', { ...rectangle(), index: null }],
    ['NaN', rectangle({ x: Number.NaN })],
    ['infinity', rectangle({ width: Number.POSITIVE_INFINITY })],
    ['far away', rectangle({ y: 1e300 })],
    ['a colour that is a list', rectangle({ strokeColor: [] })],
    ['a deletion that is text', { ...rectangle(), isDeleted: 'yes' }],
    ['groups that are numbers', rectangle({ groupIds: [1] })],
    ['bound to nonsense', rectangle({ boundElements: [null] })],
    ['a roundness of nonsense', rectangle({ roundness: { type: 9 } })],
    ['a stroke without points', stroke({ points: [] })],
    ['points that are none', stroke({ points: [[0]] })],
    ['points of text', stroke({ points: [['0', '0']] })],
    ['too many points', stroke({ points: Array.from({ length: 50_001 }, () => [0, 0]) })],
    ['a line of one point', line({ points: [[0, 0]] })],
    ['an unknown arrowhead', arrow({ endArrowhead: 'skull' })],
    ['a broken binding', arrow({ startBinding: { elementId: 5 } })],
    ['text that is a number', note({ text: 5 })],
    ['text without end', note({ text: 'x'.repeat(100_001) })],
    ['a font of size nothing', note({ fontSize: 0 })],
  ];
  test.each(bad)('%s', (_name, value) => {
    expect(decodeElement(value)).toBeUndefined();
  });
});

test('fractional indices', () => {
  for (const good of ['a0', 'a1V', 'Zz', 'b00', 'b0A1', 'a0V', 'Xzzz']) expect(isIndexKey(good)).toBe(true);
  const bad = [
    '',
    'a',
    '0',
    'a0 ',
    'a00',
    'a10',
    'b0',
    'é0',
    'a0-',
    `A${'0'.repeat(26)}`,
    `a0${'V'.repeat(300)}`,
    5,
    null,
  ];
  for (const key of bad) expect(isIndexKey(key)).toBe(false);
});
