/**
 * Where the signalling connection stands. It serves the signalling, which acts on it, and whoever shows it to a person.
 * Invariant: there is one state, and `next` is the only way from one to another.
 */
import type { User } from './user.js';

/** Why a connection will not be tried again by itself. */
export type StopReason =
  /** `close` was called. */
  | 'closed'
  /** Another stream was opened with the same identity. */
  | 'replaced'
  /** The server will not have us: its answer stands in `detail`. */
  | 'refused';

export type ConnectionState =
  | { kind: 'idle' }
  | { kind: 'connecting'; attempt: number }
  | { kind: 'live'; user: User; resumed: boolean }
  /** Between two attempts; `wait` in milliseconds. */
  | { kind: 'waiting'; attempt: number; wait: number; reason: string }
  | { kind: 'stopped'; reason: StopReason; detail: string };

export type Happening =
  | { type: 'dial' }
  | { type: 'connected'; user: User; resumed: boolean }
  | { type: 'lost'; wait: number; reason: string }
  | { type: 'stopped'; reason: StopReason; detail: string };

/** How many attempts have failed in a row. */
export function failures(state: ConnectionState): number {
  return state.kind === 'connecting' || state.kind === 'waiting' ? state.attempt : 0;
}

/** The state after a happening. What makes no sense in a state leaves it as it is. */
export function next(state: ConnectionState, happening: Happening): ConnectionState {
  if (happening.type === 'stopped') {
    if (state.kind === 'stopped') return state;
    return { kind: 'stopped', reason: happening.reason, detail: happening.detail };
  }
  if (happening.type === 'dial') return { kind: 'connecting', attempt: failures(state) };
  if (state.kind === 'stopped' || state.kind === 'idle') return state;
  if (happening.type === 'connected') {
    return { kind: 'live', user: happening.user, resumed: happening.resumed };
  }
  return { kind: 'waiting', attempt: failures(state) + 1, wait: happening.wait, reason: happening.reason };
}
