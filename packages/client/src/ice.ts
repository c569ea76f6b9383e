/**
 * The ICE servers, decoded, and how long they may be used. It serves the mesh.
 * Invariant: an answer that cannot be read means no servers, which still connects peers of one network.
 */
import { isRecord } from './check.js';

export interface IceServers {
  servers: RTCIceServer[];
  /** When the first credential ends, in milliseconds since 1970, or `undefined`. */
  expires: number | undefined;
}

export function decodeIce(body: unknown): IceServers {
  const list = isRecord(body) && Array.isArray(body.iceServers) ? body.iceServers : [];
  const servers = list.map(decodeServer).filter((server) => server !== undefined);
  const ends = servers.map((server) => credentialEnd(server.username)).filter((end) => end !== undefined);
  return { servers, expires: ends.length > 0 ? Math.min(...ends) : undefined };
}

function decodeServer(value: unknown): RTCIceServer | undefined {
  if (!isRecord(value)) return undefined;
  const urls = typeof value.urls === 'string' ? [value.urls] : value.urls;
  if (!Array.isArray(urls) || urls.length === 0 || !urls.every((url) => typeof url === 'string'))
    return undefined;
  const server: RTCIceServer = { urls };
  if (typeof value.username === 'string') server.username = value.username;
  if (typeof value.credential === 'string') server.credential = value.credential;
  return server;
}

/** Short-lived TURN credentials carry their end, in seconds, in front of the user name: `1700000000:ann`. */
function credentialEnd(username: string | undefined): number | undefined {
  const seconds = /^(\d{9,12})(?::|$)/.exec(username ?? '')?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}
