/**
 * The editor and the replica, kept level. It serves the live board.
 * Invariant: what is made in the editor is `here`, what comes into it is from a peer or the channel; neither is ever taken
 * for the other, so nothing echoes.
 */
import type { BoardElement } from '../sync/element.js';
import type { Follower, Replica } from '../sync/replica.js';
import { compare, type SceneElement, Seen, type Translate } from '../sync/scene.js';
import type { Editor } from './editor.js';

/** Elements that take the editor so long that what is looked at is shown before them. */
const MANY = 1_000;
/** Frames until what is looked at has been drawn and is on the screen; the editor draws one after it is told. */
const FRAMES = 3;

export class Binding {
  readonly #editor: Editor;
  readonly #replica: Replica;
  readonly #follower: Follower;
  readonly #seen = new Seen();
  readonly #translate: Translate;
  /** Frames until the rest is shown. */
  #frames = 0;

  constructor(editor: Editor, replica: Replica, translate: Translate) {
    this.#editor = editor;
    this.#replica = replica;
    this.#translate = translate;
    this.#follower = replica.follow('peer', 'channel');
  }

  /** Whether only what is looked at is shown yet: the rest wants to be asked for with the next frame. */
  get isHalfShown(): boolean {
    return this.#frames > 0;
  }

  /** Whether something waits to be shown. */
  get waiting(): boolean {
    return this.#follower.waiting > 0;
  }

  /** How much is on this canvas that no board will hold. */
  get untold(): number {
    return this.#seen.untold.size;
  }

  /** To be called when the scene may have changed; answers what is new. */
  look(scene: readonly SceneElement[]): string[] {
    const { news, vanished } = compare(scene, this.#replica, this.#seen, this.#translate);
    for (const element of news) this.#replica.put(element, 'here');
    for (const id of vanished) this.#follower.mark(id);
    return news.map(({ id }) => id);
  }

  /** Shows what has come, once per frame. What is in the hand waits until it is laid down. */
  show(): void {
    if (this.#frames > 0) this.#frames -= 1;
    if (this.#frames > 0) return;
    const inHand = this.#editor.inHand();
    this.#showGone();
    const due: BoardElement[] = [];
    for (const { element } of this.#follower.peek()) if (!inHand.has(element.id)) due.push(element);
    if (due.length === 0) return;
    const first = due.length > MANY ? this.#editor.inSight(due) : [];
    const shown = first.length > 0 ? first : due;
    if (shown !== due) this.#frames = FRAMES;
    this.#editor.merge(shown);
    for (const { id } of shown) this.#follower.unmark(id);
  }

  /** What the channel no longer has is taken off, without a trace in anybody's history. */
  #showGone(): void {
    const gone = this.#follower.gone();
    if (gone.length === 0) return;
    for (const id of gone) {
      this.#follower.unmark(id);
      this.#seen.forget(id);
    }
    this.#editor.remove(new Set(gone));
  }

  end(): void {
    this.#follower.end();
  }
}
