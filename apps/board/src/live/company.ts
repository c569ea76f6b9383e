/**
 * Who may be linked: the signalling, as the mesh is to see it. It serves the people of the room.
 * Invariant: everybody in a room decides alike, by the number of its people alone: all are linked with each other, or
 * nobody is. Who is not linked is reached through the room's channel.
 */
import type { MeshSignalling, Peer, SignallingHappening } from 'inkwire';

/** Peers. Each link costs each page an upload of all it draws; beyond this the server's single copy is cheaper for all. */
export const MOST_LINKED = 8;

export interface Member {
  user: Peer;
  roomId: string;
  /** Whether we are the one that calls. */
  offer: boolean;
}

export class Company implements MeshSignalling {
  readonly #signalling: MeshSignalling;
  readonly #members = new Map<string, Member>();
  readonly #listeners = new Set<(happening: SignallingHappening) => void>();
  readonly #onChange: (happening: SignallingHappening) => void;
  #areLinked = true;

  /** `onChange` is told whatever the signalling tells, after the mesh was. */
  constructor(signalling: MeshSignalling, onChange: (happening: SignallingHappening) => void) {
    this.#signalling = signalling;
    this.#onChange = onChange;
    signalling.listen((happening) => this.#take(happening));
  }

  /** Everybody else in the room. */
  get members(): Member[] {
    return [...this.#members.values()];
  }

  /** What a viewer says has changed is not to be believed. */
  mayEdit(id: string): boolean {
    return this.#members.get(id)?.user.viewer !== true;
  }

  get state(): MeshSignalling['state'] {
    return this.#signalling.state;
  }

  ice(): ReturnType<MeshSignalling['ice']> {
    return this.#signalling.ice();
  }

  relay(...of: Parameters<MeshSignalling['relay']>): ReturnType<MeshSignalling['relay']> {
    return this.#signalling.relay(...of);
  }

  listen(listener: (happening: SignallingHappening) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #take(happening: SignallingHappening): void {
    switch (happening.type) {
      case 'add-peer':
        this.#members.set(happening.peer.id, {
          user: happening.peer,
          roomId: happening.roomId,
          offer: happening.offer,
        });
        this.#weigh(() => this.#tell(happening));
        break;
      case 'remove-peer':
        this.#members.delete(happening.peer.id);
        if (this.#areLinked) this.#tell(happening);
        this.#weigh();
        break;
      case 'start':
        this.#forgetAll();
        this.#areLinked = true;
        this.#tell(happening);
        break;
      default:
        if (happening.type === 'state' && happening.state.kind === 'stopped') this.#forgetAll();
        this.#tell(happening);
    }
    this.#onChange(happening);
  }

  /** Whoever was here is not known to be any more. The mesh sees for itself. */
  #forgetAll(): void {
    const members = this.members;
    this.#members.clear();
    for (const { user: peer, roomId } of members) this.#onChange({ type: 'remove-peer', peer, roomId });
  }

  /** Links all, or parts all, where the number asks for the other. */
  #weigh(otherwise?: () => void): void {
    const mayLink = this.#members.size <= MOST_LINKED;
    if (mayLink === this.#areLinked) {
      if (mayLink) otherwise?.();
      return;
    }
    this.#areLinked = mayLink;
    for (const { user: peer, roomId, offer } of this.#members.values())
      this.#tell(mayLink ? { type: 'add-peer', peer, roomId, offer } : { type: 'remove-peer', peer, roomId });
  }

  #tell(happening: SignallingHappening): void {
    for (const listener of this.#listeners) listener(happening);
  }
}
