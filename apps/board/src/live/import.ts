/**
 * A drawing out of a file, put on the board. It serves whoever opens or drops one.
 * Invariant: what is opened is added: nothing that is on the board goes, and what is there under the same id is replaced by
 * a newer version, as if it had been edited. What no board can hold stays outside, and is counted.
 */
import { CaptureUpdateAction, loadFromBlob, restoreElements } from '@excalidraw/excalidraw';
import type { ExcalidrawImperativeAPI } from '@excalidraw/excalidraw/types';
import { decodeElement, isRecord } from '../sync/element.js';
import { isVersioned } from '../sync/version.js';

type Restorable = NonNullable<Parameters<typeof restoreElements>[0]>;

/** Answers how many elements were left out. Rejects what is no drawing, in words for people. */
export async function importDrawing(api: ExcalidrawImperativeAPI, file: File): Promise<number> {
  const drawing = await read(file);
  const wanted = drawing.elements.filter((element) => !isRecord(element) || element.isDeleted !== true);
  const fit = wanted.filter(isRecord).map(completed).filter(fits);
  const { elements, files } = await loadFromBlob(asFile({ ...drawing, elements: fit }), null, null);
  const scene = api.getSceneElementsIncludingDeleted();
  const held = new Map(scene.map((element) => [element.id, element.version]));
  const opened = elements.map((element) => ({
    ...element,
    version: Math.max(countOf(element.version), held.get(element.id) ?? 0) + 1,
    versionNonce: Math.floor(Math.random() * 2 ** 31),
    // On top of what is there: the editor gives it a place.
    index: null as unknown as (typeof element)['index'],
  }));
  const replaced = new Set(opened.map(({ id }) => id));
  api.addFiles(Object.values(files));
  api.updateScene({
    elements: [...scene.filter(({ id }) => !replaced.has(id)), ...opened],
    // One step of one's own: undo takes it back.
    captureUpdate: CaptureUpdateAction.IMMEDIATELY,
  });
  if (opened.length > 0) api.scrollToContent(opened, { fitToContent: true, animate: false });
  return wanted.length - fit.length;
}

async function read(file: File): Promise<{ elements: unknown[] }> {
  try {
    const drawing: unknown = JSON.parse(await file.text());
    if (isRecord(drawing) && drawing.type === 'excalidraw' && Array.isArray(drawing.elements))
      return { ...drawing, elements: drawing.elements };
  } catch {
    // Neither is what cannot be read.
  }
  throw new Error(`${file.name} is no drawing of Excalidraw’s.`);
}

const asFile = (drawing: unknown) => new Blob([JSON.stringify(drawing)], { type: 'application/json' });

/** What older editors did not write yet, and the present one does not add. */
function completed(element: Record<string, unknown>): Record<string, unknown> {
  if (element.type === 'arrow') return { elbowed: false, ...element };
  if (element.type !== 'freedraw') return element;
  const isPen = Array.isArray(element.pressures) && element.pressures.length > 0;
  return { pressures: [], simulatePressure: !isPen, ...element };
}

/** Whether the editor can take it, and a board hold what it makes of it. */
function fits(element: Record<string, unknown>): boolean {
  try {
    const [restored] = restoreElements([element] as unknown as Restorable, null);
    // What is too small to be seen it leaves out by itself.
    if (!restored) return true;
    const named = restored.type === 'image' && { fileId: '0'.repeat(64) };
    // Its image is named, its place is given and its version counted when it is on the board.
    return decodeElement({ ...restored, ...named, index: 'a0', version: 1, versionNonce: 0 }) !== undefined;
  } catch {
    return false;
  }
}

const countOf = (version: number) => (isVersioned(version + 1, 0) ? version : 0);
