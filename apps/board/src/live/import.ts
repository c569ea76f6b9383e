/**
 * A drawing out of a file, put on the board. It serves whoever opens or drops one.
 * Invariant: what is opened is added: nothing that is on the board goes, and what is there under the same id is replaced by
 * a newer version, as if it had been edited.
 */
import { CaptureUpdateAction, loadFromBlob } from '@excalidraw/excalidraw';
import type { ExcalidrawImperativeAPI } from '@excalidraw/excalidraw/types';

/** Rejects what is no drawing, in words for people. */
export async function importDrawing(api: ExcalidrawImperativeAPI, file: File): Promise<void> {
  const { elements, files } = await loadFromBlob(file, null, null).catch(() => {
    throw new Error(`${file.name} is no drawing of Excalidraw’s.`);
  });
  const scene = api.getSceneElementsIncludingDeleted();
  const held = new Map(scene.map((element) => [element.id, element.version]));
  const opened = elements
    .filter(({ isDeleted }) => !isDeleted)
    .map((element) => ({
      ...element,
      version: Math.max(element.version, held.get(element.id) ?? 0) + 1,
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
  api.scrollToContent(opened, { fitToContent: true, animate: false });
}
