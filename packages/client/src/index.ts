/** The npm package `inkwire`: channels that lose nothing, signalling that resumes, and a mesh of data channels on top of it. */
export { type Access, anonymousAccess, type Grant, guestToken } from './access.js';
export type { Cache, Kept } from './channels/cache.js';
export {
  type Client,
  type ClientEvents,
  type ClientOptions,
  createClient,
  type Loaded,
} from './channels/client.js';
export { type IndexedDbOptions, indexedDb } from './channels/database-cache.js';
export { ClientError } from './channels/errors.js';
export type { Gap, Subscribed } from './channels/followers.js';
export {
  decodeHeard,
  type Heard,
  type Outcome,
  type Refusal,
  type Reply,
  type WireMessage,
} from './channels/heard.js';
export type {
  Decode,
  Encode,
  Fields,
  Message,
  PublishArguments,
  PublishOptions,
} from './channels/message.js';
export { isAfter, isOffset } from './channels/offset.js';
export type { SocketConstructor, SocketLike } from './channels/socket-line.js';
export type { CacheOptions, CacheStorage } from './channels/storage-cache.js';
export { WireError } from './check.js';
export { MAX_FRAME, MAX_MESSAGE } from './frames.js';
export { type Fetch, HttpError } from './http.js';
export type { LinkState, Route } from './link-state.js';
export { Mesh, type MeshHappening, type MeshOptions, type MeshSignalling, type PeerView } from './mesh.js';
export type { Counters, PipeName, SendOutcome } from './pipe.js';
export type { Room, RoomEvents, RoomOptions, RoomPeer } from './rooms/room.js';
export {
  type RelayOutcome,
  Signalling,
  type SignallingHappening,
  type SignallingOptions,
} from './signalling.js';
export { type SseBlock, SseParser } from './sse.js';
export type { ConnectionState, StopReason } from './state.js';
export { readToken } from './tokens.js';
export type { User } from './user.js';
export { decode, type Peer, type WireEvent } from './wire.js';
