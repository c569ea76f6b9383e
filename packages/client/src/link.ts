/**
 * The connection to one peer, from the first dial to the last: an RTCPeerConnection, replaced as often as it takes. It
 * serves the mesh.
 * Invariant: of two peers exactly one yields when both offer at once (the one that answered at the join), so every
 * collision ends in one connection.
 */
import { backoff } from './backoff.js';
import { type LinkHappening, type LinkState, nextLink, routeOf } from './link-state.js';
import { type Counters, noCounters, PIPES, Pipe, type PipeName, type SendOutcome } from './pipe.js';
import { type Description, decodeCandidate, decodeDescription, fingerprint, iceRound } from './sdp.js';
import type { Peer } from './wire.js';

/** What a link needs of the world around it. */
export interface LinkWorld {
  Connection: typeof RTCPeerConnection;
  iceServers(): Promise<RTCIceServer[]>;
  relay(event: string, data: unknown): Promise<unknown>;
  random(): number;
  onState(): void;
  onOpen(): void;
  onDrain(): void;
  onMessage(pipe: PipeName, text: string): void;
}

/** Who dials at the join. The one that offers also insists when both offer at once. */
export type Role = 'offers' | 'answers';

/** Milliseconds. `disconnected` often heals by itself within a second or two. */
const RESTART_AFTER = 4_000;
/** Milliseconds more for the side that answers, so that the two do not restart at the same moment. */
const YIELD = 3_000;
/** Milliseconds from dial to open. ICE itself gives up after about fifteen seconds. */
const DIAL_TIMEOUT = 20_000;
/** Milliseconds, doubled per attempt. */
const REDIAL_BASE = 1_000;
/** Milliseconds. A data channel that closes is most often a page that closes, and the server is about to say so. */
const FAREWELL = 2_000;
/** Candidates that wait for their description; a browser has a few dozen at most. */
const MAX_CANDIDATES = 64;
/** Descriptions and candidates that wait to be worked on; more than that is no negotiation, and is dropped. */
const MAX_TASKS = 256;

export class Link {
  readonly counters: Record<PipeName, Counters> = { updates: noCounters(), cursors: noCounters() };
  /** Signals of this peer that made no sense. */
  ignored = 0;

  readonly #peer: Peer;
  readonly #role: Role;
  readonly #world: LinkWorld;
  #state: LinkState = { kind: 'connecting' };
  #connection: RTCPeerConnection | undefined;
  #pipes = new Map<PipeName, Pipe>();
  #candidates: RTCIceCandidateInit[] = [];
  #tasks: Promise<void> = Promise.resolve();
  #waiting = 0;
  #dials = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(peer: Peer, role: Role, world: LinkWorld) {
    this.#peer = peer;
    this.#role = role;
    this.#world = world;
    if (role === 'offers') this.#queue(() => this.#dial());
    // The offer may have been lost with its sender's last node: then the one that should answer dials.
    else this.#after(DIAL_TIMEOUT + YIELD, () => this.#redial());
  }

  get peer(): Peer {
    return this.#peer;
  }

  get state(): LinkState {
    return this.#state;
  }

  send(name: PipeName, message: string): SendOutcome {
    return this.#pipes.get(name)?.send(message) ?? 'closed';
  }

  /** A relayed event of this peer; unknown ones are none of ours and pass by. */
  take(event: string, data: unknown): void {
    if (event === 'session-description') {
      const description = decodeDescription(data);
      if (description) this.#queue(() => this.#takeDescription(description));
      else this.ignored += 1;
    } else if (event === 'ice-candidate') {
      const candidate = decodeCandidate(data);
      if (candidate) this.#queue(() => this.#takeCandidate(candidate));
      else this.ignored += 1;
    }
  }

  setIceServers(iceServers: RTCIceServer[]): void {
    try {
      this.#connection?.setConfiguration({ iceServers });
    } catch {
      // A server the browser does not like; the connection stays as it is.
      this.ignored += 1;
    }
  }

  /** Asks the browser which way the bytes take, and tells it where it has changed. */
  async look(): Promise<void> {
    const connection = this.#connection;
    if (!connection || this.#state.kind !== 'connected') return;
    const report = await connection.getStats().catch(() => undefined);
    if (report && connection === this.#connection) {
      this.#move({ type: 'route', route: routeOf(report as unknown as Iterable<[string, unknown]>) });
    }
  }

  close(): void {
    this.#move({ type: 'closed' });
    clearTimeout(this.#timer);
    this.#hangUp();
  }

  /** The one place where the state changes. */
  #move(happening: LinkHappening): void {
    const state = nextLink(this.#state, happening);
    if (state === this.#state) return;
    this.#state = state;
    this.#world.onState();
  }

  /** One negotiation step at a time: descriptions must not overtake each other while the browser works on one. */
  #queue(task: () => Promise<void>): void {
    if (this.#waiting >= MAX_TASKS) {
      this.ignored += 1;
      return;
    }
    this.#waiting += 1;
    this.#tasks = this.#tasks.then(async () => {
      this.#waiting -= 1;
      if (this.#state.kind === 'closed') return;
      try {
        await task();
      } catch {
        // Nonsense of the peer's, or an answer to an offer that is gone: the dial timeout mends what it must.
        this.ignored += 1;
      }
    });
  }

  #after(wait: number, then: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, wait);
  }

  async #dial(): Promise<void> {
    const connection = await this.#connect();
    for (const name of Object.keys(PIPES) as PipeName[]) {
      this.#adopt(name, connection.createDataChannel(name, PIPES[name]));
    }
    await this.#offer(connection);
  }

  #redial(): void {
    this.#dials += 1;
    this.#queue(() => this.#dial());
  }

  /** Plans the next dial. The side that answers leaves the other one time to come first. */
  #planRedial(least: number): void {
    const yielding = this.#role === 'answers' ? DIAL_TIMEOUT / 2 : 0;
    const wait = least + yielding + backoff(this.#dials, REDIAL_BASE, this.#world.random());
    this.#after(wait, () => this.#redial());
  }

  /** A new RTCPeerConnection in place of the old one. */
  async #connect(): Promise<RTCPeerConnection> {
    const iceServers = await this.#world.iceServers();
    this.#hangUp();
    const connection = new this.#world.Connection({ iceServers });
    this.#connection = connection;
    connection.onicecandidate = ({ candidate }) => {
      if (candidate) void this.#world.relay('ice-candidate', candidate.toJSON());
    };
    connection.onconnectionstatechange = () => this.#onConnectionState(connection);
    connection.ondatachannel = ({ channel }) => {
      if (channel.label in PIPES && !this.#pipes.has(channel.label as PipeName)) {
        this.#adopt(channel.label as PipeName, channel);
      } else this.ignored += 1;
    };
    this.#after(DIAL_TIMEOUT, () => this.#redial());
    return connection;
  }

  #hangUp(): void {
    for (const pipe of this.#pipes.values()) pipe.drop();
    this.#pipes = new Map();
    const connection = this.#connection;
    this.#connection = undefined;
    if (!connection) return;
    connection.onicecandidate = null;
    connection.onconnectionstatechange = null;
    connection.ondatachannel = null;
    connection.close();
  }

  #adopt(name: PipeName, channel: RTCDataChannel): void {
    const pipe = new Pipe(name, channel, this.counters[name], {
      onOpen: () => this.#onPipeOpen(name),
      onClose: () => this.#onPipeClose(name),
      onDrain: () => this.#world.onDrain(),
      onMessage: (text) => this.#world.onMessage(name, text),
    });
    this.#pipes.set(name, pipe);
  }

  #onPipeOpen(name: PipeName): void {
    if (name !== 'updates') return;
    this.#settle();
    this.#world.onOpen();
  }

  #settle(): void {
    this.#dials = 0;
    clearTimeout(this.#timer);
    this.#move({ type: 'open' });
    void this.look();
  }

  #onPipeClose(name: PipeName): void {
    if (name !== 'updates') return;
    this.#move({ type: 'interrupted' });
    this.#planRedial(FAREWELL);
  }

  #onConnectionState(connection: RTCPeerConnection): void {
    if (connection !== this.#connection) return;
    switch (connection.connectionState) {
      case 'connected':
        // Not only once `updates` is open: a client of another make may bring channels of its own, and is not redialled.
        this.#settle();
        return;
      case 'disconnected':
        this.#move({ type: 'interrupted' });
        this.#after(RESTART_AFTER + (this.#role === 'answers' ? YIELD : 0), () => this.#restart(connection));
        return;
      case 'failed':
        this.#move({ type: 'interrupted' });
        this.#planRedial(0);
        return;
    }
  }

  /** Looks for another way between the same two ends; the data channels and what they hold survive it. */
  #restart(connection: RTCPeerConnection): void {
    this.#after(DIAL_TIMEOUT, () => this.#redial());
    this.#queue(async () => {
      if (connection !== this.#connection || connection.signalingState !== 'stable') return;
      connection.restartIce();
      await this.#offer(connection);
    });
  }

  async #offer(connection: RTCPeerConnection): Promise<void> {
    await connection.setLocalDescription(await connection.createOffer());
    await this.#speak(connection);
  }

  async #speak(connection: RTCPeerConnection): Promise<void> {
    const { localDescription } = connection;
    if (!localDescription || connection !== this.#connection) return;
    await this.#world.relay('session-description', localDescription.toJSON());
  }

  async #takeDescription(description: Description): Promise<void> {
    const connection = this.#connection;
    if (description.type === 'answer') {
      if (connection?.signalingState !== 'have-local-offer') this.ignored += 1;
      else {
        await connection.setRemoteDescription(description);
        await this.#takeWaiting(connection);
        this.#noticeHealth(connection);
      }
      return;
    }
    const collision = connection !== undefined && connection.signalingState !== 'stable';
    const known = connection?.remoteDescription;
    // Another certificate: the peer has dialled from scratch, and what we have is connected to nobody.
    const redialled = known
      ? fingerprint(known.sdp) !== fingerprint(description.sdp)
      : connection !== undefined;
    // Insisting is for collisions within one dial; a peer that dialled anew would never hear our old offer.
    if (collision && this.#role === 'offers' && !(known && redialled)) return;
    await this.#answer(!connection || redialled ? await this.#connect() : connection, description);
  }

  async #answer(connection: RTCPeerConnection, offer: Description): Promise<void> {
    // Rolls an offer of ours back where there is one.
    await connection.setRemoteDescription(offer);
    await this.#takeWaiting(connection);
    await connection.setLocalDescription(await connection.createAnswer());
    await this.#speak(connection);
    this.#noticeHealth(connection);
  }

  /** A connection that was well all along, or is again, has nothing more to tell: it must not be dialled anew. */
  #noticeHealth(connection: RTCPeerConnection): void {
    const open = this.#pipes.get('updates')?.channel.readyState === 'open';
    if (this.#state.kind === 'reconnecting' && open && connection.connectionState === 'connected')
      this.#settle();
  }

  async #takeCandidate(candidate: RTCIceCandidateInit): Promise<void> {
    const connection = this.#connection;
    if (connection && belongs(candidate, connection)) {
      await connection.addIceCandidate(candidate);
      return;
    }
    // Its description is still on its way.
    this.#candidates.push(candidate);
    if (this.#candidates.length > MAX_CANDIDATES) this.#candidates.shift();
  }

  async #takeWaiting(connection: RTCPeerConnection): Promise<void> {
    const due = this.#candidates.filter((candidate) => belongs(candidate, connection));
    this.#candidates = this.#candidates.filter((candidate) => !due.includes(candidate));
    for (const candidate of due) await connection.addIceCandidate(candidate);
  }
}

function belongs(candidate: RTCIceCandidateInit, connection: RTCPeerConnection): boolean {
  const sdp = connection.remoteDescription?.sdp;
  if (sdp === undefined) return false;
  return !candidate.usernameFragment || candidate.usernameFragment === iceRound(sdp);
}
