/** One token for all that a page does, and what becomes of one that is refused. */
import { expect, test } from 'vitest';
import { Pass } from '../src/live/pass.js';

const exp = Math.floor(Date.now() / 1000) + 3600;
const tokenOf = (n: number) =>
  `h.${Buffer.from(JSON.stringify({ id: `${n}`, exp })).toString('base64url')}.s`;

test('a token is shared, and whoever was refused with it is given another', async () => {
  let asked = 0;
  const pass = new Pass(async () => {
    asked += 1;
    return { token: tokenOf(asked) };
  });
  const [line, people] = [pass.source(), pass.source()];
  const [first, same] = await Promise.all([line(), people()]);
  expect([same, asked]).toEqual([first, 1]);
  // Refused: the one asks, and so does the other.
  expect(await people()).toBe(tokenOf(2));
  expect(await line()).toBe(tokenOf(2));
  expect(await pass.token()).toBe(tokenOf(2));
  expect(asked).toBe(2);
});
