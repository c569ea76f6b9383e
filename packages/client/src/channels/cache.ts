/**
 * What a page remembers of channels over a reload, whatever it is kept in. It serves the client.
 * Invariant: what it gives is what following the channel gave up to `lastOffset` — of a keyed channel the newest message of
 * every key, of a plain one the newest messages without a hole — or nothing. It never fails: what cannot be kept is not.
 */
import type { WireMessage } from './heard.js';

/** A channel as it was last seen. Without anything kept, no messages, and `0`. */
export interface Kept {
  messages: WireMessage[];
  lastOffset: string;
}

export interface Cache {
  /** A look at what is kept. */
  load(channel: string): Kept | Promise<Kept>;
  /** A look from which on the channel is followed: what is added until `close` is what follows this. */
  open(channel: string): Kept | Promise<Kept>;
  /** Takes what followed. */
  add(channel: string, messages: readonly WireMessage[]): void;
  /** What was kept counts no more. What is added next goes on from anywhere. */
  clear(channel: string): void;
  /** Writes a channel and lets go of it: the next look is at what is kept then. */
  close(channel: string): void;
  /** Writes what is new; to be called before a page goes. */
  flush(): void;
}

/** FNV-1a, 32 bits: enough to notice what was cut or edited; nobody is kept out by it. */
export function checksum(text: string): number {
  let sum = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) sum = Math.imul(sum ^ text.charCodeAt(at), 0x01000193);
  return sum >>> 0;
}
