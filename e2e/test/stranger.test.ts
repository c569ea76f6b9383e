/**
 * Clients of another make: a page with nothing but EventSource, fetch and RTCPeerConnection, written after the contract
 * and sharing no line with ours. Two of them find each other; one finds our board; and one means harm.
 */
import { createServer, type Server } from 'node:http';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { boardOf, draw, linked, PATIENCE, peersOf, sameBoard } from '../src/board.js';
import { house } from '../src/house.js';
import { listen } from '../src/loopback.js';

const home = house();
let blank: Server | undefined;
let blankUrl = '';

/** A page of another origin: the API is open to every one. */
beforeAll(async () => {
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>blank</title><link rel="icon" href="data:,">');
  });
  blank = server;
  blankUrl = `${await listen(server)}/`;
});
afterAll(() => {
  blank?.closeAllConnections();
  blank?.close();
});

interface Stranger {
  channels: RTCDataChannel[];
  heard: string[];
  peers: string[];
}

declare global {
  interface Window {
    stranger?: Stranger;
  }
}

/** The whole client: it joins, offers where it is told to, answers where it is asked, and says hello on every channel. */
async function strange(page: Page, server: string, room: string, name: string): Promise<void> {
  await page.goto(blankUrl);
  await page.evaluate(
    async ([base, roomId, username]) => {
      const me: Stranger = { channels: [], heard: [], peers: [] };
      window.stranger = me;
      const access = await fetch(`${base}/access`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ username }),
      });
      const { token } = (await access.json()) as { token: string };
      const post = (path: string, body?: unknown) =>
        fetch(base + path, {
          method: 'POST',
          headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
      const connections = new Map<string, RTCPeerConnection>();
      const adopt = (channel: RTCDataChannel) => {
        channel.binaryType = 'arraybuffer';
        channel.onopen = () => {
          me.channels.push(channel);
          channel.send(JSON.stringify({ t: 'hello', name: username }));
        };
        channel.onmessage = ({ data }) => me.heard.push(String(data));
      };
      const connection = (peer: string) => {
        const known = connections.get(peer);
        if (known) return known;
        const made = new RTCPeerConnection();
        connections.set(peer, made);
        made.onicecandidate = ({ candidate }) => {
          if (candidate) void post(`/relay/${peer}/ice-candidate`, candidate);
        };
        made.ondatachannel = ({ channel }) => adopt(channel);
        return made;
      };
      const stream = new EventSource(`${base}/connect?token=${encodeURIComponent(token)}`);
      const on = (event: string, then: (data: never) => unknown) =>
        stream.addEventListener(event, ({ data }) => void then(JSON.parse(data) as never));
      on('add-peer', async ({ peer, offer }: { peer: { id: string }; offer: boolean }) => {
        me.peers.push(peer.id);
        if (!offer) return;
        const made = connection(peer.id);
        adopt(made.createDataChannel('updates', { ordered: false }));
        adopt(made.createDataChannel('cursors', { ordered: false, maxRetransmits: 0 }));
        await made.setLocalDescription(await made.createOffer());
        await post(`/relay/${peer.id}/session-description`, made.localDescription);
      });
      on('remove-peer', ({ peer }: { peer: { id: string } }) => {
        me.peers = me.peers.filter((id) => id !== peer.id);
        connections.get(peer.id)?.close();
      });
      on(
        'session-description',
        async ({ peer, data }: { peer: { id: string }; data: RTCSessionDescriptionInit }) => {
          const made = connection(peer.id);
          await made.setRemoteDescription(data);
          if (data.type !== 'offer') return;
          await made.setLocalDescription(await made.createAnswer());
          await post(`/relay/${peer.id}/session-description`, made.localDescription);
        },
      );
      on('ice-candidate', ({ peer, data }: { peer: { id: string }; data: RTCIceCandidateInit }) =>
        connection(peer.id).addIceCandidate(data),
      );
      await new Promise((connected) => stream.addEventListener('connected', connected, { once: true }));
      const joined = await post(`/${roomId}/join`);
      if (!joined.ok) throw new Error(`join: ${joined.status}`);
    },
    [server, room, name] as const,
  );
}

async function heard(page: Page, part: string): Promise<void> {
  await page.waitForFunction((wanted) => window.stranger?.heard.some((text) => text.includes(wanted)), part, {
    timeout: PATIENCE,
  });
}

test('two strangers find each other by the contract alone', async () => {
  const room = new URL(home.room()).pathname.slice(1);
  const [one, two] = [await home.browser.newPage(), await home.browser.newPage()];
  await strange(one, home.url, room, 'One');
  await strange(two, home.url, room, 'Two');
  await heard(one, '"Two"');
  await heard(two, '"One"');
  await two.close();
  await one.waitForFunction(() => window.stranger?.peers.length === 0, undefined, { timeout: PATIENCE });
  await one.close();
});

test('a stranger and a board, whoever comes first', async () => {
  const url = home.room();
  const room = new URL(url).pathname.slice(1);
  const one = await home.browser.newPage();
  await strange(one, home.url, room, 'One');
  const ann = await home.enter(url, { name: 'Ann' });
  const two = await home.browser.newPage();
  await ann.page.waitForFunction(() => window.inkwire?.peers()[0]?.state.kind === 'connected', undefined, {
    timeout: PATIENCE,
  });
  await strange(two, home.url, room, 'Two');
  for (const page of [one, two]) await heard(page, '"Ann"');
  await draw(ann.page, [
    [400, 300],
    [500, 350],
  ]);
  for (const page of [one, two]) await heard(page, 'freedraw');
  await Promise.all([one.close(), two.close()]);
});

test('a peer that means harm harms nobody', async () => {
  const url = home.room();
  const ann = await home.enter(url, { name: 'Ann' });
  const bob = await home.enter(url, { name: 'Bob' });
  for (const { page } of [ann, bob]) await linked(page, 1);
  await draw(ann.page, [
    [400, 300],
    [500, 350],
  ]);
  await sameBoard(bob.page, ann.page);
  const eve = await home.browser.newPage();
  await strange(eve, home.url, new URL(url).pathname.slice(1), 'Eve');
  await eve.waitForFunction(() => (window.stranger?.channels.length ?? 0) >= 4, undefined, {
    timeout: PATIENCE,
  });
  await eve.evaluate(() => {
    const base = {
      id: 'evil',
      type: 'rectangle',
      version: 5,
      versionNonce: 5,
      index: 'a5',
      isDeleted: false,
      x: 0,
      y: 0,
      width: 10,
      height: 10,
      angle: 0,
      strokeColor: '#000',
      backgroundColor: 'transparent',
      fillStyle: 'solid',
      strokeWidth: 1,
      strokeStyle: 'solid',
      roughness: 1,
      opacity: 100,
      roundness: null,
      seed: 1,
      groupIds: [],
      frameId: null,
      boundElements: null,
      updated: 1,
      link: null,
      locked: false,
    };
    const bad = [
      { ...base, index: '!!!' },
      { ...base, x: 1e300 },
      { ...base, type: 'iframe', link: 'https://example.org' },
      { ...base, type: 'freedraw', points: null },
      { ...base, type: 'line', points: [[0]] },
      { ...base, roundness: 7 },
      { ...base, version: 1e300 },
      { ...base, groupIds: 5 },
      null,
      7,
      [],
      { ...base, boundElements: [{}] },
      { ...base, type: 'text', text: {} },
      { ...base, fillStyle: { a: 1 } },
    ];
    const frames: (string | ArrayBuffer)[] = [
      '',
      'null',
      '{',
      '[]',
      '{"t":"put","elements":7}',
      '{"t":"have","versions":{"a":"zzz"}}',
      '{"t":"nothing"}',
      '{"t":"hello","name":{}}',
      `{"t":"hello","name":"${'x'.repeat(5000)}"}`,
      ...bad.map((element) => JSON.stringify({ t: 'put', elements: [element] })),
      new ArrayBuffer(3),
      new Uint8Array([0, 0, 0, 1, 0, 9, 0, 2, 1]).buffer,
      new Uint8Array([0, 0, 0, 1, 0, 0, 255, 255, 1]).buffer,
      // Allowed, if unfriendly: an arrow bound to nothing, and a text in a box that is not there.
      JSON.stringify({
        t: 'put',
        elements: [
          {
            ...base,
            id: 'arrow',
            index: 'a6',
            type: 'arrow',
            points: [
              [0, 0],
              [50, 50],
            ],
            lastCommittedPoint: null,
            startBinding: { elementId: 'nowhere', focus: 0, gap: 1 },
            endBinding: null,
            startArrowhead: null,
            endArrowhead: 'arrow',
            elbowed: true,
          },
          {
            ...base,
            id: 'text',
            index: 'a6',
            type: 'text',
            text: 'lost',
            originalText: 'lost',
            fontSize: 20,
            fontFamily: 19,
            textAlign: 'left',
            verticalAlign: 'top',
            containerId: 'nowhere',
            autoResize: false,
            lineHeight: 1.25,
          },
        ],
      }),
    ];
    for (const channel of window.stranger?.channels ?? []) {
      for (const frame of frames) {
        if (typeof frame === 'string') channel.send(frame);
        else channel.send(frame);
      }
    }
  });
  for (const { page } of [ann, bob]) {
    await page.waitForFunction(
      () =>
        (window.inkwire?.peers().find(({ peer }) => peer.username === 'Eve')?.counters.updates.ignored ??
          0) >= 20,
      undefined,
      { timeout: PATIENCE },
    );
  }
  await eve.close();
  for (const { page } of [ann, bob]) await linked(page, 1);
  await draw(bob.page, [
    [600, 300],
    [700, 350],
  ]);
  await sameBoard(ann.page, bob.page);
  const types = (await boardOf(ann.page)).map(({ type }) => type).sort();
  expect(types).toEqual(['arrow', 'freedraw', 'freedraw', 'text']);
  expect((await peersOf(ann.page)).every(({ counters }) => counters.updates.ignored === 0)).toBe(true);
});
