/**
 * What a client says, as one union. It serves the lines, which carry it.
 * Invariant: what `encodeCommand` writes is one JSON object as `PROTOCOL.md` has it.
 */

export interface Publish {
  op: 'publish';
  channel: string;
  fields: Record<string, string>;
  maxlen?: number;
  key?: string;
  version?: string;
  tombstone?: boolean;
  named?: boolean;
  producer?: { id: string; seq: number };
}

export interface Subscribe {
  op: 'subscribe';
  channel: string;
  /** `$`, `0`, or an offset. */
  offset: string;
}

export interface Relay {
  op: 'relay';
  to: string;
  event: string;
  data: unknown;
}

export type Command =
  /** `lastEventId`: where the peer's stream is to go on. */
  | { op: 'auth'; token: string; lastEventId?: string }
  | Subscribe
  | { op: 'unsubscribe'; channel: string }
  | Publish
  | { op: 'join' | 'leave'; room: string }
  | Relay
  | { op: 'ping' };

export function encodeCommand(command: Command, id: number): string {
  return JSON.stringify({ id, ...command });
}
