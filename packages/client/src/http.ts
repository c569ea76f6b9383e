/**
 * Requests to the server, and what can come of them. It serves access, signalling and everything that POSTs.
 * Invariant: a problem document becomes an `HttpError` with the server's own stable code; a network fault stays what
 * `fetch` threw.
 */
import { isRecord, parseJson } from './check.js';

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

/** Worth another attempt with the same request: the network failed, or the server was busy. */
export function isPassing(error: unknown): boolean {
  return !(error instanceof HttpError) || error.status === 429 || error.status >= 500;
}
