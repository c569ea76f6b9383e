/**
 * The few doors of the editor that the live part uses. They serve the binding and the cursors, and keep the editor's own
 * types out of them.
 * Invariant: elements go in checked and restored, and come out as they are.
 */
import { CaptureUpdateAction, reconcileElements, restoreElements } from '@excalidraw/excalidraw';
import type { BinaryFileData, ExcalidrawImperativeAPI } from '@excalidraw/excalidraw/types';
import type { BoardElement } from '../sync/element.js';
import type { SceneElement } from '../sync/scene.js';
import type { Grip } from './hand.js';
import { importDrawing } from './import.js';

type Local = Parameters<typeof reconcileElements>[0];
type Remote = Parameters<typeof reconcileElements>[1];
type Restorable = NonNullable<Parameters<typeof restoreElements>[0]>;
export type Collaborators = ReturnType<ExcalidrawImperativeAPI['getAppState']>['collaborators'];

export class Editor {
  readonly #api: ExcalidrawImperativeAPI;

  constructor(api: ExcalidrawImperativeAPI) {
    this.#api = api;
  }

  scene(): readonly SceneElement[] {
    return this.#api.getSceneElementsIncludingDeleted();
  }

  /** What the hand is on right now; changed under it, it would be torn away. */
  inHand(): Set<string> {
    const { editingTextElement, newElement, resizingElement } = this.#api.getAppState();
    const held = [editingTextElement, newElement, resizingElement];
    return new Set(held.flatMap((element) => (element ? [element.id] : [])));
  }

  /** Whether the button is down, and the text that is being written. */
  grip(): Grip {
    const { cursorButton, editingTextElement } = this.#api.getAppState();
    return { isDown: cursorButton === 'down', writing: editingTextElement?.id };
  }

  selected(): string[] {
    const { selectedElementIds } = this.#api.getAppState();
    return Object.keys(selectedElementIds).filter((id) => selectedElementIds[id]);
  }

  /** Merges elements into the scene. They never enter the local history: undo is for one's own work. */
  merge(elements: readonly BoardElement[]): void {
    const local = this.#api.getSceneElementsIncludingDeleted() as Local;
    const remote = elements.flatMap(restore) as unknown as Remote;
    const wasBlank = local.every((element) => element.isDeleted);
    this.#api.updateScene({
      elements: reconcileElements(local, remote, this.#api.getAppState()),
      captureUpdate: CaptureUpdateAction.NEVER,
    });
    if (wasBlank) this.#findContent();
  }

  /** Takes elements out of the scene, as if they had never been there. */
  remove(ids: ReadonlySet<string>): void {
    const elements = this.#api.getSceneElementsIncludingDeleted().filter(({ id }) => !ids.has(id));
    this.#api.updateScene({ elements, captureUpdate: CaptureUpdateAction.NEVER });
  }

  /** What of these is on the part of the board that is looked at. */
  inSight(elements: readonly BoardElement[]): BoardElement[] {
    const view = this.#view();
    return elements.filter((element) => overlap(element as unknown as Box, view));
  }

  #view(): Box {
    const { scrollX, scrollY, width, height, zoom } = this.#api.getAppState();
    return { x: -scrollX, y: -scrollY, width: width / zoom.value, height: height / zoom.value };
  }

  /** A board that has just arrived, all of it out of sight, would look blank: the view goes to it, once. */
  #findContent(): void {
    const elements = this.#api.getSceneElements();
    const view = this.#view();
    if (elements.length === 0 || elements.some((element) => overlap(element, view))) return;
    this.#api.scrollToContent(elements, { fitToContent: true, animate: false });
  }

  /** See `importDrawing`. */
  open(file: File): Promise<number> {
    return importDrawing(this.#api, file);
  }

  addFiles(files: BinaryFileData[]): void {
    this.#api.addFiles(files);
  }

  setCollaborators(collaborators: Collaborators): void {
    this.#api.updateScene({ collaborators });
  }
}

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

function overlap(a: Box, b: Box): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

/** The editor repairs what it can, on a copy; what it throws at, or drops for being tiny, stays as the gate let it in. */
function restore(element: BoardElement): unknown[] {
  if (element.isDeleted) return [{ ...element }];
  try {
    const restored = restoreElements([element] as unknown as Restorable, null)[0];
    // The repair forgets that a stroke is finished, and an unfinished one is drawn without its tip.
    if (restored?.type === 'freedraw')
      Object.assign(restored, { lastCommittedPoint: element.lastCommittedPoint });
    return [restored ?? { ...element }];
  } catch {
    return [];
  }
}
