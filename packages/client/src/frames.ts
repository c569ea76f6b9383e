/**
 * Messages of any size over data channels that carry small ones well. It serves the mesh.
 *
 * A text frame is a whole message. A binary frame is a part of one: message number (u32), index (u16), count (u16), all
 * big-endian, then a piece of the message's UTF-8. Parts may come in any order.
 *
 * Invariant: a peer can make us hold at most `MAX_MESSAGE` × `MAX_OPEN` bytes, whatever it sends.
 */

/** Bytes of one frame on the wire. 16 KiB is the size every browser sends without blocking the other channels. */
export const MAX_FRAME = 16 * 1024;
const HEADER = 8;
const PIECE = MAX_FRAME - HEADER;
/** Bytes of one message. A drawing's largest element is far below; a board is sent as many messages. */
export const MAX_MESSAGE = 4 * 1024 * 1024;
/** Messages of one peer that may be incomplete at the same time; one more, and the oldest is forgotten. */
export const MAX_OPEN = 8;

const MAX_PARTS = Math.ceil(MAX_MESSAGE / PIECE);

/** What travels over a data channel. */
export type Frame = string | ArrayBuffer;

/** Cuts a message into frames, or answers `undefined` for one that is too large. `number` tells messages apart. */
export function cut(message: string, number: number): Frame[] | undefined {
  // A character is at most three bytes per UTF-16 unit: short messages need no encoding to know that they fit.
  if (message.length * 3 <= MAX_FRAME) return [message];
  const bytes = new TextEncoder().encode(message);
  if (bytes.length <= MAX_FRAME) return [message];
  if (bytes.length > MAX_MESSAGE) return undefined;
  const count = Math.ceil(bytes.length / PIECE);
  return Array.from({ length: count }, (_, index) => {
    const piece = bytes.subarray(index * PIECE, (index + 1) * PIECE);
    const frame = new Uint8Array(HEADER + piece.length);
    const view = new DataView(frame.buffer);
    view.setUint32(0, number >>> 0);
    view.setUint16(4, index);
    view.setUint16(6, count);
    frame.set(piece, HEADER);
    return frame.buffer;
  });
}

interface Open {
  pieces: (Uint8Array | undefined)[];
  missing: number;
  bytes: number;
}

/** `part`: taken, more to come. `bad`: not a frame of ours. */
export type Joined = { kind: 'message'; text: string } | { kind: 'part' } | { kind: 'bad' };

/** Puts messages together again; one per peer and data channel. */
export class Assembly {
  readonly #open = new Map<number, Open>();

  take(frame: unknown): Joined {
    if (typeof frame === 'string') {
      return frame.length <= MAX_FRAME ? { kind: 'message', text: frame } : { kind: 'bad' };
    }
    if (!(frame instanceof ArrayBuffer) || frame.byteLength <= HEADER || frame.byteLength > MAX_FRAME) {
      return { kind: 'bad' };
    }
    const view = new DataView(frame);
    return this.#takePart(
      view.getUint32(0),
      view.getUint16(4),
      view.getUint16(6),
      new Uint8Array(frame, HEADER),
    );
  }

  #takePart(number: number, index: number, count: number, piece: Uint8Array): Joined {
    if (count < 2 || count > MAX_PARTS || index >= count) return { kind: 'bad' };
    const open = this.#open.get(number) ?? this.#begin(number, count);
    if (open.pieces.length !== count || open.pieces[index] !== undefined) return { kind: 'bad' };
    open.pieces[index] = piece;
    open.missing -= 1;
    open.bytes += piece.length;
    if (open.missing > 0) return { kind: 'part' };
    this.#open.delete(number);
    return finish(open);
  }

  #begin(number: number, count: number): Open {
    const oldest = this.#open.keys().next();
    if (this.#open.size >= MAX_OPEN && !oldest.done) this.#open.delete(oldest.value);
    const open = {
      pieces: new Array<Uint8Array | undefined>(count).fill(undefined),
      missing: count,
      bytes: 0,
    };
    this.#open.set(number, open);
    return open;
  }
}

function finish(open: Open): Joined {
  const bytes = new Uint8Array(open.bytes);
  let at = 0;
  for (const piece of open.pieces) {
    if (!piece) return { kind: 'bad' };
    bytes.set(piece, at);
    at += piece.length;
  }
  try {
    return { kind: 'message', text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    return { kind: 'bad' };
  }
}
