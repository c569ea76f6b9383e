/**
 * What a client says about channels, as one union. It serves the lines, which carry it.
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
  producer?: { id: string; seq: number };
}

export interface Subscribe {
  op: 'subscribe';
  channel: string;
  /** `$`, `0`, or an offset. */
  offset: string;
}

export type Command =
  | { op: 'auth'; token: string }
  | Subscribe
  | { op: 'unsubscribe'; channel: string }
  | Publish
  | { op: 'ping' };

export function encodeCommand(command: Command, id: number): string {
  return JSON.stringify({ id, ...command });
}
