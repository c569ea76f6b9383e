/**
 * What we read out of descriptions and candidates that came from a peer. It serves the mesh.
 * Invariant: nothing but a well-formed init object passes; the SDP itself is the browser's to judge.
 */
import { isRecord } from './check.js';

/** Characters. Descriptions of two data channels have about a thousand; the server takes no body over 64 KiB. */
const LONGEST_SDP = 32 * 1024;

export interface Description {
  type: 'offer' | 'answer';
  sdp: string;
}

export function decodeDescription(data: unknown): Description | undefined {
  if (!isRecord(data) || typeof data.sdp !== 'string' || data.sdp.length > LONGEST_SDP) return undefined;
  if (data.type !== 'offer' && data.type !== 'answer') return undefined;
  return { type: data.type, sdp: data.sdp };
}

export function decodeCandidate(data: unknown): RTCIceCandidateInit | undefined {
  if (!isRecord(data) || typeof data.candidate !== 'string' || data.candidate.length > 4096) return undefined;
  const { candidate, sdpMid, sdpMLineIndex, usernameFragment } = data;
  return {
    candidate,
    sdpMid: typeof sdpMid === 'string' ? sdpMid : null,
    sdpMLineIndex: typeof sdpMLineIndex === 'number' ? sdpMLineIndex : null,
    usernameFragment: typeof usernameFragment === 'string' ? usernameFragment : null,
  };
}

/** Which RTCPeerConnection wrote this: each makes a certificate of its own. `''` where there is none. */
export function fingerprint(sdp: string): string {
  return /^a=fingerprint:(.+)$/m.exec(sdp)?.[1]?.trim().toLowerCase() ?? '';
}

/** Which round of ICE a description belongs to: candidates name it too. */
export function iceRound(sdp: string): string {
  return /^a=ice-ufrag:(.+)$/m.exec(sdp)?.[1]?.trim() ?? '';
}
