/**
 * One connection to one server, whatever it is made of. It serves the driver, which replaces it as often as it takes.
 * Invariant: `ended` is told once, and nothing after it; after `close` nothing is told at all.
 */
import type { WireError } from '../check.js';
import type { Command } from './command.js';
import type { Heard } from './heard.js';

/** Why a line ended: a code as a WebSocket has it. */
export interface End {
  code: number;
  reason: string;
}

export interface LineEvents {
  /** It can carry commands; the first is `auth`. */
  opened(): void;
  heard(heard: Heard | WireError): void;
  ended(end: End): void;
}

export interface Line {
  send(command: Command, id: number): void;
  close(): void;
}

/** `base`: the server's origin, as http or https, without a slash at its end. */
export type OpenLine = (base: string, events: LineEvents) => Line;

/** The server closes so when a token has expired. */
export const EXPIRED = 4401;
/** The server closes so when it goes down. */
export const RESTARTS = 1012;
/** The way a network breaks. */
export const BROKEN = 1006;

/** The id of the lines' own pings. */
export const PING_ID = 0;
