/**
 * Requests to the server, and what can come of them. It serves whoever asks for something by HTTP.
 * Invariant: a problem document becomes an `HttpError` with the server's own stable code; a network fault stays what
 * `fetch` threw; a token is never part of a URL.
 */
import { isRecord, parseJson } from './check.js';
import { Patience } from './patience.js';

/** Milliseconds for a request that is no stream. */
const PATIENCE = 20_000;

/** The server answered, and the answer is no. */
export class HttpError extends Error {
  override name = 'HttpError';
  constructor(
    readonly status: number,
    /** The stable code of the problem document, or `''`. */
    readonly code: string,
    detail: string,
    /** Milliseconds the server asks us to wait, if it does. */
    readonly retryAfter: number | undefined,
  ) {
    super(detail);
  }
}

/** The part of `fetch` this package uses; a test or a worker may bring its own. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** The world's own. It is looked up for each request, so that one that is replaced later is used. */
export const ownFetch: Fetch = (url, init) => fetch(url, init);

export interface Asking extends Pick<RequestInit, 'method' | 'keepalive'> {
  token?: string | undefined;
  /** Any JSON; nothing is sent for `undefined`. */
  body?: unknown;
  headers?: Record<string, string>;
  /** Ends the wait. */
  signal?: AbortSignal | undefined;
}

/** One request, and the JSON that answers it: `undefined` where the answer is none. It throws unless the answer is a 2xx. */
export async function request(fetch: Fetch, url: string, asking: Asking): Promise<unknown> {
  const { token, body, headers, signal, ...init } = asking;
  const patience = new Patience(PATIENCE, signal);
  try {
    const response = await fetch(url, {
      ...init,
      headers: {
        accept: 'application/json',
        ...(init.method && { 'content-type': 'application/json' }),
        ...headers,
        ...authorization(token),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: patience.signal,
    });
    // The body is read to its end, or the browser keeps the connection busy.
    return parseJson(await (await expectOk(response)).text());
  } finally {
    patience.end();
  }
}

export function authorization(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

/**
 * A name as one segment of a path. Whoever calls may hold anything: `..` would lead to another path, and half a character to
 * none; they are answered as the server answers names that it does not like.
 */
export function segment(name: unknown): string {
  if (typeof name !== 'string' || /^\.*$|\p{Surrogate}/u.test(name))
    throw new HttpError(400, 'invalid', `${String(name)} is no name`, undefined);
  return encodeURIComponent(name);
}

/** Throws an `HttpError` unless the answer is a 2xx. */
export async function expectOk(response: Response): Promise<Response> {
  if (response.ok) return response;
  const problem = parseJson(await response.text().catch(() => ''));
  const code = isRecord(problem) && typeof problem.code === 'string' ? problem.code : '';
  const detail = isRecord(problem) && typeof problem.detail === 'string' ? problem.detail : '';
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retryAfter = Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, 60) * 1000 : undefined;
  throw new HttpError(response.status, code, detail || `the server answered ${response.status}`, retryAfter);
}

/** Whether the server will not have who asks. */
export function isRefusal(error: unknown): boolean {
  return error instanceof HttpError && (error.status === 401 || error.status === 403);
}

/** Worth another attempt with the same request: the network failed, or the server was busy. */
export function isPassing(error: unknown): boolean {
  return !(error instanceof HttpError) || error.status === 429 || error.status >= 500;
}
