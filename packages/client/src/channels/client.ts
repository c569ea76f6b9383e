/**
 * Channels over one connection to one of several servers: what an application calls. It puts the parts together: the
 * driver keeps the line, the followers keep the cursors, the outbox keeps what is to be published.
 * Invariant: per channel nothing is lost, nothing comes twice and nothing out of order; where that cannot be had, `gap` or
 * an error says so.
 */

import { asError } from '../check.js';
import { type Fetch, ownFetch, request } from '../http.js';
import type { Room, RoomOptions } from '../rooms/room.js';
import type { Rooms, RoomsWorld } from '../rooms/rooms.js';
import type { ConnectionState } from '../state.js';
import { Tokens } from '../tokens.js';
import type { User } from '../user.js';
import type { Cache, Kept } from './cache.js';
import type { Publish } from './command.js';
import { Driver, type Lines } from './driver.js';
import { ClientError } from './errors.js';
import { Events } from './events.js';
import { type Beginning, Followers, type Gap, type Subscribed } from './followers.js';
import type { Heard, WireMessage } from './heard.js';
import { httpLines } from './http-line.js';
import {
  type Decode,
  type Encode,
  encodeValue,
  type Message,
  type PublishArguments,
  toMessage,
  toPublish,
} from './message.js';
import { BEGINNING, isOffset } from './offset.js';
import { Outbox } from './outbox.js';
import { Reader } from './reader.js';
import { type SocketConstructor, socketLines } from './socket-line.js';
import { type CacheOptions, StorageCache, storageOf } from './storage-cache.js';

export interface ClientOptions<Value = string> {
  /** Where the servers are: `https://a.example`, or several. Without it, where the page came from. */
  targets?: string | readonly string[];
  /** A token that lasts as long as the client; else `getToken`. */
  token?: string;
  /** Asked whenever a token is needed: at first, before the last one expires, and after a refusal. */
  getToken?: () => string | Promise<string>;
  /** Makes text of what is published. Texts stay as they are and everything else becomes JSON, unless you say otherwise. */
  encode?: Encode;
  /**
   * Makes of each field's text what `messages` and `load` give. Without it, the text. A message at which it throws is left
   * out, and `error` tells why.
   */
  decode?: Decode<Value>;
  /**
   * What is remembered of channels over a reload, and in what: `localStorage` by default, `indexedDb()` for more, `false` for
   * nothing. In Node nothing, unless a storage is given.
   */
  cache?: false | CacheOptions | Cache;
  /** Names this client's publishes. A name may be used again by a later client, never by two at once. Random by default. */
  producer?: string;
  /**
   * For Node 20, which has none: the `WebSocket` of the package `ws` or `undici`. Without one, and where none can be opened,
   * event streams and POSTs do its work.
   */
  WebSocket?: SocketConstructor;
  fetch?: Fetch;
  /** For rooms: the browser's own by default; `false` for rooms that use no mesh. Node has none. */
  RTCPeerConnection?: typeof RTCPeerConnection | false;
  /** In [0, 1); replaced in tests. */
  random?: () => number;
}

export type ClientEvents<Value = string> = {
  /** The connection stands, and every subscription goes on. */
  connect: [info: { user: User; node: string }];
  /** It was lost; the next one is being made. */
  disconnect: [reason: string];
  messages: [channel: string, messages: readonly Message<Value>[]];
  /** What followed `after` is gone from the log: forget what you had of the channel. What comes begins at `oldest`. */
  gap: [channel: string, gap: Gap];
  /** Something failed that no call can tell you of. */
  error: [error: Error];
};

/** A channel as this client last knew it. */
export interface Loaded<Value = string> {
  messages: Message<Value>[];
  /** Where `subscribe(channel, 'last')` goes on; `0` if nothing is known. */
  lastOffset: string;
}

export interface Client<Value = string> {
  readonly state: ConnectionState;
  /** What the cache has of a channel, at once and without a connection. Subscriptions from `last` or `0` fill it. */
  load(channel: string): Promise<Loaded<Value>>;
  /** Returns the way to stop listening. */
  on<Name extends keyof ClientEvents<Value>>(
    name: Name,
    listener: (...told: ClientEvents<Value>[Name]) => void,
  ): () => void;
  /**
   * Follows a channel: `$` for what is published from now on, `0` for all there is, an offset, for what follows it, or
   * `last`, for what follows the cache.
   * Resolves when the server has said where it begins; without a connection it waits for one.
   */
  subscribe(channel: string, offset?: string): Promise<Subscribed>;
  unsubscribe(channel: string): Promise<void>;
  /**
   * Publishes a message, as `'name', value, …` or as an object and options, and resolves to its offset when it is durable.
   * Without a connection it waits for one. It is sent again after a drop, and never published twice. Where it had arrived
   * before the drop, together with later ones of yours, the offset may be that of the last of them.
   */
  publish(channel: string, ...message: PublishArguments): Promise<string>;
  /**
   * The messages of a channel, for `for await`. Follows the channel until the loop ends, unless `subscribe` does already:
   * then it joins in. A slow loop pauses the channel, for everybody here, and nothing is lost.
   */
  messages(channel: string, offset?: string): AsyncIterableIterator<Message<Value>, undefined>;
  /**
   * Enters a room: who is there, and messages to and from them, from browser to browser where that can be. Resolves when the
   * server has us in it. The first call loads what rooms need.
   */
  room(id: string, options?: RoomOptions): Promise<Room>;
  /** Ends everything: what was not answered fails with `closed`, and loops end. */
  close(): void;
}

export function createClient<Value = string>(options: ClientOptions<Value> = {}): Client<Value> {
  return new ChannelClient(options);
}

class ChannelClient<Value> implements Client<Value> {
  readonly #events = new Events<ClientEvents<Value>>();
  readonly #encode: Encode;
  readonly #decode: Decode<Value> | undefined;
  readonly #driver: Driver;
  readonly #followers: Followers;
  readonly #outbox: Outbox;
  readonly #cache: Cache | undefined;
  readonly #readers = new Map<string, Set<Reader<Message<Value>>>>();
  /** Channels that are followed for the sake of loops alone. */
  readonly #followed = new Set<string>();
  readonly #roomsWorld: RoomsWorld;
  #loading: Promise<Rooms> | undefined;
  #rooms: Rooms | undefined;
  /** Channels of rooms, which are nobody else's. */
  readonly #taken = new Map<string, { take: (messages: WireMessage[]) => void; gap: () => void }>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #nudge = () => this.#driver.nudge();
  readonly #flush = () => this.#cache?.flush();

  constructor(options: ClientOptions<Value>) {
    const { random = Math.random } = options;
    this.#encode = options.encode ?? encodeValue;
    this.#decode = options.decode;
    // `crypto.randomUUID` would name it, but browsers withhold it from pages over plain HTTP.
    this.#outbox = new Outbox(
      options.producer ?? crypto.getRandomValues(new Uint32Array(4)).join('-'),
      Date.now(),
      random,
    );
    this.#cache = cacheOf(options.cache ?? {});
    this.#followers = new Followers({
      send: (command, answered) => this.#driver.ask(command, answered),
      random,
      deliver: (channel, messages) => this.#deliver(channel, messages),
      gap: (channel, gap) => this.#gap(channel, gap),
      dropped: (channel, error) => this.#dropped(channel, error),
    });
    this.#driver = new Driver(targetsOf(options.targets), linesOf(options), tokensOf(options), {
      connected: (user, node, resumed) => this.#connected(user, node, resumed),
      position: () => this.#rooms?.position,
      lost: (reason) => this.#lost(reason),
      heard: (heard) => this.#hear(heard),
      fault: (error) => this.#events.tell('error', error),
      stopped: (error) => this.#stopped(error),
      maySwitch: () => !this.#outbox.inDoubt(Date.now()),
      random,
    });
    this.#roomsWorld = this.#worldOfRooms(options);
    globalThis.addEventListener?.('online', this.#nudge);
    globalThis.addEventListener?.('pagehide', this.#flush);
    void this.#driver.run();
  }

  get state(): ConnectionState {
    return this.#driver.state;
  }

  on<Name extends keyof ClientEvents<Value>>(
    name: Name,
    listener: (...told: ClientEvents<Value>[Name]) => void,
  ): () => void {
    return this.#events.on(name, listener);
  }

  async subscribe(channel: string, offset = '$'): Promise<Subscribed> {
    this.#mustBeOpen();
    return this.#followers.add(channel, this.#beginning(channel, offset));
  }

  async load(channel: string): Promise<Loaded<Value>> {
    const nothing: Kept = { messages: [], lastOffset: BEGINNING };
    const { messages, lastOffset } = (await this.#cache?.load(channel)) ?? nothing;
    return { messages: this.#decoded(messages), lastOffset };
  }

  async unsubscribe(channel: string): Promise<void> {
    if (this.#taken.has(channel)) throw takenError(channel);
    this.#endReaders(channel);
    this.#cache?.close(channel);
    await this.#followers.remove(channel);
  }

  async publish(channel: string, ...message: PublishArguments): Promise<string> {
    this.#mustBeOpen();
    return this.#publish(toPublish(channel, message, this.#encode));
  }

  async #publish(publish: Publish): Promise<string> {
    const answered = this.#outbox.add(this.#driver.nextId(), publish);
    this.#pump();
    const { offset } = await answered;
    if (offset === undefined) throw new ClientError('internal', 'the server named no offset');
    return offset;
  }

  messages(channel: string, offset?: string): AsyncIterableIterator<Message<Value>, undefined> {
    const readers = this.#readers.get(channel) ?? new Set();
    this.#readers.set(channel, readers);
    const joins = this.#followers.has(channel);
    const reader: Reader<Message<Value>> = new Reader(
      () => this.#drained(channel),
      () => this.#leave(channel, reader),
    );
    if (this.#taken.has(channel)) {
      reader.end(takenError(channel));
      return reader;
    }
    if (joins && offset !== undefined) {
      reader.end(
        new ClientError('conflict', `${channel} is subscribed to already: its place cannot be chosen`),
      );
      return reader;
    }
    readers.add(reader);
    if (joins) return reader;
    this.#followed.add(channel);
    this.subscribe(channel, offset).catch((error: Error) => this.#endReaders(channel, error));
    return reader;
  }

  async room(id: string, options: RoomOptions = {}): Promise<Room> {
    this.#mustBeOpen();
    this.#loading ??= import('../rooms/rooms.js').then(({ Rooms }) =>
      this.#begin(new Rooms(this.#roomsWorld)),
    );
    try {
      await this.#loading;
    } catch (error) {
      // The network may be back at the next try.
      this.#loading = undefined;
      throw error;
    }
    this.#mustBeOpen();
    return (await this.#loading).enter(id, options);
  }

  close(): void {
    this.#rooms?.end('closed');
    this.#driver.stop('closed', new ClientError('closed', 'the client was closed'));
  }

  /** Where to begin. Whoever begins at the end of the cache, or at the beginning of all, goes on filling it. */
  #beginning(channel: string, offset: string): Beginning | Promise<Beginning> {
    const isLast = offset === 'last';
    if (!isLast && offset !== '$' && offset !== BEGINNING && !isOffset(offset))
      throw new TypeError(`${offset} is no offset`);
    if (!this.#cache || offset === '$' || this.#followers.has(channel))
      return { offset: isLast ? BEGINNING : offset, isCached: false };
    // What is read from the beginning is not added to what was there: the log may be another.
    if (offset === BEGINNING) this.#cache.clear(channel);
    const begin = ({ lastOffset }: Kept) => ({
      offset: isLast ? lastOffset : offset,
      isCached: isLast || offset === lastOffset,
    });
    const kept = this.#cache.open(channel);
    return kept instanceof Promise ? kept.then(begin) : begin(kept);
  }

  #begin(rooms: Rooms): Rooms {
    this.#rooms = rooms;
    const { state } = this;
    if (state.kind === 'live') rooms.connected(state.user, undefined);
    return rooms;
  }

  #worldOfRooms(options: ClientOptions<Value>): RoomsWorld {
    const { fetch: fetcher = ownFetch, random = Math.random } = options;
    const { RTCPeerConnection: Connection = globalThis.RTCPeerConnection } = options;
    return {
      state: () => this.state,
      ask: (command, answered) => this.#driver.ask(command, answered),
      follow: async (channel, take, gap) => {
        const isFree = !this.#followers.has(channel);
        if (isFree) this.#taken.set(channel, { take, gap });
        try {
          await this.subscribe(channel);
        } catch (error) {
          if (isFree) this.#taken.delete(channel);
          throw error;
        }
      },
      unfollow: (channel) => {
        if (this.#taken.delete(channel)) void this.unsubscribe(channel);
      },
      publish: (channel, fields, maxlen) =>
        this.#publish({ op: 'publish', channel, fields, maxlen, named: true }),
      ice: async () => {
        const { base, token } = await this.#driver.access();
        return request(fetcher, `${base}/ice`, { token });
      },
      fault: (error) => this.#events.tell('error', error),
      random,
      Connection: Connection || undefined,
    };
  }

  #connected(user: User, node: string, resumed: boolean | undefined): void {
    this.#followers.connected();
    this.#pump();
    this.#rooms?.connected(user, resumed);
    this.#events.tell('connect', { user, node });
  }

  #lost(reason: string): void {
    this.#followers.lost();
    this.#outbox.lost();
    this.#events.tell('disconnect', reason);
  }

  #hear(heard: Heard): void {
    if (heard.event === 'messages') this.#followers.messages(heard.channel, heard.messages);
    else if (heard.event === 'gap') this.#followers.gap(heard.channel, heard);
    else if (heard.event === 'error')
      this.#events.tell('error', new ClientError(heard.error.code, heard.error.message));
    else if (heard.event === 'reply') {
      this.#outbox.answered(heard.id, heard.outcome, Date.now());
      this.#pump();
    } else if (heard.event === 'other') this.#rooms?.hear(heard.name, heard.data);
  }

  /** Sends what can be sent, and comes back when more can. */
  #pump(): void {
    clearTimeout(this.#timer);
    if (this.state.kind !== 'live') return;
    const now = Date.now();
    for (let next = this.#outbox.next(now); next; next = this.#outbox.next(now))
      this.#driver.send(next.publish, next.id);
    const due = this.#outbox.due(now);
    if (due !== undefined) this.#timer = setTimeout(() => this.#pump(), due);
  }

  #gap(channel: string, gap: Gap): void {
    const taken = this.#taken.get(channel);
    if (taken) {
      taken.gap();
      return;
    }
    this.#cache?.clear(channel);
    this.#events.tell('gap', channel, gap);
  }

  #deliver(channel: string, wire: WireMessage[]): void {
    const taken = this.#taken.get(channel);
    if (taken) {
      taken.take(wire);
      return;
    }
    if (this.#followers.isCached(channel)) this.#cache?.add(channel, wire);
    const messages = this.#decoded(wire);
    const readers = this.#readers.get(channel) ?? [];
    for (const reader of readers) reader.push(messages);
    if ([...readers].some((reader) => reader.isFull)) this.#followers.pause(channel);
    if (messages[0]) this.#events.tell('messages', channel, messages);
  }

  /** Anybody may have published anything: what `decode` throws at is told as an error and left out, and the rest goes on. */
  #decoded(wire: WireMessage[]): Message<Value>[] {
    return wire.flatMap((message) => {
      try {
        return toMessage(message, this.#decode);
      } catch (error) {
        this.#events.tell('error', asError(error));
        return [];
      }
    });
  }

  /** The last loop of a channel that is followed for loops alone turns out the light. */
  #leave(channel: string, reader: Reader<Message<Value>>): void {
    const readers = this.#readers.get(channel);
    readers?.delete(reader);
    if (readers?.size === 0 && this.#followed.has(channel)) void this.unsubscribe(channel);
    else this.#drained(channel);
  }

  #drained(channel: string): void {
    const readers = [...(this.#readers.get(channel) ?? [])];
    if (!readers.some((reader) => reader.isFull)) this.#followers.resume(channel);
  }

  #dropped(channel: string, error: Error): void {
    this.#endReaders(channel, error);
    this.#events.tell('error', error);
  }

  #endReaders(channel: string, error?: Error): void {
    const readers = this.#readers.get(channel);
    this.#readers.delete(channel);
    this.#followed.delete(channel);
    for (const reader of readers ?? []) reader.end(error);
  }

  #stopped(error: ClientError): void {
    const isOurs = error.code === 'closed';
    globalThis.removeEventListener?.('online', this.#nudge);
    globalThis.removeEventListener?.('pagehide', this.#flush);
    this.#flush();
    clearTimeout(this.#timer);
    for (const channel of [...this.#readers.keys()]) this.#endReaders(channel, isOurs ? undefined : error);
    this.#followers.end(error);
    this.#rooms?.end(error.message);
    this.#outbox.end(error);
    if (!isOurs) this.#events.tell('error', error);
  }

  #mustBeOpen(): void {
    const { state } = this;
    if (state.kind === 'stopped') throw new ClientError('closed', state.detail);
  }
}

function takenError(channel: string): ClientError {
  return new ClientError('conflict', `a room has taken ${channel}`);
}

function cacheOf(given: false | CacheOptions | Cache): Cache | undefined {
  if (given === false || 'flush' in given) return given || undefined;
  const storage = storageOf(given);
  return storage && new StorageCache(storage, given);
}

function targetsOf(targets: ClientOptions['targets']): string[] {
  const list = typeof targets === 'string' ? [targets] : [...(targets ?? [globalThis.location?.origin])];
  if (list.length === 0 || list.some((target) => !target)) throw new TypeError('no target is named');
  return list.map((target) => {
    const url = new URL(target);
    if (!/^(http|ws)s?:$/.test(url.protocol)) throw new TypeError(`${target} is neither http nor ws`);
    return `${url.protocol.replace('ws', 'http')}//${url.host}${url.pathname}`.replace(/\/+$/, '');
  });
}

function tokensOf<Value>({ token, getToken }: ClientOptions<Value>): Tokens {
  if (getToken) return new Tokens(() => getToken());
  if (!token) throw new TypeError('either token or getToken is needed');
  return new Tokens(() => token, false);
}

function linesOf<Value>(options: ClientOptions<Value>): Lines {
  const Socket = options.WebSocket ?? globalThis.WebSocket;
  const http = httpLines(options.fetch ?? ownFetch, Socket !== undefined);
  return Socket ? [socketLines(Socket), http] : [http];
}
