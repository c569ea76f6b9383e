/**
 * What a person is shown about the room: who is here, and how things stand. It serves the panel.
 * Invariant: pure functions of the states of channel and mesh; nothing is called live that is not, and nothing saved that
 * the server has not confirmed.
 */
import type { ConnectionState, PeerView } from 'inkwire';
import type { Obstacle, UnsentState } from '../sync/unsent.js';
import { colourOf } from '../who/colour.js';

export type Standing = 'connecting' | 'live' | 'unsaved' | 'reconnecting' | 'offline' | 'stopped';

export interface Connection {
  standing: Standing;
  label: string;
  /** A sentence for whoever wants to know more. */
  detail: string;
  /** Elements whose newest state the server has not confirmed. */
  unsent: number;
  notice?: Notice;
}

/** What a person has to know, and can do something about: it stands on the page itself. */
export interface Notice {
  title: string;
  text: string;
  /** Whether a new board is the way out. */
  offersBoard: boolean;
}

/** `server`: not linked with us, but the room's channel goes to both. */
export type Reach = 'direct' | 'relayed' | 'connected' | 'server';

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
/** Milliseconds. An answer that comes sooner is not worth a word. */
const PROMPT = 1_500;

export const BEFORE: View = {
  connection: {
    standing: 'connecting',
    label: 'Connecting…',
    detail: 'Your drawing is kept on this page until then.',
    unsent: 0,
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
    unsent: 0,
  },
};

const DEAD_TEXT = 'It may not have been copied whole. If it was, ask whoever sent it for a new one.';

/** A view that does not open: the link was cut short, or the server has another secret than when it was made. */
const DEAD: Connection = {
  standing: 'stopped',
  label: 'Link not valid',
  detail: `This link is no longer valid. ${DEAD_TEXT}`,
  unsent: 0,
  notice: { title: 'This link is no longer valid', text: DEAD_TEXT, offersBoard: false },
};

/** What the page knows besides the state of the channel's line. */
export interface Circumstances {
  /** Whether this page only looks. */
  isView: boolean;
  /** Whether we have all that the channel has. */
  isLevel: boolean;
  unsent: UnsentState;
  /** Whether this browser keeps what is unsent, if the page goes. */
  isKept: boolean;
  /** The browser's own opinion of the network. */
  online: boolean;
  /** Whether this page has ever been live: only then can something have been lost. */
  wasLive: boolean;
  /** What the server last refused, in its words. */
  error: string;
  /** Why the server would not save what it would not save last. */
  refusal: { code: string; message: string } | undefined;
  /** Whether the link leads nowhere. */
  isDead: boolean;
  /** Milliseconds, as `unsent.since`. */
  now: number;
}

export function connectionOf(state: ConnectionState, circumstances: Circumstances): Connection {
  const { isLevel, unsent, online, wasLive, error, isDead } = circumstances;
  if (isDead) return DEAD;
  const said = error && `The server says: ${error}. `;
  const more = unsent.count > 0 ? ` · ${unsent.count} unsent` : '';
  const named = { unsent: unsent.count };
  switch (state.kind) {
    case 'live':
      if (isLevel) return connectedOf(circumstances);
      break;
    case 'stopped':
      return {
        ...named,
        standing: 'stopped',
        label: `Disconnected${more}`,
        detail:
          state.reason === 'refused'
            ? `The server refused the connection: ${state.detail}. ${keptOf(circumstances)}`
            : `This page has left the room. ${keptOf(circumstances)}`,
      };
    case 'idle':
      return { ...BEFORE.connection, ...named };
    case 'connecting':
    case 'waiting':
      if (online && state.attempt < OFFLINE_AFTER) break;
      return {
        ...named,
        standing: 'offline',
        label: `Offline${more}`,
        detail: `${said}${circumstances.isView ? '' : 'You can go on drawing. '}${keptOf(circumstances)}`,
      };
  }
  const detail = `${said}${keptOf(circumstances)}`;
  if (!wasLive) return { ...named, standing: 'connecting', label: `Connecting…${more}`, detail };
  return {
    ...named,
    standing: 'reconnecting',
    label: `Reconnecting…${more}`,
    detail: `The connection to the server was lost. ${detail}`,
  };
}

/** Connected, and level. */
function connectedOf(circumstances: Circumstances): Connection {
  const { unsent, now, isView } = circumstances;
  const { count, since, obstacles } = unsent;
  if (stuckIn(obstacles) > 0) return stuckOf(circumstances);
  if (since !== undefined && now - since > PROMPT)
    return {
      standing: 'unsaved',
      label: `Saving ${count}…`,
      detail: 'The last changes are on their way to the server.',
      unsent: count,
    };
  return {
    standing: 'live',
    label: 'Live',
    detail: isView
      ? 'You see what is drawn. This link is for looking only.'
      : 'Whoever has the link sees what you draw, as you draw it; and it is saved.',
    unsent: count,
  };
}

const stuckIn = (obstacles: Record<Obstacle, number>) => Object.values(obstacles).reduce((sum, n) => sum + n);

/** Why something is not saved, and what to do. What the server refuses it says itself. */
const WHY_STUCK: Record<Exclude<Obstacle, 'refused'>, string> = {
  'too-large': 'An element larger than 1 MiB cannot be saved: make it smaller, or draw it in parts.',
  taken:
    'Somebody has saved something that is no drawing in place of an element: make a copy of it, and delete the first one.',
  untold: 'An element is of a kind or a size that boards cannot share: nobody else sees it.',
};

/** Connected, and with something that is not in the channel and will not be. */
function stuckOf({ unsent: { count, obstacles }, isKept, refusal }: Circumstances): Connection {
  const stuck = stuckIn(obstacles);
  // What no board will hold is not kept with the board either.
  const place = isKept && obstacles.untold === 0 ? 'kept in this browser' : 'on this page';
  const where = `What is not saved is ${place} only.`;
  const named = { standing: 'unsaved', label: `${stuck} not saved`, unsent: count } as const;
  if (obstacles.refused === 0) {
    const reasons = (['too-large', 'taken', 'untold'] as const).filter((why) => obstacles[why] > 0);
    const text = `${reasons.map((why) => WHY_STUCK[why]).join(' ')} ${where}`;
    return { ...named, detail: text, notice: { title: 'Not everything is saved', text, offersBoard: false } };
  }
  const said = refusal ? `The server says: ${refusal.message}.` : 'The server gave no reason.';
  const wayOut = 'To keep it, choose “Save to…” in the menu, and “Open a drawing…” on another board.';
  // The server has messages of another sort under the room's name: no board will ever be kept there.
  const isPlain = refusal?.code === 'conflict';
  const title = isPlain ? 'This board cannot be saved' : 'Not everything is saved';
  const why = isPlain
    ? 'Its address was used for something else before, so the server stores nothing that is drawn here.'
    : `The server refused a part of what is drawn here. ${said}`;
  const notice = { title, text: `${why} ${where} ${wayOut}`, offersBoard: isPlain };
  return { ...named, detail: `${title}. ${said} ${where}`, notice };
}

/** Where unsent changes are until they are sent. */
function keptOf({ unsent: { count }, isKept, isView }: Circumstances): string {
  if (isView) return 'What is drawn meanwhile is shown as soon as the connection is back.';
  if (count === 0) return 'What you draw is sent as soon as the connection is back.';
  const what = count === 1 ? '1 change is' : `${count} changes are`;
  return isKept
    ? `${what} kept in this browser, and sent as soon as the connection is back.`
    : `${what} kept on this page only: leave it open until the connection is back.`;
}

/** How a peer is reached, by the state of the link to it, if there is one. */
export function reachOf(state: PeerView['state'] | undefined): Reach {
  if (state?.kind !== 'connected') return 'server';
  return state.route === 'unknown' ? 'connected' : state.route;
}

export const REACH_LABEL: Record<Reach, string> = {
  direct: 'direct',
  relayed: 'through a relay',
  connected: 'connected',
  server: 'through the server',
};
