/**
 * One HTTP answer read as a stream of events until it ends. It serves the signalling, and the channels where no WebSocket
 * passes.
 * Invariant: it returns when the server ends the stream, and throws for every other end; a stream that is silent for too
 * long is such an end, because a dead connection says nothing.
 */
import { authorization, expectOk, type Fetch } from './http.js';
import { Patience } from './patience.js';
import { type SseBlock, SseParser } from './sse.js';

/** Milliseconds. The server pings every 10 s: two pings and a half that do not come are no accident. */
export const SILENCE = 25_000;

export interface StreamRequest {
  url: string;
  token: string | undefined;
  /** Where it is to go on. */
  position?: string | undefined;
  fetch: Fetch;
  /** Aborting ends the stream. */
  signal: AbortSignal;
  onBlock: (block: SseBlock) => void;
}

export async function readStream({
  url,
  token,
  position,
  fetch,
  signal,
  onBlock,
}: StreamRequest): Promise<void> {
  const patience = new Patience(SILENCE, signal);
  try {
    const response = await fetch(url, {
      headers: {
        accept: 'text/event-stream',
        ...(position !== undefined && { 'last-event-id': position }),
        ...authorization(token),
      },
      cache: 'no-store',
      signal: patience.signal,
    });
    const { body } = await expectOk(response);
    if (!body) throw new Error('the answer has no body');
    const parser = new SseParser();
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      patience.heard();
      for (const block of parser.push(decoder.decode(value, { stream: true }))) {
        onBlock(block);
        patience.signal.throwIfAborted();
      }
    }
  } finally {
    // Whatever ended it, the socket must not linger: the server counts one stream per identity.
    patience.end();
  }
}
