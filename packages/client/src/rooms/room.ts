/**
 * A room as an application sees it: who is there, and what they say. It serves the rooms, which know the server and the mesh.
 *
 * To each peer a message goes over the mesh, or, where that does not reach them, through the room's channel; what the mesh was
 * given and may not have carried follows through the channel.
 *
 * Invariant: as long as two peers both stay, each gets what the other sends, in order and once; where the channel has lost
 * something, `gap` says so.
 */
import { ClientError } from '../channels/errors.js';
import { Events } from '../channels/events.js';
import type { WireMessage } from '../channels/heard.js';
import type { User } from '../user.js';
import { type Frame, type Handed, Incoming, Outgoing } from './lane.js';
import {
  type ChannelParcel,
  decodeChannel,
  encodeAcknowledgement,
  encodeChannel,
  encodeFrame,
  type MeshParcel,
} from './parcel.js';

export interface RoomOptions {
  /** The channel for those whom the mesh does not reach: `board:<id>:live` by default. */
  channel?: string;
  /** With more peers than this, 8 by default, everything goes through the channel. */
  cap?: number;
}

/** Somebody else in the room. `route`: the way of what is sent to them. */
export interface RoomPeer extends User {
  readonly route: 'mesh' | 'channel';
}

export type RoomEvents = {
  /** Somebody is there: told of those who came before, too. */
  join: [peer: RoomPeer];
  leave: [peer: RoomPeer];
  /** The way to a peer is another now. */
  route: [peer: RoomPeer];
  message: [peer: RoomPeer, data: unknown];
  /** Something that was sent may have been lost. */
  gap: [];
  error: [error: Error];
  /** The room was left, for good: by `leave`, by `close`, or because another stream has this identity now (`replaced`). */
  end: [reason: string];
};

export interface Room {
  readonly id: string;
  /** The others, by the order in which they were told. */
  readonly peers: readonly RoomPeer[];
  /** Returns the way to stop listening. */
  on<Name extends keyof RoomEvents>(name: Name, listener: (...told: RoomEvents[Name]) => void): () => void;
  /** Sends any JSON to everybody who is there. */
  broadcast(data: unknown): void;
  /** Sends any JSON to one of them. Answers whether they are there. */
  send(peer: string, data: unknown): boolean;
  leave(): Promise<void>;
}

/** What a room needs of the world around it. */
export interface RoomWorld {
  me(): string;
  publish(fields: Record<string, string>): Promise<unknown>;
  meshSend(peer: string, text: string): Handed;
  /** Whether the mesh is to connect us to a peer. */
  link(peer: User, offer: boolean): void;
  unlink(peer: User): void;
  leave(): Promise<void>;
}

interface Companion {
  peer: User;
  /** Whether we are the one who calls. */
  offer: boolean;
  lane: string;
  out: Outgoing;
  /** By lane: theirs to us. */
  ins: Map<string, Incoming>;
  /** It did not keep up with the mesh, and is served by the channel until it shows that it does. */
  isSlow: boolean;
  /** Frames of the last lane that are not acknowledged yet. */
  unsaid: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Characters of JSON: what a message in the channel can hold, whatever the characters are. */
const MAX_DATA = 300_000;
/** Milliseconds, and frames, after which the sender is told what has come. */
const ACKNOWLEDGE_AFTER = 100;
const ACKNOWLEDGE_EVERY = 64;
/** Messages of peers whose coming we have not been told of yet, and milliseconds for which they are kept. */
const MAX_EARLY = 256;
const EARLY = 5_000;
/** Stays and lanes of one peer that are counted: those of the past are forgotten. */
const MAX_LANES = 2;
/** People who are counted: more only if they are here. Whoever may publish to the channel may come under many names. */
const MAX_COUNTED = 1_024;

export class LiveRoom implements Room {
  readonly id: string;
  readonly #world: RoomWorld;
  readonly #cap: number;
  readonly #events = new Events<RoomEvents>();
  readonly #companions = new Map<string, Companion>();
  /** By peer and stay, the last message that came through the channel: nobody counts for another. */
  readonly #seen = new Map<string, Map<string, number>>();
  #early: { parcel: ChannelParcel; at: number }[] = [];
  #stay = newStay();
  #n = 0;
  #lanes = 0;
  #isCrowded = false;
  #isOver = false;
  /** What is to be told once whoever entered can listen. */
  #untold: (() => void)[] | undefined = [];

  constructor(id: string, cap: number, world: RoomWorld) {
    this.id = id;
    this.#cap = cap;
    this.#world = world;
  }

  get peers(): readonly RoomPeer[] {
    return [...this.#companions.values()].map(viewOf);
  }

  on<Name extends keyof RoomEvents>(name: Name, listener: (...told: RoomEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  broadcast(data: unknown): void {
    this.#check(data);
    this.#post([...this.#companions.values()], data, undefined);
  }

  send(peer: string, data: unknown): boolean {
    this.#check(data);
    const companion = this.#companions.get(peer);
    if (companion) this.#post([companion], data, [peer]);
    return companion !== undefined;
  }

  async leave(): Promise<void> {
    if (this.#isOver) return;
    this.end('left');
    await this.#world.leave();
  }

  /** From here on it is told what happens; what has happened already is told first. */
  begin(): void {
    const untold = this.#untold ?? [];
    this.#untold = undefined;
    for (const tell of untold) tell();
  }

  /** We are in the room anew, and nobody is there until it is told. */
  restart(): void {
    for (const companion of [...this.#companions.values()]) this.remove(companion.peer);
    this.#stay = newStay();
    this.#n = 0;
  }

  end(reason: string): void {
    if (this.#isOver) return;
    for (const companion of [...this.#companions.values()]) this.remove(companion.peer);
    this.#isOver = true;
    this.#tell('end', reason);
  }

  add(peer: User, offer: boolean): void {
    if (this.#companions.has(peer.id)) return;
    this.#lanes += 1;
    const lane = `${this.#stay}.${this.#lanes}`;
    const out = new Outgoing();
    const none = { isSlow: false, unsaid: 0, timer: undefined };
    const companion: Companion = { peer, offer, lane, out, ins: new Map(), ...none };
    this.#companions.set(peer.id, companion);
    this.#tell('join', viewOf(companion));
    this.#count();
    if (!this.#isCrowded) this.#world.link(peer, offer);
    const early = this.#early.filter(({ parcel }) => parcel.from === peer.id);
    this.#early = this.#early.filter((one) => !early.includes(one));
    for (const { parcel, at } of early) if (Date.now() - at < EARLY) this.#give(companion, parcel);
  }

  remove(peer: User): void {
    const companion = this.#companions.get(peer.id);
    if (!companion) return;
    this.#companions.delete(peer.id);
    clearTimeout(companion.timer);
    this.#world.unlink(peer);
    companion.out.fail();
    this.#tell('leave', viewOf(companion));
    this.#count();
  }

  /** Whether the mesh reaches a peer. Being told again that it does means that what it had may be lost. */
  reach(id: string, isReached: boolean): void {
    const companion = this.#companions.get(id);
    if (!companion || (!isReached && !companion.out.isOpen)) return;
    companion.isSlow = false;
    this.#change(companion, () => {
      this.#fallBack(companion);
      if (isReached && !this.#isCrowded) companion.out.open();
    });
  }

  /** The mesh takes more for a peer. */
  drain(id: string): void {
    const companion = this.#companions.get(id);
    if (companion) this.#hurry(companion);
  }

  /** What a peer has said over the mesh. */
  hear(id: string, parcel: MeshParcel): void {
    const companion = this.#companions.get(id);
    if (!companion) return;
    if (parcel.kind === 'acknowledged') {
      if (parcel.lane !== companion.lane) return;
      companion.out.acknowledged(parcel.m);
      this.#hurry(companion);
      return;
    }
    const { lane, frame } = parcel;
    const seen = this.#seen.get(id)?.get(stayOf(lane)) ?? 0;
    const due = laneOf(companion, lane).take(frame, seen);
    this.#acknowledge(companion, lane);
    for (const data of due) this.#tell('message', viewOf(companion), data);
  }

  /** What came through the channel. */
  take(message: WireMessage): void {
    const parcel = decodeChannel(message);
    if (!parcel || parcel.stay === this.#stay) return;
    remember(this.#countsOf(parcel.from), parcel.stay, parcel.n, MAX_LANES);
    const companion = this.#companions.get(parcel.from);
    if (companion) this.#give(companion, parcel);
    else if (this.#early.push({ parcel, at: Date.now() }) > MAX_EARLY) this.#early.shift();
  }

  /** The channel has lost something: nobody waits for it. */
  gap(): void {
    this.#tell('gap');
    for (const companion of this.#companions.values())
      for (const [lane, incoming] of companion.ins) {
        this.#countsOf(companion.peer.id).set(stayOf(lane), Number.POSITIVE_INFINITY);
        for (const data of incoming.lose()) this.#tell('message', viewOf(companion), data);
      }
  }

  #countsOf(peer: string): Map<string, number> {
    const counts = this.#seen.get(peer) ?? new Map<string, number>();
    this.#seen.set(peer, counts);
    if (this.#seen.size > MAX_COUNTED)
      for (const other of this.#seen.keys())
        if (!this.#companions.has(other)) {
          this.#seen.delete(other);
          break;
        }
    return counts;
  }

  #give(companion: Companion, { stay, n, to, data, frame }: ChannelParcel): void {
    const isOurs = !to || to.includes(this.#world.me());
    const due: unknown[] = [];
    if (isOurs && frame) due.push(...laneOf(companion, frame.lane).take({ m: frame.m, c: 0, data }, n));
    else if (isOurs) due.push(data);
    for (const [lane, incoming] of companion.ins) if (stayOf(lane) === stay) due.push(...incoming.next(n));
    for (const one of due) this.#tell('message', viewOf(companion), one);
  }

  #post(companions: Companion[], data: unknown, to: string[] | undefined): void {
    const rest = companions.filter((companion) => !this.#overMesh(companion, data));
    if (rest.length === 0) return;
    for (const companion of rest) {
      companion.isSlow ||= companion.out.isOpen;
      this.#change(companion, () => this.#fallBack(companion));
    }
    const some = rest.length < this.#companions.size ? rest.map(({ peer }) => peer.id) : undefined;
    this.#publish(rest, { to: to ?? some, data, frame: undefined });
  }

  /** Whether it has gone, or will go, the way that frames go. */
  #overMesh(companion: Companion, data: unknown): boolean {
    if (!companion.out.push(data)) return false;
    this.#pump(companion);
    return true;
  }

  /** Does what may change the way to a peer, and tells if it did. */
  #change(companion: Companion, act: () => void): void {
    const was = companion.out.isOpen;
    act();
    if (companion.out.isOpen !== was) this.#tell('route', viewOf(companion));
  }

  /** There is room again on the way to a peer. */
  #hurry(companion: Companion): void {
    if (companion.isSlow) this.#change(companion, () => companion.out.open());
    companion.isSlow = false;
    this.#pump(companion);
  }

  #pump(companion: Companion): void {
    const { peer, out, lane } = companion;
    const hand = (frame: Frame) => this.#world.meshSend(peer.id, encodeFrame(this.id, lane, frame));
    if (!out.pump(hand)) this.reach(peer.id, false);
  }

  /** What the mesh may not have carried goes through the channel, before anything else does. */
  #fallBack(companion: Companion): void {
    const { peer, out, lane } = companion;
    for (const { m, data } of out.fail())
      this.#publish([companion], { to: [peer.id], data, frame: { lane, m } });
  }

  #publish(companions: Companion[], parcel: Pick<ChannelParcel, 'to' | 'data' | 'frame'>): void {
    this.#n += 1;
    for (const { out } of companions) out.after = this.#n;
    const fields = encodeChannel({ ...parcel, from: this.#world.me(), stay: this.#stay, n: this.#n });
    this.#world.publish(fields).catch((error: Error) => {
      if (!this.#isOver) this.#tell('error', error);
    });
  }

  #acknowledge(companion: Companion, lane: string): void {
    companion.unsaid += 1;
    const say = () => {
      clearTimeout(companion.timer);
      companion.timer = undefined;
      companion.unsaid = 0;
      const m = companion.ins.get(lane)?.last;
      if (m !== undefined) this.#world.meshSend(companion.peer.id, encodeAcknowledgement(this.id, lane, m));
    };
    if (companion.unsaid >= ACKNOWLEDGE_EVERY) say();
    else companion.timer ??= setTimeout(say, ACKNOWLEDGE_AFTER);
  }

  /** Over the cap nobody is linked; the mesh comes back when a quarter of it is free, lest it come and go with one peer. */
  #count(): void {
    const size = this.#companions.size;
    const isCrowded = this.#isCrowded ? size > (this.#cap * 3) / 4 : size > this.#cap;
    if (isCrowded === this.#isCrowded) return;
    this.#isCrowded = isCrowded;
    for (const { peer, offer } of this.#companions.values()) {
      if (!isCrowded) this.#world.link(peer, offer);
      else {
        this.reach(peer.id, false);
        this.#world.unlink(peer);
      }
    }
  }

  #check(data: unknown): void {
    if (this.#isOver) throw new ClientError('closed', `${this.id} was left`);
    const text = JSON.stringify(data) as string | undefined;
    if (text === undefined) throw new TypeError('this cannot be written as JSON');
    if (text.length > MAX_DATA)
      throw new ClientError('too-large', `more than ${MAX_DATA} characters of JSON`);
  }

  #tell<Name extends keyof RoomEvents>(name: Name, ...told: RoomEvents[Name]): void {
    if (this.#untold) this.#untold.push(() => this.#events.tell(name, ...told));
    else this.#events.tell(name, ...told);
  }
}

function viewOf({ peer, out }: Companion): RoomPeer {
  return { ...peer, route: out.isOpen ? 'mesh' : 'channel' };
}

function stayOf(lane: string): string {
  return lane.split('.', 1)[0] ?? '';
}

function laneOf({ ins }: Companion, lane: string): Incoming {
  const incoming = ins.get(lane) ?? new Incoming();
  remember(ins, lane, incoming, MAX_LANES);
  return incoming;
}

/** The newest few; a value that is set again stays as young as it was. */
function remember<Value>(map: Map<string, Value>, key: string, value: Value, most: number): void {
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > most && oldest !== undefined) map.delete(oldest);
}

function newStay(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join('-');
}
