/**
 * The few doors of the editor that the live part uses. They serve the binding and the cursors, and keep the editor's own
 * types out of them.
 * Invariant: elements go in checked and restored, and come out as they are.
 */
import { CaptureUpdateAction, reconcileElements, restoreElements } from '@excalidraw/excalidraw';
import type { ExcalidrawImperativeAPI } from '@excalidraw/excalidraw/types';
import type { BoardElement } from '../sync/element.js';
import type { SceneElement } from '../sync/scene.js';

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

  selected(): string[] {
    const { selectedElementIds } = this.#api.getAppState();
    return Object.keys(selectedElementIds).filter((id) => selectedElementIds[id]);
  }

  /** Merges elements into the scene. They never enter the local history: undo is for one's own work. */
  merge(elements: readonly BoardElement[]): void {
    const local = this.#api.getSceneElementsIncludingDeleted() as Local;
    const remote = elements.flatMap(restore) as unknown as Remote;
    this.#api.updateScene({
      elements: reconcileElements(local, remote, this.#api.getAppState()),
      captureUpdate: CaptureUpdateAction.NEVER,
    });
  }

  setCollaborators(collaborators: Collaborators): void {
    this.#api.updateScene({ collaborators });
  }
}

/** The editor repairs what it can, on a copy; what it throws at, or drops for being tiny, stays as the gate let it in. */
function restore(element: BoardElement): unknown[] {
  const copy = { ...element };
  if (element.isDeleted) return [copy];
  try {
    const restored = restoreElements([copy] as unknown as Restorable, null)[0];
    // The repair forgets that a stroke is finished, and an unfinished one is drawn without its tip.
    if (restored?.type === 'freedraw') return [{ ...restored, lastCommittedPoint: copy.lastCommittedPoint }];
    return [restored ?? copy];
  } catch {
    return [];
  }
}
