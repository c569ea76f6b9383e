/**
 * What can go wrong with a channel, said in one class. It serves the client and whoever calls it.
 * Invariant: `code` is stable; the message is for people.
 */
import type { Refusal } from './heard.js';

/** Codes of our own; the others are the server's (`PROTOCOL.md`): `invalid`, `forbidden`, `conflict`, …. */
export type LocalCode =
  /** The client was closed, or the channel unsubscribed, before an answer came. */
  | 'closed'
  /** Too much waits to be published already; this was not taken. */
  | 'full'
  /** It may have been published or not, and sending it again could double it. */
  | 'uncertain';

export class ClientError extends Error {
  override name = 'ClientError';
  constructor(
    readonly code: LocalCode | (string & {}),
    message: string,
    /** Milliseconds the server asks us to wait, if it does. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

export function refusedBy({ code, message, retryAfterMs }: Refusal): ClientError {
  return new ClientError(code, message, retryAfterMs);
}

/** Whether the same command may well succeed later. `unauthorized`: the token has just expired, and another follows. */
export function isPassingCode(code: string): boolean {
  return code === 'rate-limited' || code === 'unavailable' || code === 'internal' || code === 'unauthorized';
}
