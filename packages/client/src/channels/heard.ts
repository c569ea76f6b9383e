/**
 * What a server says about channels, as one union, and the one function that decodes it. It serves the lines.
 * Invariant: whatever the text, `decodeHeard` answers; it never throws, and what it answers has the type it says.
 */
import { isRecord, parseJson, WireError } from '../check.js';
import { decodeUser, type User } from '../user.js';
import { isOffset } from './offset.js';

/**
 * A message as it travels. Names that begin with `@` are the server's: `@key`, `@version`, `@deleted`, `@user`,
 * `@deliveries`.
 */
export type WireMessage = { readonly offset: string } & { readonly [field: string]: unknown };

/** Why a command was not carried out. */
export interface Refusal {
  code: string;
  message: string;
  retryAfterMs?: number;
}

/** The members of a reply; which of them are there depends on the command. */
export interface Reply {
  offset?: string;
  gap?: boolean;
  duplicate?: boolean;
  superseded?: boolean;
  messages?: WireMessage[];
  head?: string;
  acknowledged?: number;
}

export type Outcome = { ok: true; reply: Reply } | { ok: false; error: Refusal };

export type Heard =
  | { event: 'reply'; id: number; outcome: Outcome }
  | { event: 'connected'; user: User; node: string; resumed?: boolean }
  | { event: 'messages'; channel: string; messages: WireMessage[] }
  | { event: 'gap'; channel: string; after: string; oldest: string }
  | { event: 'draining' }
  | { event: 'error'; error: Refusal }
  /** About rooms (`wire.ts` decodes it), or from a later server. */
  | { event: 'other'; name: string; data: Record<string, unknown> };

export function decodeHeard(text: string): Heard | WireError {
  const value = parseJson(text);
  if (!isRecord(value)) return new WireError('', 'no JSON object');
  const { event } = value;
  if (typeof value.ok === 'boolean') return decodeReply(value);
  if (typeof event !== 'string') return new WireError('', 'neither a reply nor an event');
  switch (event) {
    case 'connected':
      return decodeConnected(value);
    case 'messages':
      return decodeMessages(value);
    case 'gap':
      return value.channel === undefined ? other(event, value) : decodeGap(value);
    case 'draining':
      return { event };
    case 'error': {
      const error = decodeRefusal(value.error);
      return error ? { event, error } : new WireError(event, 'no code or message');
    }
    default:
      return other(event, value);
  }
}

/** A message, or `undefined` where a value has not the type its name demands. */
export function decodeMessage(value: unknown): WireMessage | undefined {
  if (!isRecord(value) || !isOffset(value.offset)) return undefined;
  for (const [name, field] of Object.entries(value)) {
    const expected = name === '@deleted' ? 'boolean' : name === '@deliveries' ? 'number' : 'string';
    if (typeof field !== expected) return undefined;
  }
  // The object itself: nothing is copied, so a field named `__proto__` is a field like any other.
  return value as WireMessage;
}

function decodeReply(value: Record<string, unknown>): Heard | WireError {
  const { id, ok } = value;
  if (typeof id !== 'number') return new WireError('reply', 'no id');
  if (!ok) {
    const error = decodeRefusal(value.error);
    return error ? { event: 'reply', id, outcome: { ok: false, error } } : new WireError('reply', 'no error');
  }
  const reply: Reply = {};
  for (const name of ['offset', 'head'] as const) {
    const member = value[name];
    if (member === undefined) continue;
    if (!isOffset(member)) return new WireError('reply', `${name} is no offset`);
    reply[name] = member;
  }
  for (const name of ['gap', 'duplicate', 'superseded'] as const) {
    const member = value[name];
    if (typeof member === 'boolean') reply[name] = member;
  }
  if (typeof value.acknowledged === 'number') reply.acknowledged = value.acknowledged;
  if (value.messages !== undefined) {
    const messages = decodeList(value.messages);
    if (!messages) return new WireError('reply', 'a message is malformed');
    reply.messages = messages;
  }
  return { event: 'reply', id, outcome: { ok: true, reply } };
}

function decodeConnected(value: Record<string, unknown>): Heard | WireError {
  const user = decodeUser(value.user);
  if (!user || typeof value.node !== 'string') return new WireError('connected', 'user or node is missing');
  const resumed = typeof value.resumed === 'boolean' ? { resumed: value.resumed } : {};
  return { event: 'connected', user, node: value.node, ...resumed };
}

function decodeMessages(value: Record<string, unknown>): Heard | WireError {
  const messages = decodeList(value.messages);
  if (typeof value.channel !== 'string' || !messages)
    return new WireError('messages', 'no channel, or a message is malformed');
  return { event: 'messages', channel: value.channel, messages };
}

function decodeGap({ channel, after, oldest }: Record<string, unknown>): Heard | WireError {
  if (typeof channel !== 'string' || typeof after !== 'string' || typeof oldest !== 'string')
    return new WireError('gap', 'after or oldest is missing');
  return { event: 'gap', channel, after, oldest };
}

function decodeList(value: unknown): WireMessage[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const messages = value.map(decodeMessage);
  return messages.every((message) => message !== undefined) ? messages : undefined;
}

function decodeRefusal(value: unknown): Refusal | undefined {
  if (!isRecord(value) || typeof value.code !== 'string' || typeof value.message !== 'string')
    return undefined;
  const { code, message, retryAfterMs } = value;
  return { code, message, ...(typeof retryAfterMs === 'number' && { retryAfterMs }) };
}

function other(name: string, { event: _name, ...data }: Record<string, unknown>): Heard {
  return { event: 'other', name, data };
}
