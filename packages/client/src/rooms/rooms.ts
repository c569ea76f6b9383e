/**
 * The rooms of one client: who is in them by the server's word, and the mesh among their peers. It serves the client, which
 * loads it with the first room.
 * Invariant: a room's peers are those the server has told of since it was entered; after a drop that could not be resumed,
 * everybody has left, and comes again.
 */
import { backoff } from '../backoff.js';
import type { Command } from '../channels/command.js';
import { ClientError, isPassingCode, refusedBy } from '../channels/errors.js';
import type { Outcome, Refusal, WireMessage } from '../channels/heard.js';
import { WireError } from '../check.js';
import { Listeners } from '../listeners.js';
import type { Mesh, MeshHappening, MeshSignalling } from '../mesh.js';
import { FIRST_RETRY, persist, RELAY_ATTEMPTS } from '../persist.js';
import type { RelayOutcome, SignallingHappening } from '../signalling.js';
import type { ConnectionState } from '../state.js';
import type { User } from '../user.js';
import { decodeEvent } from '../wire.js';
import { decodeMesh } from './parcel.js';
import { LiveRoom, type Room, type RoomOptions } from './room.js';

/** What the rooms need of the client. */
export interface RoomsWorld {
  state(): ConnectionState;
  /** The id it was sent under, or `undefined` without a connection. */
  ask(command: Command, answered: (outcome: Outcome) => void): number | undefined;
  /** Follows a channel for a room, and for nobody else. */
  follow(channel: string, take: (messages: WireMessage[]) => void, gap: () => void): Promise<unknown>;
  unfollow(channel: string): void;
  /** Publishes in our name, by the server's word. */
  publish(channel: string, fields: Record<string, string>, maxlen: number): Promise<unknown>;
  /** The answer to `GET /ice`. */
  ice(): Promise<unknown>;
  fault(error: Error): void;
  random(): number;
  Connection: typeof RTCPeerConnection | undefined;
}

/** Messages kept in a room's channel: it is for those who are there, and a short drop. */
const MAXLEN = 1_000;

interface Entry {
  room: LiveRoom;
  channel: string;
  /** Whether the channel is ours, and we hear those who are told of us. */
  isFollowed: boolean;
  /** Whether the server has us in it, as far as we know. */
  isIn: boolean;
  entered: { done: () => void; failed: (error: Error) => void } | undefined;
}

export class Rooms {
  readonly #world: RoomsWorld;
  readonly #all = new Map<string, Entry>();
  /** Rooms that were left, and the server may not know it: a stream that is resumed goes on with them. */
  readonly #left = new Set<string>();
  readonly #listeners = new Listeners<SignallingHappening>();
  #user: User | undefined;
  #mesh: Promise<Mesh> | undefined;
  #reached: Mesh | undefined;
  /** Where the peer's stream stands, see `lastEventId` in `PROTOCOL.md`. */
  position: string | undefined;

  constructor(world: RoomsWorld) {
    this.#world = world;
  }

  async enter(id: string, { channel = `board:${id}:live`, cap = 8 }: RoomOptions): Promise<Room> {
    if (this.#all.has(id)) throw new ClientError('conflict', `${id} was entered already`);
    const room = new LiveRoom(id, cap, {
      me: () => this.#user?.id ?? '',
      publish: (fields) => this.#world.publish(channel, fields, MAXLEN),
      meshSend: (peer, text) => this.#reached?.send(peer, 'updates', text) ?? 'closed',
      link: (peer, offer) => this.#listeners.tell({ type: 'add-peer', peer, roomId: id, offer }),
      unlink: (peer) => this.#listeners.tell({ type: 'remove-peer', peer, roomId: id }),
      leave: () => this.#leave(id),
    });
    const entry: Entry = { room, channel, isFollowed: false, isIn: false, entered: undefined };
    this.#all.set(id, entry);
    this.#left.delete(id);
    try {
      await this.#loadMesh();
      // First, so that nothing of what those say is missed who are told of us.
      const take = (messages: WireMessage[]) => {
        for (const message of messages) room.take(message);
      };
      await this.#world.follow(channel, take, () => room.gap());
      entry.isFollowed = true;
      if (this.#all.get(id) !== entry) throw new ClientError('closed', `${id} was left meanwhile`);
      await new Promise<void>((done, failed) => {
        entry.entered = { done, failed };
        this.#join(id, entry);
      });
    } catch (error) {
      this.#forget(id, entry);
      throw error;
    }
    // What came with the answer is told when whoever awaits this can listen.
    setTimeout(() => room.begin());
    return room;
  }

  /** `resumed`: whether the stream goes on; `undefined` if there was none to go on with. */
  connected(user: User, resumed: boolean | undefined): void {
    this.#user = user;
    // `false` is followed by a gap, which begins anew.
    if (resumed === undefined) this.#beginAnew();
    else if (resumed) {
      for (const id of this.#left) void this.#sayLeft(id);
      this.#joinAll();
    }
  }

  hear(name: string, data: Record<string, unknown>): void {
    const { position } = data;
    const event = decodeEvent(name, data);
    if (event instanceof WireError) {
      if (name !== 'position') this.#world.fault(event);
    } else if (event.event === 'gap') this.#beginAnew();
    else if (event.event === 'replaced') this.end('replaced');
    else if (event.event === 'add-peer') this.#all.get(event.roomId)?.room.add(event.peer, event.offer);
    else if (event.event === 'remove-peer') this.#all.get(event.roomId)?.room.remove(event.peer);
    else if (event.event === 'relayed')
      this.#listeners.tell({ type: 'relayed', name: event.name, peer: event.peer, data: event.data });
    if (typeof position === 'string') this.position = position;
  }

  /** All are left, and nothing more is said. */
  end(reason: string): void {
    this.position = undefined;
    for (const [id, entry] of [...this.#all]) {
      if (reason !== 'replaced') this.#world.ask({ op: 'leave', room: id }, () => undefined);
      this.#forget(id, entry);
      entry.room.end(reason);
      entry.entered?.failed(new ClientError('closed', reason));
    }
    void this.#mesh?.then((mesh) => mesh.close());
    this.#mesh = undefined;
    this.#reached = undefined;
  }

  #beginAnew(): void {
    this.position = undefined;
    this.#left.clear();
    for (const entry of this.#all.values()) {
      entry.isIn = false;
      entry.room.restart();
    }
    if (this.#user) this.#listeners.tell({ type: 'start', user: this.#user });
    this.#joinAll();
  }

  #joinAll(): void {
    for (const [id, entry] of this.#all) this.#join(id, entry);
  }

  #join(id: string, entry: Entry, attempt = 0): void {
    if (!entry.isFollowed || entry.isIn || this.#all.get(id) !== entry) return;
    this.#world.ask({ op: 'join', room: id }, (outcome) => {
      if (this.#all.get(id) !== entry) return;
      if (outcome.ok) {
        entry.isIn = true;
        entry.entered?.done();
        entry.entered = undefined;
      } else if (isPassingCode(outcome.error.code)) {
        const wait = backoff(attempt, FIRST_RETRY, this.#world.random(), outcome.error.retryAfterMs);
        setTimeout(() => this.#join(id, entry, attempt + 1), wait);
      } else this.#refuse(id, entry, outcome.error);
    });
  }

  #refuse(id: string, entry: Entry, refusal: Refusal): void {
    const error = refusedBy(refusal);
    this.#forget(id, entry);
    if (entry.entered) entry.entered.failed(error);
    else {
      this.#world.fault(error);
      entry.room.end(error.message);
    }
  }

  #leave(id: string): Promise<void> {
    const entry = this.#all.get(id);
    if (entry) this.#forget(id, entry);
    this.#left.add(id);
    return this.#sayLeft(id);
  }

  /** What gets no answer is said again on the next connection. */
  async #sayLeft(id: string): Promise<void> {
    try {
      await this.#ask({ op: 'leave', room: id });
      this.#left.delete(id);
    } catch (error) {
      if (!isPassing(error)) this.#left.delete(id);
    }
  }

  #forget(id: string, entry: Entry): void {
    if (this.#all.get(id) === entry) this.#all.delete(id);
    // What it never had is not its to give up: it may be another room's.
    if (entry.isFollowed) this.#world.unfollow(entry.channel);
    entry.isFollowed = false;
  }

  async #loadMesh(): Promise<void> {
    const { Connection } = this.#world;
    if (!Connection) return;
    this.#mesh ??= import('../mesh.js').then(({ Mesh }) => {
      const mesh = new Mesh(this.#signalling(), { Connection, random: () => this.#world.random() });
      mesh.listen((happening) => this.#hearMesh(happening));
      this.#reached = mesh;
      return mesh;
    });
    await this.#mesh;
  }

  #signalling(): MeshSignalling {
    const { state, ice } = this.#world;
    return {
      listen: (listener) => this.#listeners.add(listener),
      relay: (peer, event, data) => this.#relay(peer, event, data),
      ice,
      get state() {
        return state();
      },
    };
  }

  #hearMesh(happening: MeshHappening): void {
    const { id } = happening.peer;
    if (happening.type === 'message') {
      const parcel = decodeMesh(happening.text);
      if (parcel) this.#all.get(parcel.room)?.room.hear(id, parcel);
      else this.#reached?.ignore(id, happening.pipe);
    } else
      for (const { room } of this.#all.values()) {
        if (happening.type === 'open') room.reach(id, true);
        else if (happening.type === 'drain') room.drain(id);
        else if (happening.type === 'link' && happening.state.kind === 'reconnecting') room.reach(id, false);
        else if (happening.type === 'left') room.reach(id, false);
      }
  }

  async #relay(to: string, event: string, data: unknown): Promise<RelayOutcome> {
    try {
      const relay = () => this.#ask({ op: 'relay', to, event, data });
      await persist(relay, { attempts: RELAY_ATTEMPTS, isPassing, random: () => this.#world.random() });
      return 'delivered';
    } catch (error) {
      return isPassing(error) ? 'lost' : 'gone';
    }
  }

  /** Resolves when the server has carried it out. */
  #ask(command: Command): Promise<void> {
    return new Promise((done, failed) => {
      const id = this.#world.ask(command, (outcome) => {
        if (outcome.ok) done();
        else failed(refusedBy(outcome.error));
      });
      if (id === undefined) failed(new ClientError('unavailable', 'there is no connection'));
    });
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof ClientError && isPassingCode(error.code);
}
