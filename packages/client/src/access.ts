/**
 * How a guest comes by a token. It serves the signalling, and applications without accounts of their own.
 * Invariant: shown a token that is still valid, the server keeps the identity, so a guest stays who they are.
 */
import { isRecord } from './check.js';
import { type Fetch, isRefusal, ownFetch, request } from './http.js';
import { readToken, Tokens } from './tokens.js';

export interface Grant {
  token: string;
}

/** Gives a fresh token. An application with accounts of its own brings its own function. `held` is the token so far. */
export type Access = (signal: AbortSignal, held?: string) => Promise<Grant>;

/** Anonymous access: `POST /access` under a name. `username` is asked for each time, since people rename themselves. */
export function anonymousAccess(base: string, username: () => string, fetch: Fetch): Access {
  const ask = (signal: AbortSignal, token?: string) =>
    request(fetch, `${base}/access`, { method: 'POST', token, body: { username: username() }, signal });
  return async (signal, held) => {
    const isValid = held !== undefined && (readToken(held).expires ?? 0) > Date.now();
    const answer = await ask(signal, isValid ? held : undefined).catch((error) => {
      // The server may have another secret now: whoever we were, nobody knows us.
      if (isValid && isRefusal(error)) return ask(signal);
      throw error;
    });
    if (!isRecord(answer) || typeof answer.token !== 'string')
      throw new Error('/access answered without a token');
    return { token: answer.token };
  };
}

/**
 * A `getToken` for guests: the server names them anew, and they stay who they are for as long as the page is open. Give it the
 * server's origin, or nothing on a page the server itself has served.
 */
export function guestToken(base = '', username: string | (() => string) = 'guest'): () => Promise<string> {
  const access = anonymousAccess(base, nameOf(username), ownFetch);
  const tokens = new Tokens(async (held) => (await access(new AbortController().signal, held)).token);
  return () => tokens.renewed();
}

export function nameOf(username: string | (() => string)): () => string {
  return typeof username === 'string' ? () => username : username;
}
