/** Elements as messages of the channel: what does not agree with itself is no message of a board's. */
import { expect, test } from 'vitest';
import { type BoardMessage, decodeMessage, parseElement, toDraft } from '../src/sync/message.js';
import { Replica } from '../src/sync/replica.js';
import { rectangle, stroke } from './drawing.js';

function draftOf(element = rectangle()) {
  const replica = new Replica();
  replica.put(element, 'here');
  const entry = replica.get(element.id);
  if (!entry) throw new Error('it was put');
  return toDraft(entry, replica.textOf(entry));
}

function messageOf(element = rectangle()): BoardMessage {
  const { key, version, text, isTombstone } = draftOf(element);
  const deleted = isTombstone ? { '@deleted': true } : {};
  return { offset: '1-0', '@key': key, '@version': version, ...deleted, element: text };
}

test('what goes out comes back', () => {
  for (const element of [rectangle(), stroke(), rectangle({ isDeleted: true, version: 9 })])
    expect(decodeMessage(messageOf(element))).toEqual(element);
});

test('forged messages are none', () => {
  const good = messageOf();
  const forged: BoardMessage[] = [
    { ...good, '@key': 'other' },
    { ...good, '@version': 'ffffffffffffff.ffffffff' },
    { ...good, '@deleted': true },
    { ...good, element: '{' },
    { ...good, element: '{}' },
    { ...good, element: JSON.stringify({ ...rectangle(), x: 'far' }) },
    { offset: '1-0', text: 'hello' },
  ];
  for (const message of forged) expect(decodeMessage(message)).toBeUndefined();
});

test('a deleted stroke that was too large to save can be deleted', () => {
  const points = Array.from({ length: 40_000 }, (_, at) => [at / 3, at / 7]);
  const pressures = points.map(() => 0.5);
  const huge = stroke({ points, pressures });
  expect(draftOf(huge).text.length).toBeGreaterThan(1 << 20);
  const { text } = draftOf({ ...huge, isDeleted: true });
  expect(text.length).toBeLessThan(2_000);
  expect(parseElement(text)).toMatchObject({ id: huge.id, isDeleted: true });
});
