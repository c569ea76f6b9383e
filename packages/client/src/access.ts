/**
 * How a client comes by its token. It serves the signalling, which asks for one whenever it starts anew.
 * Invariant: a token is never part of a URL.
 */
import { isRecord, parseJson } from './check.js';
import { expectOk, type Fetch } from './http.js';

/** Milliseconds; then it is tried again. */
const GUEST_PATIENCE = 10_000;

export interface Grant {
  token: string;
}

/** Gives a fresh token. An application with accounts of its own brings its own function. `held` is the token so far. */
export type Access = (signal: AbortSignal, held?: string) => Promise<Grant>;

/**
 * Anonymous access: `POST /access` under a name. `username` is asked for each time, since people rename themselves.
 * Shown a token that is still valid, the server keeps the identity: peers notice nothing of a renewal.
 */
export function anonymousAccess(base: string, username: () => string, fetch: Fetch): Access {
  return async (signal, held) => {
    const valid = held !== undefined && (readToken(held).expires ?? 0) > Date.now();
    const response = await fetch(`${base}/access`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(valid && { authorization: `Bearer ${held}` }) },
      body: JSON.stringify({ username: username() }),
      signal,
    });
    const body = parseJson(await (await expectOk(response)).text());
    if (!isRecord(body) || typeof body.token !== 'string')
      throw new Error('/access answered without a token');
    return { token: body.token };
  };
}

/**
 * A `getToken` for guests: the server names them anew, and they stay who they are for as long as the page is open. Give it the
 * server's origin, or nothing on a page the server itself has served.
 */
export function guestToken(base = '', username: string | (() => string) = 'guest'): () => Promise<string> {
  const name = typeof username === 'string' ? () => username : username;
  const access = anonymousAccess(base, name, (url, init) => fetch(url, init));
  let held: string | undefined;
  return async () => {
    const { token } = await access(AbortSignal.timeout(GUEST_PATIENCE), held);
    held = token;
    return token;
  };
}

/** What the client may know of its own token: who it is, and until when. The server alone judges it. */
export function readToken(token: string): { id: string | undefined; expires: number | undefined } {
  const claims = parseJson(decodeBase64Url(token.split('.')[1] ?? ''));
  if (!isRecord(claims)) return { id: undefined, expires: undefined };
  return {
    id: typeof claims.id === 'string' ? claims.id : undefined,
    expires: typeof claims.exp === 'number' ? claims.exp * 1000 : undefined,
  };
}

function decodeBase64Url(text: string): string {
  try {
    const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
    return new TextDecoder().decode(Uint8Array.from(binary, (character) => character.charCodeAt(0)));
  } catch {
    return '';
  }
}
