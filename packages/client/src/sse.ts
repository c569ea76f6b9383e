/**
 * Reads a Server-Sent Events stream from text that arrives in arbitrary pieces. It serves the signalling connection.
 * Invariant: what it yields depends on the text alone, never on where the text was cut.
 */

/** One block of the stream. A block without data still counts when it moves the position or sets the retry time. */
export interface SseBlock {
  /** The event's name; `message` where the stream names none. */
  event: string;
  /** The data lines joined by newlines, or `undefined` for a block that holds none. */
  data: string | undefined;
  /** The `id:` of this block, or `undefined`. An empty id is a real one: it resets the position. */
  id: string | undefined;
  /** Milliseconds, from a `retry:` line. */
  retry: number | undefined;
}

/** More than the server's largest event (a message of 1 MiB): a line longer than this is not ours. */
export const MAX_LINE = 1 << 21;

/** The stream held a line, or a block, longer than any server of ours would send. */
export class SseOverflow extends Error {
  override name = 'SseOverflow';
}

export class SseParser {
  #line = '';
  #afterCr = false;
  #atStart = true;
  #block = emptyBlock();
  #used = false;
  #size = 0;

  /** Takes the next piece of text and returns the blocks it completes. */
  push(text: string): SseBlock[] {
    let rest = text;
    if (this.#atStart && rest.length > 0) {
      this.#atStart = false;
      if (rest.charCodeAt(0) === 0xfeff) rest = rest.slice(1);
    }
    const blocks: SseBlock[] = [];
    let from = 0;
    for (let at = 0; at < rest.length; at += 1) {
      const code = rest.charCodeAt(at);
      const wasCr = this.#afterCr;
      this.#afterCr = code === 13;
      if (code !== 10 && code !== 13) continue;
      // The LF of a CRLF ends nothing: its CR already did, perhaps in the piece before.
      if (!(code === 10 && wasCr)) {
        const line = this.#line + rest.slice(from, at);
        this.#line = '';
        const block = this.#takeLine(line);
        if (block) blocks.push(block);
      }
      from = at + 1;
    }
    this.#line += rest.slice(from);
    if (this.#line.length > MAX_LINE) throw new SseOverflow(`a line of more than ${MAX_LINE} characters`);
    return blocks;
  }

  #takeLine(line: string): SseBlock | undefined {
    if (line === '') return this.#finish();
    this.#size += line.length;
    if (this.#size > 2 * MAX_LINE) throw new SseOverflow(`a block of more than ${2 * MAX_LINE} characters`);
    if (line.startsWith(':')) return undefined;
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const raw = colon < 0 ? '' : line.slice(colon + 1);
    const value = raw.startsWith(' ') ? raw.slice(1) : raw;
    this.#takeField(name, value);
    return undefined;
  }

  #takeField(name: string, value: string): void {
    const block = this.#block;
    if (name === 'data') block.data = block.data === undefined ? value : `${block.data}\n${value}`;
    else if (name === 'event') block.event = value || 'message';
    else if (name === 'id' && !value.includes('\0')) block.id = value;
    else if (name === 'retry' && /^\d{1,9}$/.test(value)) block.retry = Number(value);
    else return;
    this.#used = true;
  }

  #finish(): SseBlock | undefined {
    const block = this.#used ? this.#block : undefined;
    this.#block = emptyBlock();
    this.#used = false;
    this.#size = 0;
    return block;
  }
}

function emptyBlock(): SseBlock {
  return { event: 'message', data: undefined, id: undefined, retry: undefined };
}
