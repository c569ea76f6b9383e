/**
 * A channel as a value, and pages on it and on a mesh. It serves the tests of the board's channel.
 * Invariant: the channel is the keyed log of the protocol, with collected tombstones and pages of three; nothing moves unless it is
 * called.
 */
import { BoardChannel } from '../src/sync/channel.js';
import type { BoardElement } from '../src/sync/element.js';
import { Exchange } from '../src/sync/exchange.js';
import { type BoardMessage, type Draft, parseElement } from '../src/sync/message.js';
import { type Follower, Replica } from '../src/sync/replica.js';
import type { Outcome } from '../src/sync/unsent.js';
import { below, changed, type Random, rectangle } from './drawing.js';

const LIMIT = 3;
const offsetOf = (at: number) => `${at}-0`;
const placeOf = (offset: string) => Number(offset.split('-')[0]);

/** The keyed log of one room. */
class Log {
  #entries = new Map<string, { at: number; draft: Draft }>();
  /** Time goes on when the log is wiped: its offsets are milliseconds. */
  #clock = 0;
  #head = 0;
  #begun = 1;
  #floor = 0;
  readonly ever = new Map<string, string>();
  wipes = 0;

  get entries(): Draft[] {
    return [...this.#entries.values()].map(({ draft }) => draft);
  }

  /** The message, if it is a new one. */
  publish(draft: Draft): BoardMessage | undefined {
    const held = this.#entries.get(draft.key);
    if (held && held.draft.version >= draft.version) return undefined;
    this.#clock += 1;
    this.#head = this.#clock;
    this.#entries.set(draft.key, { at: this.#head, draft });
    const isElement = parseElement(draft.text) !== undefined;
    if (isElement && draft.version > (this.ever.get(draft.key) ?? ''))
      this.ever.set(draft.key, draft.version);
    return message(this.#head, draft);
  }

  hasElement(key: string): boolean {
    return parseElement(this.#entries.get(key)?.draft.text ?? '') !== undefined;
  }

  placeOf(key: string): string {
    return offsetOf(this.#entries.get(key)?.at ?? 0);
  }

  read(after: string): { messages: BoardMessage[]; head: string; gap: boolean } {
    const place = placeOf(after);
    const gap = !this.continues(after);
    const messages = [...this.#entries.values()]
      .sort((a, b) => a.at - b.at)
      .filter(({ at }) => at > place)
      .slice(0, LIMIT)
      .map(({ at, draft }) => message(at, draft));
    return { messages, head: offsetOf(this.#head), gap };
  }

  continues(after: string): boolean {
    const place = placeOf(after);
    return place === 0 || (place >= this.#floor && place <= this.#head && place >= this.#begun);
  }

  /** Tombstones are forgotten; whoever has not seen them yet can not be told. */
  collect(): void {
    for (const [key, { at, draft }] of this.#entries) {
      if (!draft.isTombstone) continue;
      this.#entries.delete(key);
      this.#floor = Math.max(this.#floor, at);
    }
  }

  /** The way back to what is there now: a failover to somebody who lacks the tail. */
  remember(): () => void {
    const entries = new Map(this.#entries);
    const [head, floor] = [this.#head, this.#floor];
    return () => {
      this.#entries = entries;
      this.#head = head;
      this.#floor = floor;
    };
  }

  wipe(): void {
    this.#entries = new Map();
    this.#clock += 1;
    this.#begun = this.#clock + 1;
    this.#head = 0;
    this.#floor = 0;
    this.wipes += 1;
  }
}

const message = (at: number, { key, version, text, isTombstone }: Draft): BoardMessage => ({
  offset: offsetOf(at),
  '@key': key,
  '@version': version,
  ...(isTombstone && { '@deleted': true }),
  element: text,
});

interface Disk {
  offset: string;
  foreign?: BoardChannel['foreign'];
  elements: Map<string, { text: string; isUnsent: boolean }>;
}

/** One page: a replica, its way to the channel, its way to the peers, and what its browser keeps. */
class Page {
  readonly replica = new Replica();
  readonly channel: BoardChannel;
  readonly exchange: Exchange;
  readonly dirty: Follower;
  isConnected = false;
  /** The subscription's cursor, while there is one. */
  cursor: number | undefined;
  /** What is on its way to us or from us. */
  requests: (() => void)[] = [];
  /** Publishes without an answer: sent again with every connection. */
  publishes: { draft: Draft; isSent: boolean }[] = [];

  constructor(
    readonly name: string,
    readonly world: World,
    readonly disk: Disk,
  ) {
    this.dirty = this.replica.follow('here', 'peer', 'channel');
    this.channel = new BoardChannel(this.replica, {
      now: () => world.time,
      random: world.random,
      publish: (draft) => {
        this.publishes.push({ draft, isSent: false });
      },
      read: (after, ticket) => {
        const request = () => {
          const page = world.log.read(after);
          // What is followed may overtake it.
          this.requests.unshift(() => {
            this.channel.page(ticket, page);
            this.compare();
          });
        };
        if (this.isConnected) this.requests.push(request);
      },
      follow: (after) => this.follow(after),
      unfollow: () => {
        this.cursor = undefined;
      },
      onNonsense: () => {
        if (!world.hasVandal) throw new Error('nothing here is nonsense');
      },
      onTurned: (id) => this.dirty.mark(id),
    });
    this.exchange = new Exchange(this.replica, name, {
      now: () => world.time,
      send: (to, text) => world.send(name, to, text),
      mayEdit: () => true,
      onName: () => undefined,
      onNonsense: () => {
        throw new Error('nothing here is nonsense');
      },
    });
    this.restore();
  }

  edit(random: Random, fields: Partial<BoardElement> = {}): void {
    const { id = `e${below(7, random)}` } = fields;
    const held = this.replica.get(id)?.element ?? rectangle({ id, version: 1 });
    this.world.nonce += 1;
    const edit: BoardElement = { ...changed(held, random), versionNonce: this.world.nonce, ...fields };
    this.replica.put(edit, 'here');
    if (this.channel.standing !== 'level') this.world.mayRevive.add(id);
  }

  follow(after: string): void {
    this.cursor = placeOf(after);
  }

  /** As the page does whenever the channel has told it something. */
  compare(): void {
    const { isDoubtful, standing } = this.channel;
    if (isDoubtful) this.exchange.part();
    else this.exchange.setLevel(standing === 'level');
  }

  /** What the page does by itself, again and again. */
  turn(random: Random): void {
    this.channel.flush(() => random() < 0.2);
    this.exchange.flush();
  }

  connect(): void {
    if (this.isConnected) return;
    this.isConnected = true;
    for (const publish of this.publishes) publish.isSent = false;
    this.channel.connected();
    this.compare();
  }

  drop(): void {
    this.isConnected = false;
    this.requests = [];
    this.channel.lost();
    this.compare();
  }

  /** Another line, as after "Connect again": what was followed is not followed any more. */
  renew(): void {
    this.drop();
    this.cursor = undefined;
    this.channel.ended();
    this.connect();
  }

  /** One thing arrives. */
  step(random: Random): void {
    if (!this.isConnected) return;
    const what = random();
    if (what < 0.3) this.requests.shift()?.();
    else if (what < 0.6) this.publishOne(random);
    else this.hearOne();
  }

  publishOne(random: Random): void {
    const [first] = this.publishes;
    if (!first) return;
    const { draft } = first;
    const answer = (outcome: Outcome) => {
      this.publishes.shift();
      this.channel.answered(draft.key, draft.version, outcome);
    };
    const luck = this.world.isPeaceful ? 1 : random();
    if (luck < 0.1) answer({ kind: 'failed' });
    else {
      // It may be stored, and the answer lost: then it is sent again.
      const offset = this.world.store(draft);
      if (luck > 0.3) answer({ kind: 'stored', offset });
    }
  }

  hearOne(): void {
    const { cursor } = this;
    if (cursor === undefined) return;
    const [next] = this.world.log.read(offsetOf(cursor)).messages;
    if (!this.world.log.continues(offsetOf(cursor))) {
      this.gap();
      return;
    }
    if (!next) return;
    this.cursor = placeOf(next.offset);
    this.channel.messages([next]);
  }

  gap(): void {
    this.channel.gap();
    this.compare();
  }

  /** What the browser keeps, written as the page does: what has changed, or a portion of it; and how far all of it goes. */
  keep(most = Number.POSITIVE_INFINITY): void {
    this.channel.unsent.look(this.world.time);
    for (const id of this.dirty.take(most)) {
      const entry = this.replica.get(id);
      if (!entry) this.disk.elements.delete(id);
      else
        this.disk.elements.set(id, {
          text: this.replica.textOf(entry),
          isUnsent: this.channel.unsent.has(id),
        });
    }
    if (this.dirty.waiting > 0) return;
    this.disk.offset = this.channel.offset;
    this.disk.foreign = this.channel.foreign;
  }

  restore(): void {
    const unsent: string[] = [];
    for (const [id, { text, isUnsent }] of this.disk.elements) {
      const element = parseElement(text);
      if (!element) throw new Error('what is kept is an element');
      this.replica.put(element, 'channel');
      if (isUnsent) unsent.push(id);
    }
    this.dirty.take();
    this.channel.resume(this.disk.offset, unsent, this.disk.foreign);
  }
}

interface Letter {
  from: string;
  to: string;
  text: string;
}

export class World {
  readonly log = new Log();
  readonly pages = new Map<string, Page>();
  letters: Letter[] = [];
  time = 0;
  isPeaceful = false;
  nonce = 0;
  /** Whether somebody publishes by hand what is no element. */
  hasVandal = false;
  /** Whether pages can reach each other at all. */
  isLinked = true;
  /** Elements that were edited by somebody who could not know that they had been deleted. */
  readonly mayRevive = new Set<string>();

  constructor(
    readonly random: Random,
    names: readonly string[],
  ) {
    for (const name of names) this.open(name, { offset: '0', elements: new Map() });
  }

  open(name: string, disk: Disk): void {
    this.pages.set(name, new Page(name, this, disk));
  }

  /** The page dies without a word; another begins with what the browser has kept. */
  restart(name: string): void {
    this.part(name);
    this.open(name, this.pages.get(name)?.disk ?? { offset: '0', elements: new Map() });
  }

  meet(a: string, b: string): void {
    if (a === b || !this.isLinked) return;
    this.pages.get(a)?.exchange.open(b);
    this.pages.get(b)?.exchange.open(a);
  }

  part(name: string): void {
    for (const page of this.pages.values()) page.exchange.close(name);
    for (const other of this.pages.keys()) this.pages.get(name)?.exchange.close(other);
    this.letters = this.letters.filter(({ from, to }) => from !== name && to !== name);
  }

  send(from: string, to: string, text: string): 'sent' {
    this.letters.push({ from, to, text });
    return 'sent';
  }

  deliver(): void {
    const [letter] = this.letters.splice(below(this.letters.length, this.random), 1);
    if (letter) this.pages.get(letter.to)?.exchange.take(letter.from, letter.text);
  }

  /** Where it stands, or what has won over it. */
  store(draft: Draft): string {
    this.log.publish(draft);
    return this.log.placeOf(draft.key);
  }

  collect(): void {
    // Whoever has something unsent of an element could not know that it was deleted.
    for (const { channel, replica, disk } of this.pages.values()) {
      channel.unsent.look(this.time);
      for (const id of replica.ids()) if (channel.unsent.has(id)) this.mayRevive.add(id);
      for (const [id, { isUnsent }] of disk.elements) if (isUnsent) this.mayRevive.add(id);
    }
    this.log.collect();
  }

  /** They are connected, nothing is refused, and time passes until nothing happens any more. */
  settle(names: readonly string[] = NAMES): void {
    this.isPeaceful = true;
    const pages = [...this.pages.values()].filter(({ name }) => names.includes(name));
    for (const page of pages) page.connect();
    for (const a of names) for (const b of names) if (a < b) this.meet(a, b);
    for (let round = 0; round < 40; round += 1) {
      for (const page of pages) {
        page.turn(() => 1);
        for (let at = 0; at < 60; at += 1) {
          page.requests.shift()?.();
          page.publishOne(this.random);
          page.hearOne();
        }
      }
      while (this.letters.length > 0) this.deliver();
      this.time += 2_500;
    }
    this.isPeaceful = false;
  }

  /** What is not unsent was in the channel, in this version or a newer one. */
  checkHonesty(): void {
    for (const { name, channel, replica } of this.pages.values()) {
      channel.unsent.look(this.time);
      for (const id of replica.ids()) {
        if (channel.unsent.has(id)) continue;
        const { version = '', element } = replica.get(id) ?? {};
        const had = this.log.ever.get(id) ?? '';
        // Where the channel has no element, nothing is to be deleted.
        const isGone = element?.isDeleted && this.hasVandal && !this.log.hasElement(id);
        if (version > had && !isGone)
          throw new Error(`${name} takes ${id} ${version} for saved; the channel had ${had}`);
      }
    }
  }
}

export const NAMES = ['ann', 'bob', 'cay'] as const;
