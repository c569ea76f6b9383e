/**
 * The gate for elements: whatever wants into a replica passes here, own ones included. It serves the replica.
 * Invariant: an element that has passed holds the fields of its type, each of the right kind and size, and no others, so
 * that neither the editor nor its canvas can stumble over it.
 */
import { isIndexKey } from './index-key.js';
import { isVersioned } from './version.js';

/** An element as replicas hold it: checked, and never shared with the editor, which changes its own in place. */
export interface BoardElement {
  readonly id: string;
  readonly type: string;
  readonly version: number;
  readonly versionNonce: number;
  readonly index: string;
  readonly isDeleted: boolean;
  readonly [field: string]: unknown;
}

type Check = (value: unknown) => boolean;

/** Canvas units. Far beyond any drawing, and small enough that sums of them stay exact. */
const FARTHEST = 1e8;
/** A stroke of ten minutes without lifting the pen has about 36,000. */
const MOST_POINTS = 50_000;
/** Lines that fill a shape: the editor draws each of them, and stands still for two seconds at 25,000. */
const MOST_FILLING = 20_000;
/** The longest side of the picture the editor makes of a stroke, and how many pixels it has. */
const LONGEST_SIDE = 32_767;
const MOST_PIXELS = 4_096 ** 2;
/**
 * Rows of pixels that a stroke crosses, each as often as it does: filling it takes as long. A hand that scribbles for ten minutes
 * without lifting the pen makes some 300,000; at two million the page stands still for a second or two.
 */
const MOST_ROWS = 2_000_000;
const LONGEST_TEXT = 100_000;
const MOST_BOUND = 1_000;

const number =
  (least: number, most: number): Check =>
  (value) =>
    typeof value === 'number' && value >= least && value <= most;
const whole =
  (least: number, most: number): Check =>
  (value) =>
    Number.isInteger(value) && number(least, most)(value);
const text =
  (longest: number): Check =>
  (value) =>
    typeof value === 'string' && value.length <= longest;
const oneOf =
  (...allowed: unknown[]): Check =>
  (value) =>
    allowed.includes(value);
const flag: Check = (value) => typeof value === 'boolean';
const nothing: Check = (value) => value === null;
const either =
  (...checks: Check[]): Check =>
  (value) =>
    checks.some((check) => check(value));
const list =
  (most: number, check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.length <= most && value.every(check);
const shape =
  (fields: Record<string, Check>): Check =>
  (value) =>
    isRecord(value) && Object.entries(fields).every(([name, check]) => check(value[name]));
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

const coordinate = number(-FARTHEST, FARTHEST);
const size = number(-FARTHEST, FARTHEST);
const id: Check = (value) => typeof value === 'string' && value.length >= 1 && value.length <= 100;
const colour = text(64);
const pair: Check = (value) => Array.isArray(value) && value.length === 2 && value.every(coordinate);
const points = list(MOST_POINTS, pair);
const arrowhead = oneOf(
  null,
  'arrow',
  'bar',
  'dot',
  'circle',
  'circle_outline',
  'triangle',
  'triangle_outline',
  'diamond',
  'diamond_outline',
  'crowfoot_one',
  'crowfoot_many',
  'crowfoot_one_or_many',
);
const binding = either(
  nothing,
  shape({
    elementId: id,
    focus: number(-1e6, 1e6),
    gap: number(-FARTHEST, FARTHEST),
    fixedPoint: optional(either(nothing, pair)),
  }),
);

const COMMON: Record<string, Check> = {
  x: coordinate,
  y: coordinate,
  width: size,
  height: size,
  angle: number(-1000, 1000),
  strokeColor: colour,
  backgroundColor: colour,
  fillStyle: oneOf('hachure', 'cross-hatch', 'solid', 'zigzag'),
  strokeWidth: number(0, 1000),
  strokeStyle: oneOf('solid', 'dashed', 'dotted'),
  roughness: number(0, 10),
  opacity: number(0, 100),
  roundness: either(nothing, shape({ type: whole(1, 3), value: optional(size) })),
  seed: whole(0, 2 ** 32),
  groupIds: list(100, id),
  frameId: either(nothing, id),
  boundElements: either(nothing, list(MOST_BOUND, shape({ id, type: oneOf('arrow', 'text') }))),
  updated: number(0, Number.MAX_SAFE_INTEGER),
  link: either(nothing, text(2048)),
  locked: flag,
};

const LINEAR: Record<string, Check> = {
  points: (value) => points(value) && (value as unknown[]).length >= 2,
  lastCommittedPoint: either(nothing, pair),
  startBinding: binding,
  endBinding: binding,
  startArrowhead: arrowhead,
  endArrowhead: arrowhead,
};

const CROP = { x: coordinate, y: coordinate, width: size, height: size };
const segment = shape({ start: pair, end: pair, index: whole(0, MOST_POINTS) });

/** The types a board holds, and what each has besides the common fields. */
const TYPES: Record<string, Record<string, Check>> = {
  rectangle: {},
  diamond: {},
  ellipse: {},
  frame: { name: either(nothing, text(1000)) },
  line: { ...LINEAR, polygon: optional(flag) },
  arrow: {
    ...LINEAR,
    elbowed: flag,
    fixedSegments: optional(either(nothing, list(1000, segment))),
    startIsSpecial: optional(either(nothing, flag)),
    endIsSpecial: optional(either(nothing, flag)),
  },
  freedraw: {
    points: (value) => points(value) && (value as unknown[]).length >= 1,
    pressures: list(MOST_POINTS, number(0, 1)),
    simulatePressure: flag,
    lastCommittedPoint: either(nothing, pair),
  },
  image: {
    // The SHA-256 of its bytes: whoever names it otherwise names something nobody can fetch.
    fileId: (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value),
    status: oneOf('pending', 'saved', 'error'),
    scale: pair,
    crop: optional(either(nothing, shape({ ...CROP, naturalWidth: size, naturalHeight: size }))),
  },
  text: {
    text: text(LONGEST_TEXT),
    originalText: text(LONGEST_TEXT),
    fontSize: number(0.1, 10_000),
    fontFamily: whole(1, 20),
    textAlign: oneOf('left', 'center', 'right'),
    verticalAlign: oneOf('top', 'middle', 'bottom'),
    containerId: either(nothing, id),
    autoResize: flag,
    lineHeight: number(0.1, 10),
  },
};

/** All fields of each type, laid out once: the gate stands on the way of every stroke, many times a second. */
const FIELDS = new Map(
  Object.entries(TYPES).map(([type, own]) => [type, [...Object.entries(COMMON), ...Object.entries(own)]]),
);

/** A checked copy of `value`, or `undefined` where it is no element a board may hold. */
export function decodeElement(value: unknown): BoardElement | undefined {
  if (!isRecord(value)) return undefined;
  const fields = FIELDS.get(String(value.type));
  if (!fields || !id(value.id) || !isVersioned(value.version, value.versionNonce)) return undefined;
  if (!isIndexKey(value.index) || typeof value.isDeleted !== 'boolean') return undefined;
  const element: Record<string, unknown> = {
    id: value.id,
    type: value.type,
    version: value.version,
    versionNonce: value.versionNonce,
    index: value.index,
    isDeleted: value.isDeleted,
  };
  for (const [name, check] of fields) {
    const field = value[name];
    if (!check(field)) return undefined;
    if (field !== undefined) element[name] = field;
  }
  return isDrawable(element) ? (element as unknown as BoardElement) : undefined;
}

/** What is fine field by field, and yet more than a canvas can draw in a moment: whoever opens the board would wait for ever. */
function isDrawable(element: Record<string, unknown>): boolean {
  const { type, fillStyle, backgroundColor, strokeWidth } = element;
  if (type === 'freedraw' && rowsOf(element.points as Point[]) > MOST_ROWS) return false;
  const isPatterned = fillStyle !== 'solid' && backgroundColor !== 'transparent';
  if (!isPatterned) return true;
  const { width, height } = extent(element);
  // The editor leaves four widths of the stroke between two lines.
  return width + height <= MOST_FILLING * 4 * Number(strokeWidth);
}

type Point = readonly [number, number];

/** By the points where there are any: what else is said of them may be anything. */
function extent({ width, height, points: own }: Record<string, unknown>): { width: number; height: number } {
  let [most, highest] = [Math.abs(Number(width)), Math.abs(Number(height))];
  for (const [x, y] of Array.isArray(own) ? (own as Point[]) : []) {
    most = Math.max(most, Math.abs(x));
    highest = Math.max(highest, Math.abs(y));
  }
  return { width: most, height: highest };
}

/** How many rows of its picture a stroke crosses. */
function rowsOf(own: readonly Point[]): number {
  let [left, right, top, bottom, way] = [0, 0, 0, 0, 0];
  let last = own[0]?.[1] ?? 0;
  for (const [x, y] of own) {
    left = Math.min(left, x);
    right = Math.max(right, x);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y);
    way += Math.abs(y - last);
    last = y;
  }
  const [width, height] = [Math.max(1, right - left), Math.max(1, bottom - top)];
  const scale = Math.min(
    1,
    LONGEST_SIDE / width,
    LONGEST_SIDE / height,
    Math.sqrt(MOST_PIXELS / (width * height)),
  );
  return way * scale;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
