/**
 * One HTTP answer read as a stream of events until it ends. It serves the signalling.
 * Invariant: it returns when the server ends the stream, and throws for every other end; a stream that is silent for too
 * long is such an end, because a dead connection says nothing.
 */
import { expectOk, type Fetch } from './http.js';
import { type SseBlock, SseParser } from './sse.js';

/** Milliseconds. The server pings every 10 s: two pings and a half that do not come are no accident. */
export const SILENCE = 25_000;

export interface StreamRequest {
  url: string;
  headers: Record<string, string>;
  fetch: Fetch;
  /** Aborting ends the stream. */
  signal: AbortSignal;
  onBlock: (block: SseBlock) => void;
}

export async function readStream(request: StreamRequest): Promise<void> {
  const { url, headers, fetch, signal, onBlock } = request;
  const silence = new AbortController();
  const onAbort = () => silence.abort(signal.reason);
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  const alarm = () => setTimeout(() => silence.abort(new Error(`silent for ${SILENCE} ms`)), SILENCE);
  let timer = alarm();
  try {
    const response = await fetch(url, {
      headers: { ...headers, accept: 'text/event-stream' },
      cache: 'no-store',
      signal: silence.signal,
    });
    const { body } = await expectOk(response);
    if (!body) throw new Error('the answer has no body');
    const parser = new SseParser();
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = alarm();
      for (const block of parser.push(decoder.decode(value, { stream: true }))) {
        onBlock(block);
        if (silence.signal.aborted) throw silence.signal.reason;
      }
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    // Whatever ended it, the socket must not linger: the server counts one stream per identity.
    silence.abort();
  }
}
