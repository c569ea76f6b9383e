/**
 * A replica kept level with the room's channel. It serves the live board, and knows neither browser nor network: it is told
 * what has come, and says what to do.
 * Invariant: everything in the channel up to `offset` is in the replica, or noted as foreign; and what the replica has besides
 * is unsent. So a copy of replica, foreign, offset and unsent, made at one moment, is a place to go on from.
 *
 * With every connection it reads what follows its offset, page by page, up to the head: then it is level. Only then
 * does it publish, and only then is its board fit to be compared with a peer's: before that, it may show what was deleted
 * long ago.
 *
 * Where the log cannot reach back (`gap`), it is read anew from its beginning, and what is in neither the log nor unsent
 * goes from the board. One case is told apart. A log that ends before the gap has lost its tail; one that has no message from
 * before the gap, and taught us nothing, was wiped. Then the board is not what is wrong, and it is published again.
 */
import { isAfter } from 'inkwire';
import { Budget } from './budget.js';
import { Foreign } from './foreign.js';
import { type BoardMessage, type Draft, decodeMessage, keyedOf, toDraft } from './message.js';
import type { Entry, Replica } from './replica.js';
import { type Outcome, Unsent } from './unsent.js';
import { beats } from './version.js';

export interface ChannelWorld {
  /** Milliseconds, never going back. */
  now(): number;
  random(): number;
  /** The answer comes as `answered`, and it may take a connection or two. */
  publish(draft: Draft): void;
  /** The answer comes as `page`, with the ticket. */
  read(after: string, ticket: number): void;
  /** What follows this offset is to come as `messages` or `gap`, through drops of the connection, until `unfollow`. */
  follow(after: string): void;
  unfollow(): void;
  /** A message that is none of a board's. */
  onNonsense(): void;
  /** Whether the channel holds this element is answered otherwise than before. */
  onTurned(id: string): void;
}

export interface Page {
  messages: readonly BoardMessage[];
  head: string;
  gap: boolean;
}

export interface Flushed {
  sent: readonly Draft[];
  /** Whether to come back soon: more may be due, and could not be sent yet. */
  isMore: boolean;
}

/** `reading`: connected, and not yet sure to have all there is. */
export type Standing = 'away' | 'reading' | 'level';

/** The log, read from its beginning because it could not reach back to `cursor`. */
interface Anew {
  cursor: string;
  /** What it holds. */
  seen: Set<string>;
  /** Whether it has a message from before the gap, or one that was new to us. */
  isKnown: boolean;
  /** Whether it ends before the gap: it has lost its tail. */
  isShort: boolean;
}

/** The offset of a board that has read nothing. */
export const BEGINNING = '0';
const UNUSED = '0-0';
/** Publishes on their way at once. */
const WINDOW = 200;

export class BoardChannel {
  readonly #replica: Replica;
  readonly #world: ChannelWorld;
  readonly #budget = new Budget();
  readonly #foreign = new Foreign();
  readonly unsent: Unsent;
  #standing: Standing = 'away';
  #isFollowing = false;
  #wasLevel = false;
  #cursor = BEGINNING;
  #anew: Anew | undefined;
  /** The pages are those of the whole log: a later one that cannot prove to continue an earlier one hides nothing. */
  #isWhole = false;
  #ticket = 0;

  constructor(replica: Replica, world: ChannelWorld) {
    this.#replica = replica;
    this.#world = world;
    this.unsent = new Unsent(
      replica,
      this.#foreign,
      () => world.random(),
      (id) => world.onTurned(id),
    );
  }

  get standing(): Standing {
    return this.#standing;
  }

  /** Whether the board may hold what is no more, because its log is read anew. */
  get isDoubtful(): boolean {
    return this.#anew !== undefined;
  }

  /** How far the replica goes. While the log is read anew, what was so before. */
  get offset(): string {
    return this.#anew?.cursor ?? this.#cursor;
  }

  /** The keys that hold no element, as far as `offset`. */
  get foreign(): Foreign['all'] {
    return this.#foreign.all;
  }

  /** Goes on from a copy: what it held is in the replica already. */
  resume(offset: string, unsent: Iterable<string>, foreign: Foreign['all'] = []): void {
    this.#cursor = offset;
    for (const [key, version] of foreign) this.#foreign.note(key, version, offset);
    for (const id of unsent) this.unsent.add(id, this.#world.now());
    // Of a copy that was never whole, only the log says what has been deleted since.
    const isHalf = offset === BEGINNING && [...this.#replica.ids()].some((id) => !this.unsent.has(id));
    if (isHalf) this.#anew = { cursor: offset, seen: new Set(), isKnown: true, isShort: false };
  }

  connected(): void {
    this.#standing = 'reading';
    if (this.#anew) this.#begin();
    else this.#readFrom(this.#cursor);
  }

  lost(): void {
    this.#standing = 'away';
    this.#ticket += 1;
  }

  /** The line has ended for good: whoever follows next begins anew. */
  ended(): void {
    this.#isFollowing = false;
    this.lost();
  }

  page(ticket: number, { messages, head, gap }: Page): void {
    if (ticket !== this.#ticket || this.#standing !== 'reading') return;
    if (gap && !this.#isWhole) {
      this.#begin();
      return;
    }
    if (this.#anew && isAfter(this.#anew.cursor, head)) this.#anew.isShort = true;
    const last = messages.at(-1)?.offset;
    // Not "until a page is empty": others may write for ever.
    const isLast = last === undefined || last === head;
    this.#cursor = later(last ?? head, this.#cursor);
    // The next page is on its way while this one is taken.
    if (!isLast) this.#read();
    for (const message of messages) this.#take(message);
    this.unsent.read(this.#cursor);
    if (isLast) this.#level(head);
  }

  messages(messages: readonly BoardMessage[]): void {
    for (const message of messages) {
      this.#take(message);
      // Read anew, the log is taken from the pages: what is followed began elsewhere.
      if (!this.#anew) this.#cursor = later(message.offset, this.#cursor);
    }
    this.unsent.read(this.#cursor);
  }

  /** What is followed cannot go on where it stood. */
  gap(): void {
    if (this.#isFollowing) this.#world.unfollow();
    this.#isFollowing = false;
    if (this.#standing === 'away' || this.#anew) return;
    this.#standing = 'reading';
    this.#begin();
  }

  answered(id: string, version: string, outcome: Outcome): void {
    this.unsent.look(this.#world.now());
    this.unsent.answered(id, version, outcome, this.#world.now());
    this.unsent.read(this.#cursor);
  }

  /** Publishes what is due. `isHeld`: a hand is on it. */
  flush(isHeld: (entry: Entry) => boolean): Flushed {
    const now = this.#world.now();
    this.unsent.look(now);
    this.unsent.adopt(now);
    if (this.#standing !== 'level') return { sent: [], isMore: false };
    const free = WINDOW - this.unsent.sending;
    const most = this.#budget.take(free, now);
    const entries = this.unsent.take(most, now, isHeld);
    this.#budget.give(most - entries.length);
    const sent = entries.map((entry) => toDraft(entry, this.#replica.textOf(entry)));
    for (const draft of sent) this.#world.publish(draft);
    return { sent, isMore: most < free && entries.length === most };
  }

  #readFrom(place: string): void {
    this.#cursor = place;
    this.#isWhole = place === BEGINNING;
    this.#read();
  }

  #read(): void {
    this.#ticket += 1;
    this.#world.read(this.#cursor, this.#ticket);
  }

  #begin(): void {
    // A copy may stem from just such a reading that was broken off: then nothing it is taught is new to it.
    const { isKnown = !this.#wasLevel, isShort = false } = this.#anew ?? {};
    this.#anew = { cursor: this.offset, seen: new Set(), isKnown, isShort };
    this.#foreign.clear();
    this.unsent.forgetAnswers();
    this.#readFrom(BEGINNING);
  }

  #take(message: BoardMessage): void {
    const element = decodeMessage(message);
    this.unsent.look(this.#world.now());
    if (!element) {
      this.#takeForeign(message);
      return;
    }
    const { id } = element;
    // Pages and what is followed may overtake each other: this was so, and is no more.
    if (this.#foreign.isNewerThan(message.offset, id)) return;
    const version = String(message['@version']);
    this.#foreign.forget(id);
    const outcome = this.#replica.put(element, 'channel');
    this.unsent.told(id, version);
    // It had something newer: a deletion that it has forgotten since, or a tail that it has lost.
    if (beats(this.#replica.get(id)?.version ?? '', version)) this.unsent.doubt(id, this.#world.now());
    if (!this.#anew) return;
    this.#anew.seen.add(id);
    this.#anew.isKnown ||= outcome === 'taken' || !isAfter(message.offset, this.#anew.cursor);
  }

  /** No element. If there is one of ours under its key, the channel has it no more. */
  #takeForeign(message: BoardMessage): void {
    this.#world.onNonsense();
    const keyed = keyedOf(message);
    if (!keyed) return;
    const { key, version } = keyed;
    if (this.#foreign.isNewerThan(message.offset, key)) return;
    this.#foreign.note(key, version, message.offset);
    if (this.#anew) {
      this.#anew.seen.add(key);
      this.#anew.isKnown ||= !isAfter(message.offset, this.#anew.cursor);
    }
    const held = this.#replica.get(key);
    if (!held || held.element.isDeleted || !this.#foreign.blocks(key, held.version)) return;
    this.unsent.lost(key, this.#world.now());
  }

  #level(head: string): void {
    if (this.#anew) this.#settleAnew(this.#anew, head);
    this.#anew = undefined;
    // The newest message may have been a tombstone, and be gone: what was before it could not be continued.
    this.#cursor = later(head, this.#cursor);
    this.unsent.read(this.#cursor);
    // Places beyond the head are of a log that is no more, or are there by now: asked again, the channel says which.
    this.unsent.forgetAnswers();
    this.#standing = 'level';
    this.#wasLevel = true;
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    this.#world.follow(this.#cursor);
  }

  #settleAnew({ seen, isKnown, isShort }: Anew, head: string): void {
    const now = this.#world.now();
    this.unsent.look(now);
    const hasLost = isShort || (!isKnown && (seen.size > 0 || head === UNUSED));
    for (const id of [...this.#replica.ids()]) {
      if (seen.has(id) || this.unsent.has(id)) continue;
      if (hasLost) this.unsent.add(id, now);
      else this.#replica.forget(id);
    }
  }
}

const later = (a: string, b: string) => (isAfter(a, b) ? a : b);
