/** The types an application meets. They are checked by the compiler; running this file proves only that it is there. */
import { expectTypeOf, test } from 'vitest';
import { type Client, createClient, type Message, type Room, type RoomPeer } from '../src/index.js';

const options = { targets: 'http://127.0.0.1:9', token: 'a', WebSocket: class {} as never };

test('texts by default', () => {
  const client = createClient(options);
  expectTypeOf(client).toEqualTypeOf<Client<string>>();
  expectTypeOf(client.publish).returns.toEqualTypeOf<Promise<string>>();
  client.on('messages', (channel, messages) => {
    expectTypeOf(channel).toEqualTypeOf<string>();
    expectTypeOf(messages).toEqualTypeOf<readonly Message[]>();
    const [message] = messages;
    expectTypeOf(message?.offset).toEqualTypeOf<string | undefined>();
    expectTypeOf(message?.text).toEqualTypeOf<string | undefined>();
    expectTypeOf(message?.['@user']).toEqualTypeOf<string | undefined>();
  });
  client.on('gap', (_channel, { oldest }) => expectTypeOf(oldest).toEqualTypeOf<string>());
  // @ts-expect-error: there is no such event
  client.on('mesages', () => undefined);
  // @ts-expect-error: whether it is named is a yes or a no
  expectTypeOf(() => client.publish('a', { b: 'c' }, { named: 'ann' }));
  // @ts-expect-error: an option is misspelt
  expectTypeOf(() => client.publish('a', { b: 'c' }, { keys: 'k' }));
  client.close();
});

test('what `decode` gives, where it is given', async () => {
  const client = createClient({ ...options, decode: (text) => Number(text) });
  expectTypeOf(client).toEqualTypeOf<Client<number>>();
  const loop = client.messages('a');
  client.close();
  for await (const { n, offset } of loop) {
    expectTypeOf(n).toEqualTypeOf<number | undefined>();
    expectTypeOf(offset).toExtend<string>();
  }
});

test('a WebSocket of a browser and of the package ws will do', () => {
  type Given = NonNullable<NonNullable<Parameters<typeof createClient>[0]>['WebSocket']>;
  expectTypeOf<typeof globalThis.WebSocket>().toExtend<Given>();
  expectTypeOf<typeof import('ws').WebSocket>().toExtend<Given>();
});

test('rooms', () => {
  const client = createClient(options);
  expectTypeOf(client.room).returns.toEqualTypeOf<Promise<Room>>();
  const listen = (room: Room) => {
    expectTypeOf(room.peers).toEqualTypeOf<readonly RoomPeer[]>();
    room.on('message', (peer, data) => {
      expectTypeOf(peer.route).toEqualTypeOf<'mesh' | 'channel'>();
      expectTypeOf(data).toEqualTypeOf<unknown>();
    });
    // @ts-expect-error: there is no such event
    room.on('joined', () => undefined);
  };
  expectTypeOf(listen).parameter(0).toEqualTypeOf<Room>();
  client.close();
});
