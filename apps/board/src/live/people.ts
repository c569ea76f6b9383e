/**
 * The people in the room: who they are, how they are reached, what they send. It serves the live board.
 * Invariant: members are the signalling's and links the mesh's; a peer's board is compared with ours only while ours is
 * level with the channel.
 */
import { Mesh, type MeshHappening, type PeerView, Signalling, type SignallingHappening } from 'inkwire';
import { Exchange } from '../sync/exchange.js';
import type { Replica } from '../sync/replica.js';
import { type CursorWord, decodeCursor } from '../sync/words.js';
import { colourOf } from '../who/colour.js';
import { Company } from './company.js';
import { Cursors } from './cursors.js';
import type { Collaborators } from './editor.js';
import type { Pass } from './pass.js';
import { type Person, reachOf } from './view.js';

export interface PeopleWorld {
  /** Somebody has come, gone, or is reached otherwise. */
  changed(): void;
  /** Somebody's hand has moved. */
  moved(): void;
  /** The replica may have something to show. */
  received(): void;
  /** Somebody can see our cursor who could not before. */
  opened(): void;
}

export class People {
  readonly #world: PeopleWorld;
  readonly #signalling: Signalling;
  readonly #company: Company;
  /** There is none where the browser has no WebRTC. */
  readonly #mesh: Mesh | undefined;
  readonly #exchange: Exchange;
  readonly #cursors = new Cursors();
  readonly #names = new Map<string, string>();
  readonly #comings = { joined: 0, left: 0 };

  constructor(room: string, name: string, pass: Pass, replica: Replica, world: PeopleWorld) {
    this.#world = world;
    const token = pass.source();
    this.#signalling = new Signalling({ access: async () => ({ token: await token() }) });
    this.#company = new Company(this.#signalling, (happening) => this.#count(happening));
    if (typeof RTCPeerConnection === 'function') {
      this.#mesh = new Mesh(this.#company);
      this.#mesh.listen((happening) => this.#take(happening));
    }
    this.#exchange = new Exchange(replica, name, {
      send: (peer, text) => this.#mesh?.send(peer, 'updates', text) ?? 'closed',
      now: () => performance.now(),
      mayEdit: (peer) => this.#company.mayEdit(peer),
      onName: (peer, text) => {
        this.#names.set(peer, text);
        world.changed();
      },
      onNonsense: (peer) => this.#mesh?.ignore(peer, 'updates'),
    });
    this.#signalling.join(room);
    this.#signalling.start();
  }

  get state(): Signalling['state'] {
    return this.#signalling.state;
  }

  get links(): PeerView[] {
    return this.#mesh?.peers ?? [];
  }

  get comings(): { joined: number; left: number } {
    return { ...this.#comings };
  }

  /** Whether everybody who can be reached has told us all they have. */
  get isLevel(): boolean {
    return this.#exchange.level;
  }

  /** Whether everybody sees over the mesh what is drawn here. */
  get allLinked(): boolean {
    const linked = new Set(
      this.links.filter(({ state }) => state.kind === 'connected').map(({ peer }) => peer.id),
    );
    return this.#company.members.every(({ user }) => linked.has(user.id));
  }

  get all(): Person[] {
    const links = new Map(this.links.map(({ peer, state }) => [peer.id, state]));
    return this.#company.members.map(({ user }) => ({
      id: user.id,
      name: this.#names.get(user.id) ?? user.username,
      colour: colourOf(user.id),
      reach: reachOf(links.get(user.id)),
    }));
  }

  collaborators(): Collaborators {
    return this.#cursors.collaborators(this.all);
  }

  rename(name: string): void {
    this.#exchange.rename(name);
  }

  /** How our board stands to the channel: only one that is level is compared with those of others. */
  compare(standing: 'level' | 'behind' | 'doubtful'): void {
    if (standing === 'doubtful') this.#exchange.part();
    else this.#exchange.setLevel(standing === 'level');
  }

  /** Sends what waits. To be called after changes, at the pace they are to be seen. */
  flush(): void {
    this.#exchange.flush();
  }

  point(word: CursorWord): void {
    const text = JSON.stringify(word);
    // Whoever cannot take it now is sent a newer one soon.
    for (const { peer } of this.links) this.#mesh?.send(peer.id, 'cursors', text);
  }

  start(): void {
    this.#signalling.start();
  }

  nudge(): void {
    this.#signalling.nudge();
  }

  leave(): void {
    this.#signalling.close();
  }

  end(): void {
    this.#signalling.close();
    this.#mesh?.close();
  }

  #take(happening: MeshHappening): void {
    const { peer } = happening;
    switch (happening.type) {
      case 'open':
        this.#exchange.open(peer.id);
        this.#world.opened();
        break;
      case 'drain':
        this.#exchange.flush();
        return;
      case 'message':
        if (happening.pipe === 'updates') this.#exchange.take(peer.id, happening.text);
        else this.#takeCursor(peer.id, happening.text);
        this.#world.received();
        return;
      case 'left':
        this.#exchange.close(peer.id);
        this.#cursors.forget(peer.id);
        break;
      case 'joined':
      case 'link':
        break;
    }
    this.#world.changed();
  }

  #takeCursor(peer: string, text: string): void {
    const word = decodeCursor(text);
    if (!word) this.#mesh?.ignore(peer, 'cursors');
    else {
      this.#cursors.take(peer, word);
      this.#world.moved();
    }
  }

  #count(happening: SignallingHappening): void {
    if (happening.type === 'add-peer') this.#comings.joined += 1;
    if (happening.type === 'remove-peer') {
      this.#comings.left += 1;
      this.#names.delete(happening.peer.id);
    }
    this.#world.changed();
  }
}
