/**
 * Servers that are killed without a word and started again on what they had written, while everybody talks and listens.
 *
 * Breakages tried on purpose, each of which makes this fail: a publish numbered anew when it is sent again; one that
 * is not sent again; a cursor that does not move; a wait before the next server when one drains.
 */
import { afterEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type Client, createClient } from '../src/channels/client.js';
import { isAfter } from '../src/channels/offset.js';
import { mint, Node, until } from './node.js';
import { seeded } from './random.js';

const CHANNELS = ['storm:a', 'storm:b', 'storm:c'];
const KILLS = 6;
/** Rounds of talk that may wait for a server that is slow to come back: more than go out at once, and far from what a client keeps. */
const AHEAD = 200;

const clients: Client[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

function connect(...targets: string[]): Client {
  const client = createClient({ targets, token: mint(), WebSocket });
  clients.push(client);
  return client;
}

/** What somebody heard: per channel, offset and text of every message, as it came. */
type Heard = Map<string, string[]>;

function listen(client: Client): Heard {
  const heard: Heard = new Map(CHANNELS.map((channel) => [channel, []]));
  client.on('messages', (channel, messages) => {
    heard.get(channel)?.push(...messages.map(({ offset, by }) => `${offset} ${by}`));
  });
  return heard;
}

async function loop(client: Client, channel: string, read: string[]): Promise<void> {
  for await (const { offset, by } of client.messages(channel, '0')) read.push(`${offset} ${by}`);
}

/** Publishes far ahead of the answers, and gives every text with the offset it was promised. */
async function talk(name: string, client: Client, isOver: () => boolean): Promise<string[][]> {
  const rounds: Promise<string[]>[] = [];
  for (let n = 0; !isOver(); n += 1) {
    const by = `${name} ${n}`;
    const say = async (channel: string) => `${await client.publish(channel, { by })} ${by}`;
    rounds.push(Promise.all(CHANNELS.map(say)));
    await rounds[n - AHEAD];
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const promised = await Promise.all(rounds);
  return CHANNELS.map((_, at) => promised.map((round) => round[at] ?? ''));
}

const textOf = (line: string) => line.slice(line.indexOf(' ') + 1);
const offsetOf = (line: string) => line.slice(0, line.indexOf(' '));

/** Of what had arrived before a drop, the server tells only where the newest is; nobody is promised too early a place. */
function expectPromisesKept(heard: string[], promised: string[]): void {
  for (const [n, line] of heard.entries()) {
    const offset = offsetOf(promised[n] ?? '');
    expect(isAfter(offsetOf(line), offset)).toBe(false);
  }
  const exact = heard.filter((line, n) => line === promised[n]);
  expect(exact.length).toBeGreaterThan(heard.length / 2);
}

test(`${KILLS} kills: nothing lost, nothing twice, nothing out of order`, { timeout: 120_000 }, async () => {
  await using node = await Node.start();
  const random = seeded(5);
  const [ann, bob, carl] = [connect(node.url), connect(node.url), connect(node.url)];
  const everybody = [ann, bob, carl];
  const gaps: string[] = [];
  for (const client of everybody) client.on('gap', (channel) => gaps.push(channel));
  const ears = everybody.map(listen);
  await Promise.all(everybody.flatMap((client) => CHANNELS.map((channel) => client.subscribe(channel, '0'))));
  const read: string[] = [];
  const looped = loop(connect(node.url), 'storm:a', read);
  let disconnects = 0;
  ann.on('disconnect', () => {
    disconnects += 1;
  });

  let isOver = false;
  const talks = [ann, bob].map((client, at) => talk(`p${at}`, client, () => isOver));
  for (let kill = 0; kill < KILLS; kill += 1) {
    await until(() => ann.state.kind === 'live' && bob.state.kind === 'live', 30_000);
    await new Promise((resolve) => setTimeout(resolve, 100 + 400 * random()));
    await node.end('SIGKILL');
    await node.start();
  }
  isOver = true;
  const promised = await Promise.all(talks);

  for (const [at, channel] of CHANNELS.entries()) {
    const texts = promised.flatMap((perChannel) => (perChannel[at] ?? []).map(textOf));
    for (const ear of ears) await until(() => (ear.get(channel)?.length ?? 0) >= texts.length);
    for (const ear of ears) {
      const heard = ear.get(channel) ?? [];
      expect(heard.map(textOf).sort()).toEqual([...texts].sort());
      expect(heard).toEqual(ears[0]?.get(channel));
      for (const [who, perChannel] of promised.entries()) {
        const own = heard.filter((line) => line.includes(` p${who} `));
        expect(own.map(textOf)).toEqual(perChannel[at]?.map(textOf));
        expectPromisesKept(own, perChannel[at] ?? []);
      }
    }
  }
  expect(gaps).toEqual([]);
  expect(disconnects).toBe(KILLS);
  await until(() => read.length >= (ears[0]?.get('storm:a')?.length ?? 0));
  expect(read).toEqual(ears[0]?.get('storm:a'));
  clients.at(-1)?.close();
  await looped;
});

test('a server that is not there is passed over, and one that drains is left', async () => {
  await using first = await Node.start();
  await using second = await Node.start();
  const past = createClient({
    targets: ['http://127.0.0.1:9', second.url],
    token: mint(),
    WebSocket,
    random: () => 0,
  });
  clients.push(past);
  await past.publish('a', 'b', 'c');
  // Begins with the last of the list, and its waits are almost the longest there are.
  const targets = [second.url, first.url];
  const client = createClient({ targets, token: mint(), WebSocket, random: () => 0.95 });
  clients.push(client);
  const nodes: string[] = [];
  client.on('connect', ({ node }) => nodes.push(node));
  await until(() => nodes.length === 1);
  await client.publish('a', 'b', 'c');
  // Long enough to be a good connection, whose end is nobody's fault.
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  let leftAt = 0;
  client.on('disconnect', () => {
    leftAt = Date.now();
  });
  const ended = first.end('SIGTERM');
  await until(() => nodes.length === 2);
  expect(Date.now() - leftAt).toBeLessThan(300);
  expect(nodes[1]).not.toBe(nodes[0]);
  await client.publish('a', 'b', 'c');
  await ended;
});
