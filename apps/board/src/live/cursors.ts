/**
 * Where everybody's hand is: ours sent out, theirs shown. It serves the live board.
 * Invariant: a cursor is shown only while its owner can be reached; none is left behind as a ghost.
 */
import type { CursorWord } from '../sync/words.js';
import type { Collaborators } from './editor.js';
import type { Person } from './view.js';

export class Cursors {
  readonly #at = new Map<string, Extract<CursorWord, { t: 'at' }>>();

  take(peer: string, word: CursorWord): void {
    if (word.t === 'at') this.#at.set(peer, word);
    else this.#at.delete(peer);
  }

  forget(peer: string): void {
    this.#at.delete(peer);
  }

  /** The editor's view of the people: their names, colours, pointers and selections. */
  collaborators(people: readonly Person[]): Collaborators {
    const all: Collaborators = new Map();
    for (const person of people) {
      const at = person.reach === 'server' ? undefined : this.#at.get(person.id);
      // The editor brands these ids; they are plain text.
      const id = person.id as Parameters<Collaborators['set']>[0];
      all.set(id, {
        id: person.id,
        socketId: id,
        username: person.name,
        ...(at && {
          pointer: { x: at.x, y: at.y, tool: at.tool },
          button: at.button,
          selectedElementIds: Object.fromEntries(at.selected.map((element) => [element, true as const])),
        }),
      });
    }
    return all;
  }
}
