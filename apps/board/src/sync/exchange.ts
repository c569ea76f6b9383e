/**
 * A replica kept level with those of the peers. It serves the board's session, and knows neither browser nor network: it
 * is told what has come, and says what to send.
 * Invariant: two peers that hear each other for long enough hold the same, whatever each did before they met.
 *
 * On meeting, each asks the other what it lacks, by naming the versions it has. One peer is asked at a time: so a
 * newcomer to a full room fetches the board once, and from the others only what the first did not have.
 *
 * Nobody is met before our board is known to be level with the room's channel: it may hold what was deleted long ago, and
 * would bring it back.
 *
 * After that each sends what is made at its own place, to everybody. That is not enough where two of a room cannot reach
 * each other, or one leaves while another arrives: so a board that has come to rest names its digest, and whoever holds
 * something else asks again. At rest nothing is said.
 */
import type { BoardElement } from './element.js';
import { type Beginning, beginningOf, cutEnd, joinEnd } from './grow.js';
import type { Entry, Follower, Replica } from './replica.js';
import { decodeWord, type Word } from './words.js';

export type Sent = 'sent' | 'full' | 'closed' | 'too-large';

export interface ExchangeWorld {
  send(peer: string, text: string): Sent;
  /** Milliseconds, never going back. */
  now(): number;
  /** Whether a peer may change the board: what others say has changed is not to be believed. */
  mayEdit(peer: string): boolean;
  /** A peer has said what it is called. */
  onName(peer: string, name: string): void;
  /** Something a peer sent made no sense. */
  onNonsense(peer: string): void;
}

/** Characters of one message, about: large enough to be worth it, small enough that what follows need not wait long. */
const BATCH = 64 * 1024;
/** Milliseconds after which a peer that was asked and says nothing is passed over. */
const PATIENCE = 5_000;

/** Milliseconds without a change after which a board is at rest. */
const REST = 2_000;

interface Peer {
  follower: Follower;
  /** Strokes under our hand, as far as this peer was sent them whole. */
  begun: Map<string, Beginning>;
  /** It has asked, and is told `level` once nothing waits for it; so many elements are the answer. */
  owed: number | undefined;
  /** What we asked it for: how many elements came since, and how many are to come, once it says so. */
  answer: { got: number; of: number };
  /** Words that could not be sent yet, in front of the elements. At most one of each kind. */
  words: Map<'hello' | 'have' | 'still', string>;
}

export class Exchange {
  readonly #replica: Replica;
  readonly #world: ExchangeWorld;
  readonly #peers = new Map<string, Peer>();
  /** Peers that can be written to, and were not met yet. */
  readonly #unmet = new Set<string>();
  #mayMeet = false;
  #name: string;
  /** Who is still to be asked; the first of them is being asked since `#askedAt`. */
  #toAsk: string[] = [];
  #askedAt: number | undefined;
  /** The digest at the last look, since when it has been that, and whether it was told. */
  #rest = { digest: '', since: 0, told: true };

  constructor(replica: Replica, name: string, world: ExchangeWorld) {
    this.#replica = replica;
    this.#world = world;
    this.#name = name;
  }

  /** Whether every peer that was met has told us all it has. */
  get level(): boolean {
    return this.#toAsk.length === 0 && this.#unmet.size === 0;
  }

  /** Our board is level with the channel, or may not be: whoever comes now is met, or waits. */
  setLevel(isLevel: boolean): void {
    this.#mayMeet = isLevel;
    if (isLevel) for (const id of [...this.#unmet]) this.open(id);
  }

  /** Our board may hold what is no more: everybody is met anew, once it is level. */
  part(): void {
    this.#mayMeet = false;
    for (const id of [...this.#peers.keys()]) this.open(id);
  }

  /** A peer can be written to, for the first time or again. */
  open(id: string): void {
    this.close(id);
    if (!this.#mayMeet) {
      this.#unmet.add(id);
      return;
    }
    const peer: Peer = {
      follower: this.#replica.follow('here'),
      begun: new Map(),
      owed: undefined,
      answer: noAnswer(),
      words: new Map(),
    };
    this.#peers.set(id, peer);
    peer.words.set('hello', JSON.stringify({ t: 'hello', name: this.#name }));
    if (this.#world.mayEdit(id)) this.#toAsk.push(id);
    this.#ask();
    this.flush();
  }

  close(id: string): void {
    this.#peers.get(id)?.follower.end();
    this.#peers.delete(id);
    this.#unmet.delete(id);
    this.#answered(id);
  }

  rename(name: string): void {
    this.#name = name;
    for (const peer of this.#peers.values()) {
      peer.words.set('hello', JSON.stringify({ t: 'hello', name }));
    }
    this.flush();
  }

  take(id: string, text: string): void {
    const peer = this.#peers.get(id);
    if (!peer) return;
    const word = decodeWord(text);
    const isChange = word?.t === 'put' || word?.t === 'grow';
    if (!word || (isChange && !this.#world.mayEdit(id))) this.#world.onNonsense(id);
    else this.#takeWord(id, peer, word);
  }

  /** Sends what waits, as far as each peer takes it. To be called after changes, at the pace they are to be seen. */
  flush(): void {
    if (this.#askedAt !== undefined && this.#world.now() - this.#askedAt > PATIENCE) {
      this.#answered(this.#toAsk[0] ?? '');
    }
    this.#noticeRest();
    for (const [id, peer] of this.#peers) this.#flushPeer(id, peer);
  }

  #takeWord(id: string, peer: Peer, word: Word): void {
    switch (word.t) {
      case 'hello':
        this.#world.onName(id, word.name);
        break;
      case 'have':
        for (const lacking of this.#replica.newerThan(word.versions)) peer.follower.mark(lacking);
        peer.owed = peer.follower.waiting;
        this.#flushPeer(id, peer);
        break;
      case 'put':
        for (const element of word.elements) {
          if (this.#replica.put(element, 'peer') === 'full') this.#world.onNonsense(id);
        }
        if (word.refused > 0) this.#world.onNonsense(id);
        peer.answer.got += word.elements.length + word.refused;
        this.#weighAnswer(id, peer);
        break;
      case 'grow': {
        const held = this.#replica.get(word.id)?.element;
        const element = held && joinEnd(held, word.from, word.sum, word.end);
        // The beginning may still be on its way; the whole stroke follows in any case.
        if (element) this.#replica.put(element, 'peer');
        peer.answer.got += 1;
        this.#weighAnswer(id, peer);
        break;
      }
      case 'level':
        peer.answer.of = word.sent;
        this.#weighAnswer(id, peer);
        break;
      case 'still':
        if (word.digest === this.#replica.digest || this.#toAsk.includes(id) || !this.#world.mayEdit(id))
          break;
        this.#toAsk.push(id);
        this.#ask();
        this.#flushPeer(id, peer);
        break;
    }
  }

  #noticeRest(): void {
    const { digest } = this.#replica;
    const now = this.#world.now();
    if (digest !== this.#rest.digest) this.#rest = { digest, since: now, told: false };
    if (this.#rest.told || now - this.#rest.since < REST) return;
    this.#rest.told = true;
    for (const peer of this.#peers.values()) peer.words.set('still', JSON.stringify({ t: 'still', digest }));
  }

  /** Only the one that is being asked answers; and `level` may have overtaken the elements it speaks of. */
  #weighAnswer(id: string, peer: Peer): void {
    if (this.#toAsk[0] === id && peer.answer.got >= peer.answer.of) this.#answered(id);
  }

  #ask(): void {
    const id = this.#toAsk[0];
    const peer = id === undefined ? undefined : this.#peers.get(id);
    if (!peer || this.#askedAt !== undefined) return;
    this.#askedAt = this.#world.now();
    peer.answer = noAnswer();
    peer.words.set('have', JSON.stringify({ t: 'have', versions: this.#replica.versions() }));
  }

  #answered(id: string): void {
    const asked = this.#toAsk[0] === id;
    this.#toAsk = this.#toAsk.filter((waiting) => waiting !== id);
    if (!asked) return;
    this.#askedAt = undefined;
    this.#ask();
    const next = this.#peers.get(this.#toAsk[0] ?? '');
    if (next) this.#flushPeer(this.#toAsk[0] ?? '', next);
  }

  #flushPeer(id: string, peer: Peer): void {
    if (!this.#flushWords(id, peer) || !this.#flushElements(id, peer) || peer.owed === undefined) return;
    if (this.#world.send(id, JSON.stringify({ t: 'level', sent: peer.owed })) === 'sent')
      peer.owed = undefined;
  }

  #flushWords(id: string, peer: Peer): boolean {
    for (const [kind, text] of peer.words) {
      const outcome = this.#world.send(id, text);
      if (outcome === 'full' || outcome === 'closed') return false;
      peer.words.delete(kind);
    }
    return true;
  }

  #flushElements(id: string, peer: Peer): boolean {
    while (peer.follower.waiting > 0) {
      const { entries, text } = this.#nextBatch(peer);
      const outcome = this.#world.send(id, text);
      if (outcome === 'full' || outcome === 'closed') return false;
      for (const { element } of entries) {
        // An element too large for the mesh would block all others for ever.
        peer.follower.unmark(element.id);
        if (text.startsWith(PUT)) noteBeginning(peer, element);
      }
    }
    return true;
  }

  /** The oldest of what waits for a peer: the end of one stroke, or as many whole elements as go well together. */
  #nextBatch(peer: Peer): { entries: Entry[]; text: string } {
    const entries: Entry[] = [];
    const texts: string[] = [];
    let length = 0;
    for (const entry of peer.follower.peek()) {
      const begun = peer.begun.get(entry.element.id);
      const end = begun && cutEnd(entry.element, begun);
      if (end !== undefined && entries.length === 0) return { entries: [entry], text: end };
      if (end !== undefined) break;
      const text = this.#replica.textOf(entry);
      if (entries.length > 0 && length + text.length > BATCH) break;
      entries.push(entry);
      texts.push(text);
      length += text.length;
    }
    return { entries, text: `${PUT}${texts.join(',')}]}` };
  }
}

const noAnswer = () => ({ got: 0, of: Number.POSITIVE_INFINITY });

const PUT = '{"t":"put","elements":[';

function noteBeginning(peer: Peer, element: BoardElement): void {
  const beginning = beginningOf(element);
  if (beginning) peer.begun.set(element.id, beginning);
  else peer.begun.delete(element.id);
}
