/**
 * A board that is shared: channel, people, replica, copy and editor tied together. It serves the page, which loads it once
 * the canvas stands.
 * Invariant: it holds no copy of the truth: elements are the replica's, what is unsent the channel's, peers the people's.
 */
import type { ExcalidrawImperativeAPI } from '@excalidraw/excalidraw/types';
import { anonymousAccess } from 'inkwire';
import { BoardChannel, type Standing } from '../sync/channel.js';
import { Replica } from '../sync/replica.js';
import type { SceneElement } from '../sync/scene.js';
import type { UnsentState } from '../sync/unsent.js';
import { colourOf } from '../who/colour.js';
import { Binding } from './binding.js';
import { Copy } from './copy.js';
import { Editor } from './editor.js';
import { Hand } from './hand.js';
import { Line } from './line.js';
import { Frames, Pace } from './pace.js';
import { Pass } from './pass.js';
import { People } from './people.js';
import { connectionOf, type View } from './view.js';

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
  readonly #room: string;
  #copy: Copy | undefined;
  #people: People | undefined;
  readonly #watchers = new Set<() => void>();
  readonly #send = new Pace(SEND_EVERY, () => this.#flush());
  readonly #point = new Pace(SEND_EVERY, () => this.#sendPointer());
  readonly #show = new Frames(() => this.#binding.show());
  readonly #showPeople = new Frames(() => {
    if (this.#people) this.#editor.setCollaborators(this.#people.collaborators());
  });
  readonly #tick: ReturnType<typeof setInterval>;
  readonly #undo: () => void;
  #wasLive = false;
  #isEnded = false;
  #name: string;
  #pointer: Pointer | undefined;
  #view: View;

  constructor(api: ExcalidrawImperativeAPI, room: string, name: string) {
    this.#room = room;
    this.#name = name;
    this.#editor = new Editor(api);
    this.#binding = new Binding(this.#editor, this.#replica);
    const access = anonymousAccess(
      '',
      () => this.#name,
      (url, init) => fetch(url, init),
    );
    this.#pass = new Pass(access);
    this.#channel = this.#makeChannel();
    this.#line = this.#makeLine(`board:${room}`);
    this.#view = this.#look();
    this.#undo = this.#watchPage();
    this.#tick = setInterval(() => this.#flush(), TICK);
    this.look(this.#editor.scene());
    void this.#begin();
  }

  get view(): View {
    return this.#view;
  }

  get insight(): Insight {
    return {
      connection: () => this.#people?.state ?? { kind: 'idle' },
      peers: () => this.#people?.links ?? [],
      board: () => [...this.#replica.ids()].map((id) => this.#replica.get(id)?.element),
      level: () => this.#channel.standing === 'level' && this.#people?.isLevel === true,
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
    return this.#unsent().count > 0 && !this.#isKept();
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
    this.#binding.end();
    for (const rhythm of [this.#send, this.#point, this.#show, this.#showPeople]) rhythm.end();
  }

  /** First what this browser has kept, at once; then the channel, and the people. */
  async #begin(): Promise<void> {
    const copy = await Copy.open(this.#room, this.#replica);
    await copy.restore(this.#channel);
    if (this.#isEnded) return;
    this.#copy = copy;
    this.#changed();
    this.#line.start();
    this.#people = new People(this.#room, this.#name, this.#pass, this.#replica, {
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
      onSettled: (id) => this.#copy?.mark(id),
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
      page: then((ticket, page) => channel.page(ticket, page)),
      messages: then((messages) => channel.messages(messages)),
      gap: then(() => channel.gap()),
      answered: then(({ key, version }, outcome) => channel.answered(key, version, outcome)),
      changed: () => this.#refresh(),
    });
  }

  /** The replica, or what is known of the channel, may be another. */
  #changed(): void {
    if (this.#binding.waiting) this.#show.request();
    this.#copy?.request();
    const { isDoubtful, standing } = this.#channel;
    this.#people?.compare(isDoubtful ? 'doubtful' : standing === 'level' ? 'level' : 'behind');
    this.#wasLive ||= standing === 'level';
    this.#send.request();
  }

  #flush(): void {
    this.#people?.flush();
    const now = performance.now();
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
    return unsent.state;
  }

  #isKept(): boolean {
    return this.#copy !== undefined && !this.#copy.isBehind;
  }

  #look(): View {
    const { state, error } = this.#line;
    const id = state.kind === 'live' ? state.user.id : this.#view?.me.id;
    return {
      connection: connectionOf(state, {
        isLevel: this.#channel.standing === 'level',
        unsent: this.#unsent(),
        isKept: this.#copy?.isWorking ?? false,
        online: navigator.onLine,
        wasLive: this.#wasLive,
        error,
        now: performance.now(),
      }),
      me: { id, colour: colourOf(id ?? '') },
      people: this.#people?.all ?? [],
    };
  }

  #refresh(): void {
    this.#showPeople.request();
    const view = this.#look();
    // Many times a second; and most times nothing is to be seen.
    if (JSON.stringify(view) === JSON.stringify(this.#view)) return;
    this.#view = view;
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
