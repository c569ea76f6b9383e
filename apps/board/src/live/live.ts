/**
 * A board that is shared: signalling, mesh, replica and editor tied together. It serves the page, which loads it once the
 * canvas stands.
 * Invariant: it holds no copy of the truth: elements are the replica's, peers the mesh's, the connection the signalling's.
 */
import type { ExcalidrawImperativeAPI } from '@excalidraw/excalidraw/types';
import { Mesh, type MeshHappening, Signalling } from 'inkwire';
import { Exchange } from '../sync/exchange.js';
import { Replica } from '../sync/replica.js';
import type { SceneElement } from '../sync/scene.js';
import { decodeCursor } from '../sync/words.js';
import { colourOf } from '../who/colour.js';
import { Binding } from './binding.js';
import { Cursors } from './cursors.js';
import { Editor } from './editor.js';
import { Frames, Pace } from './pace.js';
import { connectionOf, type Person, reachOf, type View } from './view.js';

/** Milliseconds between two sends of changes and of cursors: thirty a second look smooth. */
const SEND_EVERY = 33;
/** Milliseconds between two looks at whether a board has come to rest or a peer lost its patience. */
const TICK = 1_000;

export interface Pointer {
  pointer: { x: number; y: number; tool: 'pointer' | 'laser' };
  button: 'down' | 'up';
}

/** For the curious and for the browser tests: what stands behind the page, to be read. */
export interface Insight {
  connection(): Signalling['state'];
  peers(): Mesh['peers'];
  board(): unknown[];
  level(): boolean;
  /** How often somebody has come or gone, as far as this page was told. */
  comings(): { joined: number; left: number };
}

export class Live {
  readonly #signalling: Signalling;
  readonly #mesh: Mesh;
  readonly #replica = new Replica();
  readonly #exchange: Exchange;
  readonly #editor: Editor;
  readonly #binding: Binding;
  readonly #cursors = new Cursors();
  readonly #names = new Map<string, string>();
  readonly #watchers = new Set<() => void>();
  readonly #send = new Pace(SEND_EVERY, () => this.#exchange.flush());
  readonly #point = new Pace(SEND_EVERY, () => this.#sendPointer());
  readonly #show = new Frames(() => this.#showWaiting());
  readonly #showPeople = new Frames(() =>
    this.#editor.setCollaborators(this.#cursors.collaborators(this.#view.people)),
  );
  readonly #tick: ReturnType<typeof setInterval>;
  readonly #undo: (() => void)[] = [];
  readonly #comings = { joined: 0, left: 0 };
  #wasLive = false;
  #name: string;
  #pointer: Pointer | undefined;
  #view: View;

  constructor(api: ExcalidrawImperativeAPI, room: string, name: string) {
    this.#editor = new Editor(api);
    this.#binding = new Binding(this.#editor, this.#replica);
    this.#name = name;
    this.#signalling = new Signalling({ username: () => this.#name });
    this.#mesh = new Mesh(this.#signalling);
    this.#exchange = new Exchange(this.#replica, name, {
      send: (peer, text) => this.#mesh.send(peer, 'updates', text),
      now: () => performance.now(),
      onName: (peer, text) => {
        this.#names.set(peer, text);
        this.#refresh();
      },
      onNonsense: (peer) => this.#mesh.ignore(peer, 'updates'),
    });
    this.#view = this.#look();
    this.#undo.push(
      this.#signalling.listen(() => this.#refresh()),
      this.#mesh.listen((happening) => this.#take(happening)),
      this.#watchPage(),
    );
    this.#tick = setInterval(() => this.#exchange.flush(), TICK);
    this.#signalling.join(room);
    this.#signalling.start();
    this.look(this.#editor.scene());
  }

  get view(): View {
    return this.#view;
  }

  get insight(): Insight {
    return {
      connection: () => this.#signalling.state,
      peers: () => this.#mesh.peers,
      board: () => [...this.#replica.ids()].map((id) => this.#replica.get(id)?.element),
      level: () => this.#exchange.level,
      comings: () => ({ ...this.#comings }),
    };
  }

  /** Returns the way to stop watching. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
    };
  }

  /** To be called whenever the editor's scene may have changed. */
  look(scene: readonly SceneElement[]): void {
    if (this.#binding.look(scene)) this.#send.request();
    // What was in the hand may have been laid down.
    if (this.#binding.waiting) this.#show.request();
  }

  point(pointer: Pointer): void {
    this.#pointer = pointer;
    this.#point.request();
  }

  rename(name: string): void {
    this.#name = name;
    this.#exchange.rename(name);
  }

  /** Connects again after a stop, and at once while it waits. */
  retry(): void {
    this.#signalling.start();
    this.#signalling.nudge();
  }

  end(): void {
    clearInterval(this.#tick);
    for (const undo of this.#undo) undo();
    this.#signalling.close();
    this.#mesh.close();
    this.#binding.end();
    for (const rhythm of [this.#send, this.#point, this.#show, this.#showPeople]) rhythm.end();
  }

  #take(happening: MeshHappening): void {
    const { peer } = happening;
    switch (happening.type) {
      case 'open':
        this.#exchange.open(peer.id);
        this.#point.request();
        break;
      case 'drain':
        this.#exchange.flush();
        break;
      case 'message':
        if (happening.pipe === 'updates') this.#exchange.take(peer.id, happening.text);
        else this.#takeCursor(peer.id, happening.text);
        if (this.#binding.waiting) this.#show.request();
        return;
      case 'left':
        this.#comings.left += 1;
        this.#exchange.close(peer.id);
        this.#cursors.forget(peer.id);
        this.#names.delete(peer.id);
        break;
      case 'joined':
        this.#comings.joined += 1;
        break;
      case 'link':
        break;
    }
    this.#refresh();
  }

  #takeCursor(peer: string, text: string): void {
    const word = decodeCursor(text);
    if (!word) this.#mesh.ignore(peer, 'cursors');
    else {
      this.#cursors.take(peer, word);
      this.#showPeople.request();
    }
  }

  #sendPointer(): void {
    const at = this.#pointer;
    const word = at
      ? {
          t: 'at',
          ...rounded(at.pointer),
          tool: at.pointer.tool,
          button: at.button,
          selected: this.#editor.selected(),
        }
      : { t: 'away' };
    const text = JSON.stringify(word);
    // Whoever cannot take it now is sent a newer one soon.
    for (const { peer } of this.#mesh.peers) this.#mesh.send(peer.id, 'cursors', text);
  }

  #showWaiting(): void {
    this.#binding.show();
  }

  #look(): View {
    const { state } = this.#signalling;
    this.#wasLive ||= state.kind === 'live';
    const id = state.kind === 'live' ? state.user.id : this.#view?.me.id;
    const people: Person[] = this.#mesh.peers.map((peer) => ({
      id: peer.peer.id,
      name: this.#names.get(peer.peer.id) ?? peer.peer.username,
      colour: colourOf(peer.peer.id),
      reach: reachOf(peer.state),
    }));
    return {
      connection: connectionOf(state, { online: navigator.onLine, wasLive: this.#wasLive }),
      me: { id, colour: colourOf(id ?? '') },
      people,
    };
  }

  #refresh(): void {
    this.#view = this.#look();
    this.#showPeople.request();
    for (const watcher of this.#watchers) watcher();
  }

  /** The page's own comings and goings. */
  #watchPage(): () => void {
    const onHide = () => this.#signalling.close();
    const onShow = (event: PageTransitionEvent) => {
      if (event.persisted) this.#signalling.start();
    };
    const onBack = () => {
      if (document.visibilityState === 'visible') this.#signalling.nudge();
      else this.#lift();
      this.#refresh();
    };
    const onLeave = () => this.#lift();
    window.addEventListener('pagehide', onHide);
    window.addEventListener('pageshow', onShow);
    window.addEventListener('online', onBack);
    window.addEventListener('offline', onBack);
    document.addEventListener('visibilitychange', onBack);
    document.documentElement.addEventListener('mouseleave', onLeave);
    return () => {
      window.removeEventListener('pagehide', onHide);
      window.removeEventListener('pageshow', onShow);
      window.removeEventListener('online', onBack);
      window.removeEventListener('offline', onBack);
      document.removeEventListener('visibilitychange', onBack);
      document.documentElement.removeEventListener('mouseleave', onLeave);
    };
  }

  /** Our hand has left the board. */
  #lift(): void {
    this.#pointer = undefined;
    this.#point.request();
  }
}

/** Tenths of a canvas unit: nobody sees more, and it is half the text. */
function rounded({ x, y }: { x: number; y: number }): { x: number; y: number } {
  return { x: Math.round(x * 10) / 10, y: Math.round(y * 10) / 10 };
}
