/**
 * Small questions asked of values that came from outside, and the error for those that make no sense. They serve every decoder
 * of this package.
 * Invariant: they look, and change nothing.
 */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isText(value: unknown, longest: number): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= longest;
}

/** `undefined` where the text is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** What was thrown, as an error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** What a server said under the name of `event`, and nobody understands. */
export class WireError extends Error {
  override name = 'WireError';
  constructor(
    readonly event: string,
    reason: string,
  ) {
    super(`${event}: ${reason}`);
  }
}
