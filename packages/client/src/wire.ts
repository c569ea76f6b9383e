/**
 * The events of `GET /connect` as one union, and the one function that decodes them. It serves the signalling.
 * Invariant: whatever the text, `decode` answers; it never throws.
 */
import { isRecord, isText, parseJson, WireError } from './check.js';
import { decodeUser, type User } from './user.js';

/** Somebody in a room. */
export interface Peer extends User {
  /** They joined without being allowed to edit the room's board: what they say has changed is not to be believed. */
  viewer?: true;
}

export type WireEvent =
  | { event: 'connected'; user: User; resumed: boolean }
  | { event: 'ping' | 'gap' | 'replaced' | 'draining' }
  | { event: 'add-peer'; peer: Peer; roomId: string; offer: boolean }
  | { event: 'remove-peer'; peer: User; roomId: string }
  | { event: 'relayed'; name: string; peer: User; data: unknown };

/** Names the server keeps for itself, so that no peer can speak in its name. */
const RESERVED = new Set([
  'connected',
  'ping',
  'add-peer',
  'remove-peer',
  'messages',
  'gap',
  'replaced',
  'draining',
  'error',
]);

const RELAYED = /^[a-z][a-z0-9-]{0,63}$/;

/** Decodes one event of the stream: its name and its data line. */
export function decode(event: string, text: string): WireEvent | WireError {
  return decodeEvent(event, parseJson(text));
}

/** Decodes one event, whichever way it came. */
export function decodeEvent(event: string, data: unknown): WireEvent | WireError {
  if (!isRecord(data)) return new WireError(event, 'the data is no JSON object');
  switch (event) {
    case 'ping':
    case 'gap':
    case 'replaced':
    case 'draining':
      return { event };
    case 'connected':
      return decodeConnected(data);
    case 'add-peer':
    case 'remove-peer':
      return decodeMembership(event, data);
    default:
      return decodeRelayed(event, data);
  }
}

function decodeConnected(data: Record<string, unknown>): WireEvent | WireError {
  const user = decodeUser(data.user);
  if (!user || typeof data.resumed !== 'boolean')
    return new WireError('connected', 'user or resumed is missing');
  return { event: 'connected', user, resumed: data.resumed };
}

function decodeMembership(
  event: 'add-peer' | 'remove-peer',
  data: Record<string, unknown>,
): WireEvent | WireError {
  const peer = decodeUser(data.peer);
  if (!peer || !isText(data.roomId, 64)) return new WireError(event, 'peer or roomId is missing');
  if (event === 'remove-peer') return { event, peer, roomId: data.roomId };
  if (typeof data.offer !== 'boolean') return new WireError(event, 'offer is missing');
  return { event, peer: { ...peer, ...decodeViewer(data.peer) }, roomId: data.roomId, offer: data.offer };
}

function decodeViewer(peer: unknown): Pick<Peer, 'viewer'> {
  return isRecord(peer) && peer.viewer === true ? { viewer: true } : {};
}

function decodeRelayed(name: string, data: Record<string, unknown>): WireEvent | WireError {
  if (RESERVED.has(name) || !RELAYED.test(name)) return new WireError(name, 'unknown event');
  const peer = decodeUser(data.peer);
  if (!peer || data.data === undefined) return new WireError(name, 'peer or data is missing');
  return { event: 'relayed', name, peer, data: data.data };
}
