/**
 * One data channel to one peer: messages in, messages out, counted. It serves the link.
 * Invariant: no more than `HIGH` bytes and one message wait in the browser's buffer; beyond that the sender is told
 * `full` and keeps what it has.
 */
import { Assembly, cut } from './frames.js';

/** `updates` loses nothing and keeps no order; `cursors` may lose: only the newest position is of interest. */
export type PipeName = 'updates' | 'cursors';

export const PIPES: Record<PipeName, RTCDataChannelInit> = {
  updates: { ordered: false },
  cursors: { ordered: false, maxRetransmits: 0 },
};

/** Bytes. Enough to keep a fast line busy, little enough that what is sent next is not stale. */
const HIGH: Record<PipeName, number> = { updates: 256 * 1024, cursors: 16 * 1024 };
const LOW = 64 * 1024;

export interface Counters {
  messagesSent: number;
  bytesSent: number;
  messagesReceived: number;
  bytesReceived: number;
  /** Frames and messages that made no sense, and sends refused because the buffer was full. */
  ignored: number;
  refused: number;
}

export type SendOutcome = 'sent' | 'full' | 'closed' | 'too-large';

export interface PipeEvents {
  onOpen(): void;
  onClose(): void;
  onDrain(): void;
  onMessage(text: string): void;
}

export function noCounters(): Counters {
  return { messagesSent: 0, bytesSent: 0, messagesReceived: 0, bytesReceived: 0, ignored: 0, refused: 0 };
}

export class Pipe {
  readonly #assembly = new Assembly();
  #number = 0;

  constructor(
    readonly name: PipeName,
    readonly channel: RTCDataChannel,
    /** Kept by the link, so that a count outlives a re-dial. */
    readonly counters: Counters,
    events: PipeEvents,
  ) {
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = LOW;
    channel.onopen = () => events.onOpen();
    channel.onclose = () => events.onClose();
    channel.onbufferedamountlow = () => events.onDrain();
    channel.onmessage = ({ data }: MessageEvent<unknown>) => this.#take(data, events);
    if (channel.readyState === 'open') queueMicrotask(() => events.onOpen());
  }

  send(message: string): SendOutcome {
    if (this.channel.readyState !== 'open') return 'closed';
    if (this.channel.bufferedAmount > HIGH[this.name]) {
      this.counters.refused += 1;
      return 'full';
    }
    this.#number += 1;
    const frames = cut(message, this.#number);
    if (!frames) return 'too-large';
    for (const frame of frames) {
      if (typeof frame === 'string') this.channel.send(frame);
      else this.channel.send(frame);
      this.counters.bytesSent += sizeOf(frame);
    }
    this.counters.messagesSent += 1;
    return 'sent';
  }

  /** Cuts the ties to the channel: what it still says is of no interest any more. */
  drop(): void {
    this.channel.onopen = null;
    this.channel.onclose = null;
    this.channel.onmessage = null;
    this.channel.onbufferedamountlow = null;
  }

  #take(data: unknown, events: PipeEvents): void {
    this.counters.bytesReceived += sizeOf(data);
    const joined = this.#assembly.take(data);
    if (joined.kind === 'bad') this.counters.ignored += 1;
    if (joined.kind !== 'message') return;
    this.counters.messagesReceived += 1;
    events.onMessage(joined.text);
  }
}

function sizeOf(frame: unknown): number {
  if (typeof frame === 'string') return frame.length;
  return frame instanceof ArrayBuffer ? frame.byteLength : 0;
}
