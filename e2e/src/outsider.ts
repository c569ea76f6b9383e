/** What somebody does to a room over plain HTTP, without a page. It serves the browser tests. */

/** Puts a message of another sort into the channel of a board that nobody has opened yet. */
export const spoil = (room: string): Promise<void> => put(room, '', { text: 'mine' });

/** Puts something that is no element in the place of one, under a version that no board can beat. */
export const takeKey = (room: string, key: string): Promise<void> =>
  put(room, `?key=${key}&version=zzzz`, { element: 'mine' });

async function put(room: string, query: string, fields: Record<string, string>): Promise<void> {
  const { origin, pathname } = new URL(room);
  const channel = encodeURIComponent(`board:${pathname.slice(1)}`);
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${await tokenOf(origin)}` };
  const answer = await fetch(`${origin}/channels/${channel}${query}`, {
    method: 'POST',
    headers,
    body: JSON.stringify(fields),
  });
  if (answer.status !== 201) throw new Error(`the channel took no message: ${answer.status}`);
}

async function tokenOf(origin: string): Promise<string> {
  const answer = await fetch(`${origin}/access`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"username":"mallory"}',
  });
  const { token } = (await answer.json()) as { token: string };
  return token;
}
