/** Who somebody is. It serves all who tell of people. Invariant: what is decoded has the type it says. */
import { isRecord, isText } from './check.js';

/** Who somebody is: the id is the server's word, the name is what they called themselves. */
export interface User {
  id: string;
  username: string;
}

/** A user as the server writes it; anything else is `undefined`. */
export function decodeUser(value: unknown): User | undefined {
  if (!isRecord(value) || !isText(value.id, 200) || !isText(value.username, 256)) return undefined;
  return { id: value.id, username: value.username };
}
