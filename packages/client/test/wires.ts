/**
 * A world of RTCPeerConnections without a network: as much of one as a link can see, in the order the standard gives. It
 * serves the tests of the link.
 */
import { Link, type LinkWorld, type Role } from '../src/link.js';
import { fingerprint, iceRound } from '../src/sdp.js';

let certificates = 0;
let rounds = 0;

/** Whether bytes pass between any two connections. */
export const network = { up: true };

const all = new Set<FakeConnection>();

class FakeChannel {
  binaryType = 'arraybuffer';
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  readyState: RTCDataChannelState = 'connecting';
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onbufferedamountlow: (() => void) | null = null;
  far: FakeChannel | undefined;

  constructor(readonly label: string) {}

  open(): void {
    this.readyState = 'open';
    this.onopen?.();
  }

  send(data: unknown): void {
    if (this.readyState !== 'open') throw new Error('not open');
    const { far } = this;
    queueMicrotask(() => {
      if (network.up) far?.onmessage?.({ data });
    });
  }

  shut(): void {
    if (this.readyState === 'closed') return;
    this.readyState = 'closed';
    this.onclose?.();
  }
}

export class FakeConnection {
  signalingState: RTCSignalingState = 'stable';
  connectionState: RTCPeerConnectionState = 'new';
  localDescription: { type: 'offer' | 'answer'; sdp: string; toJSON(): unknown } | null = null;
  remoteDescription: { type: string; sdp: string } | null = null;
  onicecandidate: ((event: { candidate: { toJSON(): unknown } | null }) => void) | null = null;
  onconnectionstatechange: (() => void) | null = null;
  ondatachannel: ((event: { channel: FakeChannel }) => void) | null = null;
  readonly channels: FakeChannel[] = [];
  candidates = 0;
  readonly #certificate = `sha-256 ${++certificates}`;
  #round = '';
  #restart = true;
  #stable: FakeConnection['localDescription'] = null;

  constructor(readonly configuration: RTCConfiguration) {
    all.add(this);
  }

  createDataChannel(label: string): FakeChannel {
    const channel = new FakeChannel(label);
    this.channels.push(channel);
    return channel;
  }

  restartIce(): void {
    this.#restart = true;
  }

  async createOffer() {
    return this.#describe('offer');
  }

  async createAnswer() {
    return this.#describe('answer');
  }

  #describe(type: 'offer' | 'answer') {
    if (this.#restart) {
      this.#round = `r${++rounds}`;
      this.#restart = false;
    }
    const sdp = `v=0\r\na=ice-ufrag:${this.#round}\r\na=fingerprint:${this.#certificate}\r\n`;
    return { type, sdp, toJSON: () => ({ type, sdp }) };
  }

  async setLocalDescription(description: NonNullable<FakeConnection['localDescription']>): Promise<void> {
    this.#alive();
    if (description.type === 'offer' && this.signalingState !== 'stable')
      throw new Error('offer in the wrong state');
    if (description.type === 'answer' && this.signalingState !== 'have-remote-offer')
      throw new Error('answer to nothing');
    if (description.type === 'offer') this.#stable = this.localDescription;
    this.localDescription = description;
    this.signalingState = description.type === 'offer' ? 'have-local-offer' : 'stable';
    queueMicrotask(() => {
      for (const n of [1, 2]) {
        const candidate = {
          candidate: `candidate ${n}`,
          sdpMid: '0',
          sdpMLineIndex: 0,
          usernameFragment: this.#round,
        };
        this.onicecandidate?.({ candidate: { toJSON: () => candidate } });
      }
      this.onicecandidate?.({ candidate: null });
    });
    settle();
  }

  async setRemoteDescription(description: { type: string; sdp: string }): Promise<void> {
    this.#alive();
    if (description.type === 'answer' && this.signalingState !== 'have-local-offer')
      throw new Error('answer to nothing');
    if (description.type === 'offer' && this.signalingState === 'have-local-offer')
      this.localDescription = this.#stable;
    const known = this.remoteDescription;
    if (known && fingerprint(known.sdp) !== fingerprint(description.sdp))
      throw new Error('another certificate');
    if (known && description.type === 'offer' && iceRound(known.sdp) !== iceRound(description.sdp))
      this.#restart = true;
    this.remoteDescription = description;
    this.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable';
    settle();
  }

  async addIceCandidate(candidate: RTCIceCandidateInit): Promise<void> {
    this.#alive();
    if (!this.remoteDescription) throw new Error('no description yet');
    if (candidate.usernameFragment !== iceRound(this.remoteDescription.sdp)) throw new Error('another round');
    this.candidates += 1;
    settle();
  }

  async getStats(): Promise<Map<string, unknown>> {
    return new Map<string, unknown>([
      ['t', { type: 'transport', selectedCandidatePairId: 'p' }],
      ['p', { type: 'candidate-pair', localCandidateId: 'l', remoteCandidateId: 'l' }],
      ['l', { candidateType: 'host' }],
    ]);
  }

  setConfiguration(_configuration: RTCConfiguration): void {
    this.#alive();
  }

  close(): void {
    all.delete(this);
    this.signalingState = 'closed';
    this.connectionState = 'closed';
    for (const channel of this.channels) {
      channel.readyState = 'closed';
      channel.far?.shut();
    }
  }

  move(state: RTCPeerConnectionState): void {
    if (this.connectionState === state || this.connectionState === 'closed') return;
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  /** Whether this and the other have agreed: each holds what the other has said last. */
  fits(other: FakeConnection): boolean {
    return (
      this.signalingState === 'stable' &&
      this.candidates > 0 &&
      this.remoteDescription !== null &&
      this.remoteDescription.sdp === other.localDescription?.sdp
    );
  }

  #alive(): void {
    if (this.signalingState === 'closed') throw new Error('closed');
  }
}

/** Connects whoever has agreed, as far as the network is up. */
function settle(): void {
  queueMicrotask(() => {
    if (!network.up) return;
    for (const a of all) {
      for (const b of all) {
        if (a !== b && a.fits(b) && b.fits(a)) join(a, b);
      }
    }
  });
}

function join(a: FakeConnection, b: FakeConnection): void {
  for (const [near, far] of [
    [a, b],
    [b, a],
  ] as const) {
    for (const channel of near.channels.filter((one) => !one.far)) {
      const twin = far.createDataChannel(channel.label);
      twin.far = channel;
      channel.far = twin;
      far.ondatachannel?.({ channel: twin });
      twin.open();
      channel.open();
    }
  }
  a.move('connected');
  b.move('connected');
}

/** The network goes, or comes back; the connections notice. */
export function setNetwork(up: boolean): void {
  network.up = up;
  if (up) settle();
  else for (const connection of all) connection.move('disconnected');
}

export function failAll(): void {
  for (const connection of all) connection.move('failed');
}

/** One of the connections fails, and the other end does not notice. */
export function failOne(which: 'first' | 'last'): void {
  const [first, ...rest] = all;
  const failing = which === 'first' ? first : rest.at(-1);
  for (const channel of failing?.channels ?? []) channel.far = undefined;
  failing?.move('failed');
}

export function reset(): void {
  network.up = true;
  all.clear();
}

export const living = () => all.size;

/** Two links and the signals between them. */
export class Pair {
  readonly a: Link;
  readonly b: Link;
  readonly heard: string[] = [];
  opened = { a: 0, b: 0 };
  /** Decides what becomes of a signal: passed on now, later, or not at all. */
  post: (to: 'a' | 'b', event: string, deliver: () => void) => void = (_to, _event, deliver) => deliver();

  constructor(roles: { a: Role; b: Role } = { a: 'offers', b: 'answers' }) {
    this.a = this.#link('a', 'b', roles.a);
    this.b = this.#link('b', 'a', roles.b);
  }

  get connected(): boolean {
    return this.a.state.kind === 'connected' && this.b.state.kind === 'connected';
  }

  #link(me: 'a' | 'b', other: 'a' | 'b', role: Role): Link {
    const world: LinkWorld = {
      Connection: FakeConnection as unknown as typeof RTCPeerConnection,
      iceServers: async () => [],
      random: () => 0.5,
      relay: async (event, data) => {
        const copy = JSON.parse(JSON.stringify(data)) as unknown;
        this.post(other, event, () => queueMicrotask(() => this[other].take(event, copy)));
      },
      onState: () => undefined,
      onOpen: () => {
        this.opened[me] += 1;
      },
      onDrain: () => undefined,
      onMessage: (pipe, text) => this.heard.push(`${me} ${pipe} ${text}`),
    };
    return new Link({ id: other, username: other }, role, world);
  }
}
