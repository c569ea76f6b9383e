/**
 * What a person is shown about the room: who is here, and how things stand. It serves the panel.
 * Invariant: pure functions of the states of signalling and mesh; nothing is called live that is not.
 */
import type { ConnectionState, PeerView } from 'inkwire';
import { colourOf } from '../who/colour.js';

export type Standing = 'connecting' | 'live' | 'reconnecting' | 'offline' | 'stopped';

export interface Connection {
  standing: Standing;
  label: string;
  /** A sentence for whoever wants to know more. */
  detail: string;
}

export type Reach = 'direct' | 'relayed' | 'connected' | 'connecting' | 'reconnecting';

export interface Person {
  id: string;
  name: string;
  colour: string;
  reach: Reach;
}

export interface View {
  connection: Connection;
  me: { id: string | undefined; colour: string };
  people: Person[];
}

/** After this many failures in a row it is honest to say that we are offline. */
const OFFLINE_AFTER = 4;

export const BEFORE: View = {
  connection: {
    standing: 'connecting',
    label: 'Connecting…',
    detail: 'Your drawing is kept on this page until then.',
  },
  me: { id: undefined, colour: colourOf('') },
  people: [],
};

/** The part that goes live could not be fetched: a network gone at the wrong moment, or a server that has moved on. */
export const UNLOADED: View = {
  ...BEFORE,
  connection: {
    standing: 'stopped',
    label: 'Disconnected',
    detail:
      'A part of this page could not be loaded. Reload it to connect; what you have drawn here alone will be lost.',
  },
};

/** What the page knows besides the state of the signalling. */
export interface Circumstances {
  /** The browser's own opinion of the network. */
  online: boolean;
  /** Whether this page has ever been live: only then can something have been lost. */
  wasLive: boolean;
}

export function connectionOf(state: ConnectionState, { online, wasLive }: Circumstances): Connection {
  switch (state.kind) {
    case 'live':
      return {
        standing: 'live',
        label: 'Live',
        detail: 'Everybody in the room sees what you draw, as you draw it.',
      };
    case 'stopped':
      return {
        standing: 'stopped',
        label: 'Disconnected',
        detail:
          state.reason === 'refused'
            ? `The server refused the connection: ${state.detail}.`
            : 'This page has left the room.',
      };
    case 'idle':
      return BEFORE.connection;
    case 'connecting':
    case 'waiting':
      if (!online || state.attempt >= OFFLINE_AFTER) {
        return {
          standing: 'offline',
          label: 'Offline',
          detail: 'You can go on drawing. It is sent as soon as the connection is back.',
        };
      }
      if (!wasLive) return BEFORE.connection;
      return {
        standing: 'reconnecting',
        label: 'Reconnecting…',
        detail: 'The connection to the server was lost. Whoever you are linked to still sees you.',
      };
  }
}

export function reachOf(state: PeerView['state']): Reach {
  if (state.kind === 'connected') return state.route === 'unknown' ? 'connected' : state.route;
  return state.kind === 'reconnecting' ? 'reconnecting' : 'connecting';
}

export const REACH_LABEL: Record<Reach, string> = {
  direct: 'direct',
  relayed: 'through a relay',
  connected: 'connected',
  connecting: 'connecting…',
  reconnecting: 'reconnecting…',
};
