/**
 * Messages as an application sees them, and the arguments of `publish`. It serves the client.
 * Invariant: what leaves for the server is text under every name, and at least one field.
 */
import type { Publish } from './command.js';
import type { WireMessage } from './heard.js';

/**
 * An offset and the fields beside it. Of a keyed channel also `@key` and `@version`; a deletion has `'@deleted' in
 * message`. Of one that was published `named` also `@user`, the id of whoever published it, by the server's word.
 */
export type Message<Value = string> = {
  readonly offset: string;
  readonly '@key'?: string;
  readonly '@version'?: string;
  readonly '@deleted'?: true;
  readonly '@user'?: string;
} & { readonly [field: string]: Value };

/** Turns a value that is published into text. */
export type Encode = (value: unknown, field: string) => string;
/** Turns a field's text into what the application works with. */
export type Decode<Value> = (text: string, field: string) => Value;

/** What may stand beside the fields of a publish; see `PROTOCOL.md`. */
export interface PublishOptions {
  key?: string;
  version?: string;
  tombstone?: boolean;
  maxlen?: number;
  /** The message says who published it: the server adds `@user`, the id of the token, which nobody can write themselves. */
  named?: boolean;
}

export type Fields = { readonly [field: string]: unknown };
/** Either fields and options, or names and values by turns. */
export type PublishArguments =
  | [fields: Fields, options?: PublishOptions]
  | [name: string, ...rest: unknown[]];

/** Texts as they are, everything else as JSON. */
export const encodeValue: Encode = (value, field) => {
  if (typeof value === 'string') return value;
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError(`the value of ${field} cannot be written as text`);
  return text;
};

export function toMessage<Value>(wire: WireMessage, decode: Decode<Value> | undefined): Message<Value> {
  const isField = ([name, text]: [string, unknown]) =>
    typeof text === 'string' && name !== 'offset' && !name.startsWith('@');
  const entries = Object.entries(wire).map((entry): [string, unknown] => {
    const [name, text] = entry;
    return decode && isField(entry) ? [name, decode(String(text), name)] : entry;
  });
  // `fromEntries` defines; an assignment would let a field named `__proto__` through to the prototype.
  return Object.fromEntries(entries) as Message<Value>;
}

/** Throws a `TypeError` for arguments that make no message. */
export function toPublish(channel: string, given: readonly unknown[], encode: Encode): Publish {
  const [first, second] = given;
  if (typeof first === 'object' && first !== null) {
    if (given.length > 2) throw new TypeError('after an object of fields only options may follow');
    const options = (second ?? {}) as PublishOptions;
    return {
      ...pickOptions(options),
      op: 'publish',
      channel,
      fields: encodeAll(Object.entries(first), encode),
    };
  }
  if (given.length % 2 !== 0) throw new TypeError('fields come as name and value: an odd number was given');
  const pairs: [string, unknown][] = [];
  for (let at = 0; at < given.length; at += 2) {
    const name = given[at];
    if (typeof name !== 'string') throw new TypeError('the name of a field is text');
    pairs.push([name, given[at + 1]]);
  }
  return { op: 'publish', channel, fields: encodeAll(pairs, encode) };
}

function encodeAll(pairs: [string, unknown][], encode: Encode): Record<string, string> {
  if (pairs.length === 0) throw new TypeError('a message has at least one field');
  return Object.fromEntries(pairs.map(([name, value]) => [name, encode(value, name)]));
}

function pickOptions({ key, version, tombstone, maxlen, named }: PublishOptions): PublishOptions {
  return {
    ...(key !== undefined && { key }),
    ...(version !== undefined && { version }),
    ...(tombstone !== undefined && { tombstone }),
    ...(maxlen !== undefined && { maxlen }),
    ...(named !== undefined && { named }),
  };
}
