/** The mesh: who is in it, and when it lets go of them. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Mesh, type MeshHappening, type MeshSignalling } from '../src/mesh.js';
import type { SignallingHappening } from '../src/signalling.js';
import type { ConnectionState } from '../src/state.js';
import { FakeConnection, reset } from './wires.js';

const user = { id: 'me', username: 'me' };
const live = (resumed: boolean): ConnectionState => ({ kind: 'live', user, resumed });
const person = (id: string) => ({ id, username: id });

let tell: (happening: SignallingHappening) => void;
let iceBody: unknown;
let iceAsked: number;
let made: FakeConnection[];
let mesh: Mesh;
let happenings: MeshHappening[];

beforeEach(() => {
  vi.useFakeTimers();
  reset();
  iceBody = { iceServers: [] };
  iceAsked = 0;
  made = [];
  happenings = [];
  let listener: (happening: SignallingHappening) => void = () => undefined;
  tell = (happening) => listener(happening);
  const signalling: MeshSignalling = {
    state: live(false),
    listen: (added) => {
      listener = added;
      return () => {
        listener = () => undefined;
      };
    },
    relay: async () => 'delivered',
    ice: async () => {
      iceAsked += 1;
      return iceBody;
    },
  };
  class Connection extends FakeConnection {
    constructor(configuration: RTCConfiguration) {
      super(configuration);
      made.push(this);
    }
  }
  mesh = new Mesh(signalling, { Connection: Connection as unknown as typeof RTCPeerConnection });
  mesh.listen((happening) => happenings.push(happening));
  tell({ type: 'start', user });
});
afterEach(() => {
  mesh.close();
  vi.useRealTimers();
});

const add = (id: string, roomId = 'room') =>
  tell({ type: 'add-peer', peer: person(id), roomId, offer: true });
const remove = (id: string, roomId = 'room') => tell({ type: 'remove-peer', peer: person(id), roomId });
const members = () => mesh.peers.map(({ peer }) => peer.id);
const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);

test('a peer is linked once, however many rooms are shared, and until the last of them is left', async () => {
  add('ann', 'one');
  add('ann', 'two');
  add('ann', 'two');
  await pass(1);
  expect(members()).toEqual(['ann']);
  expect(made).toHaveLength(1);
  remove('ann', 'one');
  expect(members()).toEqual(['ann']);
  remove('ann', 'two');
  remove('ann', 'two');
  expect(members()).toEqual([]);
  expect(made[0]?.signalingState).toBe('closed');
  expect(happenings.map(({ type }) => type).filter((type) => type !== 'link')).toEqual(['joined', 'left']);
});

test('a resumed stream touches nobody; a new beginning lets everybody go', async () => {
  add('ann');
  add('bob');
  await pass(1);
  tell({ type: 'state', state: { kind: 'waiting', attempt: 1, wait: 1, reason: 'cut' } });
  tell({ type: 'state', state: live(true) });
  await pass(1);
  expect(members()).toEqual(['ann', 'bob']);
  expect(made.map(({ signalingState }) => signalingState)).not.toContain('closed');
  tell({ type: 'start', user });
  expect(members()).toEqual([]);
  expect(made.every(({ signalingState }) => signalingState === 'closed')).toBe(true);
});

test('a stop lets everybody go, and so does close', () => {
  add('ann');
  tell({ type: 'state', state: { kind: 'stopped', reason: 'replaced', detail: '' } });
  expect(members()).toEqual([]);
  add('bob');
  mesh.close();
  expect(members()).toEqual([]);
  add('cay');
  expect(members()).toEqual([]);
});

test('signals of strangers are nobody’s', () => {
  tell({
    type: 'relayed',
    name: 'session-description',
    peer: person('eve'),
    data: { type: 'offer', sdp: '' },
  });
  expect(members()).toEqual([]);
  expect(mesh.send('eve', 'updates', 'hello')).toBe('closed');
});

test('TURN credentials are fetched anew before they end, and given to living connections', async () => {
  const ends = Math.floor(Date.now() / 1000) + 1800;
  iceBody = { iceServers: [{ urls: 'turn:a', username: `${ends}:me`, credential: 'old' }] };
  tell({ type: 'start', user });
  add('ann');
  await pass(1);
  expect(made[0]?.configuration.iceServers).toMatchObject([{ credential: 'old' }]);
  const asked = iceAsked;
  const given = vi.spyOn(FakeConnection.prototype, 'setConfiguration');
  await pass(1_400_000);
  expect(iceAsked).toBe(asked);
  iceBody = { iceServers: [{ urls: 'turn:a', username: `${ends + 1800}:me`, credential: 'new' }] };
  await pass(150_000);
  expect(iceAsked).toBe(asked + 1);
  expect(given).toHaveBeenCalledWith({
    iceServers: [{ urls: ['turn:a'], username: `${ends + 1800}:me`, credential: 'new' }],
  });
});

test('a server that is slow to name its ICE servers does not hold up a dial for long', async () => {
  iceBody = new Promise(() => undefined);
  tell({ type: 'start', user });
  add('ann');
  await pass(2_900);
  expect(made).toHaveLength(0);
  await pass(200);
  expect(made).toHaveLength(1);
});
