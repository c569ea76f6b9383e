/** The npm package `inkwire`: signalling that resumes, and a mesh of data channels on top of it. */
export { type Access, anonymousAccess, type Grant, readToken } from './access.js';
export { MAX_FRAME, MAX_MESSAGE } from './frames.js';
export { type Fetch, HttpError } from './http.js';
export type { LinkState, Route } from './link-state.js';
export { Mesh, type MeshHappening, type MeshOptions, type MeshSignalling, type PeerView } from './mesh.js';
export type { Counters, PipeName, SendOutcome } from './pipe.js';
export {
  type RelayOutcome,
  Signalling,
  type SignallingHappening,
  type SignallingOptions,
} from './signalling.js';
export { type SseBlock, SseParser } from './sse.js';
export type { ConnectionState, StopReason } from './state.js';
export { decode, type User, WireError, type WireEvent } from './wire.js';
