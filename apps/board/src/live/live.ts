/**
 * A board that is shared: channel, people, replica, copy and editor tied together. It serves the page, which loads it once
 * the canvas stands.
 * Invariant: it holds no copy of the truth: elements are the replica's, what is unsent the channel's, peers the people's.
 */
import type { BinaryFiles, ExcalidrawImperativeAPI } from '@excalidraw/excalidraw/types';
import { anonymousAccess } from 'inkwire';
import { BoardChannel, type Standing } from '../sync/channel.js';
import { isRecord } from '../sync/element.js';
import { Replica } from '../sync/replica.js';
import type { SceneElement } from '../sync/scene.js';
import type { UnsentState } from '../sync/unsent.js';
import { colourOf } from '../who/colour.js';
import { Binding } from './binding.js';
import { Copy } from './copy.js';
import { Editor } from './editor.js';
import { Files } from './files.js';
import { Hand } from './hand.js';
import { Line } from './line.js';
import { Frames, Pace } from './pace.js';
import { Pass, viewAccess } from './pass.js';
import { People } from './people.js';
import { Store } from './store.js';
import { connectionOf, type View } from './view.js';

/** Milliseconds between two sends of changes and of cursors: thirty a second look smooth. */
const SEND_EVERY = 33;
/** Milliseconds between two looks at whether a board has come to rest or a peer lost its patience. */
const TICK = 1_000;
/** Milliseconds between two looks at a large board that is still being read: each costs the editor a whole round. */
const SHOW_PART_EVERY = 2_000;

/** What the page is of: a room, to draw in; or the view of one, to look at. */
export type Place = { kind: 'room' | 'view'; id: string };

/** A board's beginning without the editor: what this browser has kept is read while the editor is set up. */
export function prepare(place: Place): (api: ExcalidrawImperativeAPI, name: string) => Live {
  const kept = Store.find(place.id);
  return (api, name) => new Live(api, place, name, kept);
}

export interface Pointer {
  pointer: { x: number; y: number; tool: 'pointer' | 'laser' };
  button: 'down' | 'up';
}

/** For the curious and for the browser tests: what stands behind the page, to be read. */
export interface Insight {
  /** The signalling. */
  connection(): People['state'];
  peers(): People['links'];
  board(): unknown[];
  level(): boolean;
  /** The room's channel: how far it is here, what it was not told yet, and whether this browser has it all. */
  channel(): { standing: Standing; offset: string; unsent: number; isKept: boolean };
  /** How often somebody has come or gone, as far as this page was told. */
  comings(): People['comings'];
}

export class Live {
  readonly #pass: Pass;
  readonly #line: Line;
  readonly #channel: BoardChannel;
  readonly #replica = new Replica();
  readonly #editor: Editor;
  readonly #binding: Binding;
  readonly #hand = new Hand();
  readonly #place: Place;
  #copy: Copy | undefined;
  #files: Files | undefined;
  #people: People | undefined;
  readonly #watchers = new Set<() => void>();
  readonly #send = new Pace(SEND_EVERY, () => this.#flush());
  readonly #point = new Pace(SEND_EVERY, () => this.#sendPointer());
  readonly #show = new Frames(() => {
    this.#binding.show();
    if (this.#binding.isHalfShown) this.#show.request();
  });
  readonly #showPart = new Pace(SHOW_PART_EVERY, () => this.#show.request(), performance.now());
  readonly #showPeople = new Frames(() => {
    if (this.#people) this.#editor.setCollaborators(this.#people.collaborators());
  });
  readonly #tick: ReturnType<typeof setInterval>;
  readonly #undo: () => void;
  #wasLive = false;
  #isEnded = false;
  #name: string;
  #pointer: Pointer | undefined;
  /** The editor's files, as it last told us of them. */
  #images: BinaryFiles = {};
  #view: View;

  /** `kept`: the store of the place. */
  constructor(api: ExcalidrawImperativeAPI, place: Place, name: string, kept: Promise<Store | undefined>) {
    this.#place = place;
    this.#name = name;
    this.#editor = new Editor(api);
    this.#binding = new Binding(this.#editor, this.#replica, (element) => this.#files?.translate(element));
    const isView = place.kind === 'view';
    const visit = (url: string, init: RequestInit) => fetch(url, init);
    this.#pass = new Pass(isView ? viewAccess(place.id, name) : anonymousAccess('', () => this.#name, visit));
    this.#channel = this.#makeChannel();
    this.#line = this.#makeLine(isView ? `view:${place.id}` : `board:${place.id}`);
    this.#view = this.#look();
    this.#undo = this.#watchPage();
    this.#tick = setInterval(() => this.#flush(), TICK);
    this.look(this.#editor.scene());
    void this.#begin(kept);
  }

  get view(): View {
    return this.#view;
  }

  get insight(): Insight {
    return {
      connection: () => this.#people?.state ?? { kind: 'idle' },
      peers: () => this.#people?.links ?? [],
      board: () => [...this.#replica.ids()].map((id) => this.#replica.get(id)?.element),
      level: () => this.#channel.standing === 'level' && this.#people?.isLevel !== false,
      channel: () => ({
        standing: this.#channel.standing,
        offset: this.#channel.offset,
        unsent: this.#unsent().count,
        isKept: this.#isKept(),
      }),
      comings: () => this.#people?.comings ?? { joined: 0, left: 0 },
    };
  }

  /** Whether something would be lost if the page went now. */
  get isAtStake(): boolean {
    return this.#binding.untold > 0 || (this.#unsent().count > 0 && !this.#isKept());
  }

  /** Returns the way to stop watching. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
    };
  }

  /** To be called whenever the editor's scene may have changed. Whoever only looks has nothing to tell. */
  look(scene: readonly SceneElement[], images: BinaryFiles = this.#images): void {
    this.#images = images;
    if (this.#place.kind === 'view') {
      if (this.#binding.waiting) this.#show.request();
      return;
    }
    this.#files?.look(images);
    const news = this.#binding.look(scene);
    if (news.length > 0) this.#hand.changed(news, this.#editor.grip(), performance.now());
    // What was in the hand may have been laid down.
    if (news.length > 0 || this.#hand.isHolding) this.#send.request();
    if (this.#binding.waiting) this.#show.request();
  }

  point(pointer: Pointer): void {
    this.#pointer = pointer;
    this.#point.request();
  }

  rename(name: string): void {
    this.#name = name;
    this.#people?.rename(name);
  }

  /** Puts the drawing in a file on the board; answers how many of its elements were left out. */
  open(file: File): Promise<number> {
    return this.#editor.open(file);
  }

  /** The address under which the board can be looked at, and not changed. */
  async viewPath(): Promise<string> {
    const response = await fetch(`/rooms/${this.#place.id}/view`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await this.#pass.token()}` },
    });
    const body: unknown = await response.json();
    if (response.ok && isRecord(body) && typeof body.view === 'string') return `/${body.view}`;
    throw new Error(`the server answered ${response.status}`);
  }

  /** Connects again after a stop, and at once while it waits. */
  retry(): void {
    this.#line.retry();
    this.#people?.start();
    this.#people?.nudge();
  }

  end(): void {
    this.#isEnded = true;
    clearInterval(this.#tick);
    this.#undo();
    this.#line.stop();
    this.#people?.end();
    this.#copy?.end();
    this.#files?.end();
    this.#binding.end();
    const rhythms = [this.#send, this.#point, this.#show, this.#showPart, this.#showPeople];
    for (const rhythm of rhythms) rhythm.end();
  }

  /** First what this browser has kept, at once; then the channel, and the people. */
  async #begin(kept: Promise<Store | undefined>): Promise<void> {
    const { id, kind } = this.#place;
    const store = await kept;
    const copy = new Copy(this.#replica, store);
    const files = new Files(id, this.#pass, this.#replica, store, {
      show: (images) => this.#editor.addFiles(images),
      changed: () => {
        this.look(this.#editor.scene());
        this.#send.request();
      },
    });
    await Promise.all([copy.restore(this.#channel), files.restore()]);
    if (this.#isEnded) {
      store?.close();
      return;
    }
    this.#copy = copy;
    this.#files = files;
    this.look(this.#editor.scene());
    this.#changed();
    this.#line.start();
    if (kind === 'view') return;
    this.#people = new People(id, this.#name, this.#pass, this.#replica, {
      changed: () => this.#refresh(),
      moved: () => this.#showPeople.request(),
      received: () => this.#changed(),
      opened: () => this.#point.request(),
    });
    this.#changed();
  }

  #makeChannel(): BoardChannel {
    return new BoardChannel(this.#replica, {
      now: () => performance.now(),
      random: Math.random,
      publish: (draft) => this.#line.publish(draft),
      read: (after, ticket) => this.#line.read(after, ticket),
      follow: (after) => this.#line.follow(after),
      unfollow: () => this.#line.unfollow(),
      onNonsense: () => undefined,
      onTurned: (id) => this.#copy?.mark(id),
    });
  }

  #makeLine(name: string): Line {
    const channel = this.#channel;
    const then = <Told extends unknown[]>(take: (...told: Told) => void) => {
      return (...told: Told) => {
        take(...told);
        this.#changed();
      };
    };
    return new Line(name, this.#pass, {
      connected: then(() => channel.connected()),
      lost: then(() => channel.lost()),
      ended: then(() => channel.ended()),
      page: then((ticket, page) => channel.page(ticket, page)),
      messages: then((messages) => channel.messages(messages)),
      gap: then(() => channel.gap()),
      answered: then(({ key, version }, outcome) => channel.answered(key, version, outcome)),
      changed: () => this.#refresh(),
    });
  }

  /** The replica, or what is known of the channel, may be another. */
  #changed(): void {
    if (this.#binding.waiting) this.#requestShow();
    this.#copy?.request();
    const { isDoubtful, standing } = this.#channel;
    this.#people?.compare(isDoubtful ? 'doubtful' : standing === 'level' ? 'level' : 'behind');
    this.#wasLive ||= standing === 'level';
    this.#send.request();
  }

  #requestShow(): void {
    if (this.#channel.standing === 'reading') this.#showPart.request();
    else this.#show.request();
  }

  #flush(): void {
    const now = performance.now();
    this.#people?.flush();
    this.#files?.flush(now, this.#channel.standing === 'level');
    const held = this.#hand.holding(this.#editor.grip(), this.#people?.allLinked ?? true, now);
    const { sent, isMore } = this.#channel.flush(held);
    const inHand = sent.filter(({ key }) => this.#hand.has(key));
    this.#hand.sent(
      inHand.reduce((sum, { text }) => sum + text.length, 0),
      now,
    );
    if (isMore || (this.#hand.isHolding && this.#channel.standing === 'level')) this.#send.request();
    this.#copy?.request();
    this.#refresh();
  }

  #sendPointer(): void {
    const at = this.#pointer;
    this.#people?.point(
      at
        ? {
            t: 'at',
            ...rounded(at.pointer),
            tool: at.pointer.tool,
            button: at.button,
            selected: this.#editor.selected(),
          }
        : { t: 'away' },
    );
  }

  #unsent(): UnsentState {
    const { unsent } = this.#channel;
    unsent.look(performance.now());
    const { count, since, obstacles } = unsent.state;
    const images = this.#files?.unsent ?? { count: 0, stuck: [] };
    for (const why of images.stuck) obstacles[why] += 1;
    const { untold } = this.#binding;
    return { count: count + images.count + untold, since, obstacles: { ...obstacles, untold } };
  }

  #isKept(): boolean {
    return this.#copy !== undefined && !this.#copy.isBehind;
  }

  #look(): View {
    const { state, error, refusal } = this.#line;
    const id = state.kind === 'live' ? state.user.id : this.#view?.me.id;
    return {
      connection: connectionOf(state, {
        isView: this.#place.kind === 'view',
        isLevel: this.#channel.standing === 'level',
        unsent: this.#unsent(),
        isKept: this.#copy?.isWorking ?? false,
        online: navigator.onLine,
        wasLive: this.#wasLive,
        error,
        refusal,
        isDead: this.#pass.isDead,
        now: performance.now(),
      }),
      me: { id, colour: colourOf(id ?? '') },
      people: this.#people?.all ?? [],
    };
  }

  #refresh(): void {
    if (this.#pass.isDead && this.#line.state.kind !== 'idle') this.#line.stop();
    const view = this.#look();
    // Many times a second; and most times nothing is to be seen.
    if (JSON.stringify(view) === JSON.stringify(this.#view)) return;
    this.#view = view;
    this.#showPeople.request();
    for (const watcher of this.#watchers) watcher();
  }

  /** The page's own comings and goings. */
  #watchPage(): () => void {
    const onHide = () => {
      void this.#copy?.write();
      this.#line.stop();
      this.#people?.leave();
    };
    const onShow = (event: PageTransitionEvent) => {
      if (!event.persisted) return;
      this.#line.start();
      this.#people?.start();
    };
    const onBack = () => {
      if (document.visibilityState === 'visible') this.#people?.nudge();
      else {
        void this.#copy?.write();
        this.#lift();
      }
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
