/**
 * What peers say to each other, and the functions that decode it: frames over the mesh, and messages of the room's channel.
 * They serve the room.
 * Invariant: whatever a peer says, decoding answers, and what it answers has the type it says.
 */
import type { WireMessage } from '../channels/heard.js';
import { isRecord, parseJson } from '../check.js';
import type { Frame } from './lane.js';

/** Over the mesh: a frame of a lane, or how far one was received. A lane is `<stay>.<number>`. */
export type MeshParcel =
  | { kind: 'frame'; room: string; lane: string; frame: Frame }
  | { kind: 'acknowledged'; room: string; lane: string; m: number };

/** Through the channel: a message for some or all, or a frame that the mesh did not carry. */
export interface ChannelParcel {
  /** By the server's word: `@user` of the message is the same. */
  from: string;
  /** One presence of one peer in a room: who comes again begins to count anew. */
  stay: string;
  /** Counts the sender's messages in the channel. */
  n: number;
  /** For these, or for everybody. */
  to: string[] | undefined;
  data: unknown;
  frame: { lane: string; m: number } | undefined;
}

export function encodeFrame(room: string, lane: string, { m, c, data }: Frame): string {
  return JSON.stringify({ room, lane, m, c, data });
}

export function encodeAcknowledgement(room: string, lane: string, m: number): string {
  return JSON.stringify({ room, lane, ack: m });
}

export function decodeMesh(text: string): MeshParcel | undefined {
  const value = parseJson(text);
  if (!isRecord(value)) return undefined;
  const { room, lane, m, c, ack, data } = value;
  if (typeof room !== 'string' || typeof lane !== 'string') return undefined;
  if (isCount(ack)) return { kind: 'acknowledged', room, lane, m: ack };
  if (!isCount(m) || !isCount(c) || data === undefined) return undefined;
  return { kind: 'frame', room, lane, frame: { m, c, data } };
}

export function encodeChannel({ from, stay, n, to, data, frame }: ChannelParcel): Record<string, string> {
  return {
    from,
    stay,
    n: String(n),
    data: JSON.stringify(data),
    ...(to && { to: JSON.stringify(to) }),
    ...(frame && { lane: frame.lane, m: String(frame.m) }),
  };
}

/** Whoever may publish to the channel may write any name as `from`; only the server writes `@user`. */
export function decodeChannel(message: WireMessage): ChannelParcel | undefined {
  const { from, stay, lane } = message;
  const [n, m] = [Number(message.n), Number(message.m)];
  const data = parseJson(String(message.data));
  if (typeof from !== 'string' || from !== message['@user']) return undefined;
  if (typeof stay !== 'string' || !isCount(n) || data === undefined) return undefined;
  const to = message.to === undefined ? undefined : parseJson(String(message.to));
  if (to !== undefined && !(Array.isArray(to) && to.every((id) => typeof id === 'string'))) return undefined;
  const frame = typeof lane === 'string' && isCount(m) ? { lane, m } : undefined;
  return { from, stay, n, to, data, frame };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
