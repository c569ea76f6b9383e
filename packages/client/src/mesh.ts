/**
 * A data channel to everybody in our rooms. It serves the board, and whoever wants to talk from browser to browser.
 * Invariant: there is one link per peer the server has told us of, and none besides; a resumed event stream touches
 * none of them.
 */
import { decodeIce } from './ice.js';
import { Link, type LinkWorld } from './link.js';
import type { LinkState } from './link-state.js';
import { Listeners } from './listeners.js';
import type { Counters, PipeName, SendOutcome } from './pipe.js';
import type { Signalling, SignallingHappening } from './signalling.js';
import type { Peer } from './wire.js';

/** What a mesh needs of the signalling. */
export type MeshSignalling = Pick<Signalling, 'listen' | 'relay' | 'ice' | 'state'>;

export interface MeshOptions {
  /** The RTCPeerConnection to use, where the world has none of its own. */
  Connection?: typeof RTCPeerConnection;
  random?: () => number;
}

/** One peer, as it is now. */
export interface PeerView {
  peer: Peer;
  state: LinkState;
  counters: Record<PipeName, Counters>;
  /** Signals of this peer that made no sense. */
  ignored: number;
}

export type MeshHappening =
  | { type: 'joined'; peer: Peer }
  | { type: 'left'; peer: Peer }
  | { type: 'link'; peer: Peer; state: LinkState }
  /** The peer can be written to, for the first time or again: whatever was sent before may be lost. */
  | { type: 'open'; peer: Peer }
  /** The peer takes more after a `full`. */
  | { type: 'drain'; peer: Peer }
  | { type: 'message'; peer: Peer; pipe: PipeName; text: string };

interface Member {
  link: Link;
  rooms: Set<string>;
}

/** Milliseconds before their end at which credentials are fetched anew. */
const ICE_MARGIN = 300_000;
/** Milliseconds between two looks at the route of each link, and between two tries at `/ice`. */
const LOOK_EVERY = 10_000;
/** Milliseconds a dial waits for `/ice`: peers of one network need no server. */
const ICE_PATIENCE = 3_000;

export class Mesh {
  readonly #signalling: MeshSignalling;
  readonly #Connection: typeof RTCPeerConnection;
  readonly #random: () => number;
  readonly #listeners = new Listeners<MeshHappening>();
  readonly #members = new Map<string, Member>();
  readonly #deaf: () => void;
  readonly #clock: ReturnType<typeof setInterval>;
  #servers: Promise<RTCIceServer[]> | undefined;
  #renewAt = Number.POSITIVE_INFINITY;

  constructor(signalling: MeshSignalling, options: MeshOptions = {}) {
    this.#signalling = signalling;
    this.#Connection = options.Connection ?? RTCPeerConnection;
    this.#random = options.random ?? Math.random;
    this.#deaf = signalling.listen((happening) => this.#take(happening));
    this.#clock = setInterval(() => this.#tick(), LOOK_EVERY);
  }

  get peers(): PeerView[] {
    return [...this.#members.values()].map(({ link }) => ({
      peer: link.peer,
      state: link.state,
      counters: link.counters,
      ignored: link.ignored,
    }));
  }

  /** Returns the way to stop listening. */
  listen(listener: (happening: MeshHappening) => void): () => void {
    return this.#listeners.add(listener);
  }

  send(peer: string, pipe: PipeName, text: string): SendOutcome {
    return this.#members.get(peer)?.link.send(pipe, text) ?? 'closed';
  }

  /** Counts a message the application could make no sense of. */
  ignore(peer: string, pipe: PipeName): void {
    const member = this.#members.get(peer);
    if (member) member.link.counters[pipe].ignored += 1;
  }

  close(): void {
    clearInterval(this.#clock);
    this.#deaf();
    this.#clear();
  }

  #take(happening: SignallingHappening): void {
    switch (happening.type) {
      case 'start':
        this.#clear();
        this.#fetchServers();
        break;
      case 'add-peer':
        this.#add(happening.peer, happening.roomId, happening.offer ? 'offers' : 'answers');
        break;
      case 'remove-peer':
        this.#remove(happening.peer.id, happening.roomId);
        break;
      case 'relayed':
        this.#members.get(happening.peer.id)?.link.take(happening.name, happening.data);
        break;
      case 'state':
        if (happening.state.kind === 'stopped') this.#clear();
        break;
      case 'fault':
        break;
    }
  }

  #add(peer: Peer, room: string, role: 'offers' | 'answers'): void {
    const known = this.#members.get(peer.id);
    if (known) {
      known.rooms.add(room);
      return;
    }
    const link = new Link(peer, role, this.#world(peer));
    this.#members.set(peer.id, { link, rooms: new Set([room]) });
    this.#listeners.tell({ type: 'joined', peer });
  }

  #world(peer: Peer): LinkWorld {
    return {
      Connection: this.#Connection,
      iceServers: () => this.#iceServers(),
      relay: (event, data) => this.#signalling.relay(peer.id, event, data),
      random: this.#random,
      onState: () => {
        const member = this.#members.get(peer.id);
        if (member) this.#listeners.tell({ type: 'link', peer, state: member.link.state });
      },
      onOpen: () => this.#listeners.tell({ type: 'open', peer }),
      onDrain: () => this.#listeners.tell({ type: 'drain', peer }),
      onMessage: (pipe, text) => this.#listeners.tell({ type: 'message', peer, pipe, text }),
    };
  }

  #remove(id: string, room: string): void {
    const member = this.#members.get(id);
    if (!member) return;
    member.rooms.delete(room);
    if (member.rooms.size === 0) this.#drop(id, member);
  }

  #drop(id: string, { link }: Member): void {
    this.#members.delete(id);
    link.close();
    this.#listeners.tell({ type: 'left', peer: link.peer });
  }

  #clear(): void {
    for (const [id, member] of [...this.#members]) this.#drop(id, member);
  }

  async #iceServers(): Promise<RTCIceServer[]> {
    const late = new Promise<RTCIceServer[]>((resolve) => setTimeout(() => resolve([]), ICE_PATIENCE));
    return Promise.race([this.#servers ?? this.#fetchServers(), late]);
  }

  #fetchServers(): Promise<RTCIceServer[]> {
    this.#renewAt = Number.POSITIVE_INFINITY;
    this.#servers = this.#signalling.ice().then(
      (body) => this.#takeServers(body),
      () => {
        // Tried again at the next tick; meanwhile a dial goes without.
        this.#renewAt = 0;
        return [];
      },
    );
    return this.#servers;
  }

  #takeServers(body: unknown): RTCIceServer[] {
    const { servers, expires } = decodeIce(body);
    // Credentials that last shorter than the margin are fetched at every tick, and not more often.
    if (expires !== undefined) this.#renewAt = expires - ICE_MARGIN;
    for (const { link } of this.#members.values()) link.setIceServers(servers);
    return servers;
  }

  #tick(): void {
    if (Date.now() >= this.#renewAt && this.#signalling.state.kind === 'live') void this.#fetchServers();
    for (const { link } of this.#members.values()) void link.look();
  }
}
