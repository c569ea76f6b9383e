/**
 * The images of the board: ours sent up, theirs fetched. It serves the live board.
 * Invariant: an image is called by the SHA-256 of its bytes, by everybody; so it is sent once, kept for good, and never
 * taken for another.
 *
 * The editor has names of its own for images, drawn from the file as it was before the editor made it smaller. They stay in
 * this page: what leaves it has the common name, and an image whose bytes are not named yet does not leave.
 */
import type { BinaryFileData, BinaryFiles } from '@excalidraw/excalidraw/types';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import type { Follower, Replica } from '../sync/replica.js';
import type { SceneElement } from '../sync/scene.js';
import type { Obstacle } from '../sync/unsent.js';
import type { Pass } from './pass.js';
import type { KeptFile, Store } from './store.js';

export interface FilesWorld {
  /** Images are there, for the editor to show. */
  show(files: BinaryFileData[]): void;
  /** An image has its name now, or one more is sent. */
  changed(): void;
}

type DataUrl = BinaryFileData['dataURL'];
type Type = BinaryFileData['mimeType'];

/** Requests at once. */
const AT_ONCE = 4;
/** Milliseconds, doubled with each failure up to the longest: whoever has drawn an image may still be sending it. */
const RETRY_BASE = 500;
const LONGEST_RETRY = 15_000;

interface Transfer {
  failures: number;
  due: number;
  isUnderWay: boolean;
}

export class Files {
  readonly #place: string;
  readonly #pass: Pass;
  readonly #replica: Replica;
  readonly #store: Store | undefined;
  readonly #world: FilesWorld;
  readonly #follower: Follower;
  /** The editor's names, and ours. */
  readonly #names = new Map<string, string>();
  /** Those that are being named. */
  readonly #naming = new Set<string>();
  /** What is here, by our names. */
  readonly #held = new Map<string, { type: Type; dataUrl: DataUrl }>();
  readonly #toSend = new Map<string, Transfer>();
  readonly #toFetch = new Map<string, Transfer>();
  readonly #stuck = new Map<string, Obstacle>();
  #underWay = 0;

  /** `place`: the room, or the view of one. */
  constructor(place: string, pass: Pass, replica: Replica, store: Store | undefined, world: FilesWorld) {
    this.#place = place;
    this.#pass = pass;
    this.#replica = replica;
    this.#store = store;
    this.#world = world;
    this.#follower = replica.follow('here', 'peer', 'channel');
    for (const id of replica.ids()) this.#follower.mark(id);
  }

  /** How many are not sent, and what stands in the way of those that never will be. */
  get unsent(): { count: number; stuck: Obstacle[] } {
    return {
      count: this.#naming.size + this.#toSend.size + this.#stuck.size,
      stuck: [...this.#stuck.values()],
    };
  }

  /** Takes up what this browser has kept. */
  async restore(): Promise<void> {
    const kept = (await this.#store?.files().catch(() => [])) ?? [];
    for (const { id, type, dataUrl, isUnsent } of kept) {
      this.#held.set(id, { type: type as Type, dataUrl: dataUrl as DataUrl });
      if (isUnsent) this.#toSend.set(id, newTransfer());
    }
  }

  /** To be called with the editor's files, whenever they may have changed. */
  look(files: BinaryFiles): void {
    for (const [id, file] of Object.entries(files)) {
      if (this.#held.has(id) || this.#names.has(id) || this.#naming.has(id)) continue;
      this.#naming.add(id);
      void this.#name(id, file);
    }
  }

  /** An element as everybody is to know it; `undefined` while its image has no name. */
  readonly translate = (element: SceneElement): SceneElement | undefined => {
    if (!isImage(element)) return element;
    const { fileId } = element;
    const name = fileId === null || NAME.test(fileId) ? fileId : this.#names.get(fileId);
    return name ? ({ ...element, fileId: name, status: 'saved' } as SceneElement) : undefined;
  };

  /** Fetches and sends what is due. `isConnected`: whether it makes sense to try. */
  flush(now: number, isConnected: boolean): void {
    for (const id of this.#follower.take()) this.#need(id);
    if (!isConnected) return;
    for (const [id, transfer] of this.#toSend) this.#begin(transfer, now, () => this.#send(id));
    for (const [id, transfer] of this.#toFetch) this.#begin(transfer, now, () => this.#fetch(id));
  }

  end(): void {
    this.#follower.end();
  }

  /** An element that refers to an image: shown if it is here, else to be fetched. */
  #need(id: string): void {
    const element = this.#replica.get(id)?.element;
    if (!element || element.isDeleted || element.type !== 'image') return;
    const name = String(element.fileId);
    if (this.#held.has(name)) this.#show(name);
    else if (!this.#toFetch.has(name)) this.#toFetch.set(name, newTransfer());
  }

  #show(id: string): void {
    const held = this.#held.get(id);
    if (!held) return;
    const file = { id: id as BinaryFileData['id'], mimeType: held.type, dataURL: held.dataUrl };
    this.#world.show([{ ...file, created: Date.now() }]);
  }

  async #name(id: string, { dataURL, mimeType }: BinaryFileData): Promise<void> {
    const bytes = new Uint8Array(await (await fetch(dataURL)).arrayBuffer());
    const name = bytesToHex(sha256(bytes));
    this.#names.set(id, name);
    this.#naming.delete(id);
    if (!this.#held.has(name)) {
      this.#held.set(name, { type: mimeType, dataUrl: dataURL });
      this.#toSend.set(name, newTransfer());
      this.#keep(name, true);
    }
    this.#world.changed();
  }

  #keep(id: string, isUnsent: boolean): void {
    const held = this.#held.get(id);
    const file: KeptFile | undefined = held && { id, type: held.type, dataUrl: held.dataUrl, isUnsent };
    // Not kept, it is sent and fetched all the same while the page lives.
    if (file) void this.#store?.keepFile(file).catch(() => undefined);
  }

  #begin(transfer: Transfer, now: number, act: () => Promise<'done' | 'again'>): void {
    if (transfer.isUnderWay || transfer.due > now || this.#underWay >= AT_ONCE) return;
    transfer.isUnderWay = true;
    this.#underWay += 1;
    const ended = (outcome: 'done' | 'again') => {
      transfer.isUnderWay = false;
      this.#underWay -= 1;
      if (outcome === 'again') {
        transfer.due = performance.now() + Math.min(LONGEST_RETRY, RETRY_BASE * 2 ** transfer.failures);
        transfer.failures += 1;
      }
      this.#world.changed();
    };
    act().then(ended, () => ended('again'));
  }

  async #send(id: string): Promise<'done' | 'again'> {
    const held = this.#held.get(id);
    if (!held) return 'done';
    // The editor's own name for a sort of JPEG that servers need not know.
    const type = held.type === 'image/jfif' ? 'image/jpeg' : held.type;
    const body = await (await fetch(held.dataUrl)).arrayBuffer();
    const response = await this.#request(id, { method: 'PUT', headers: { 'content-type': type }, body });
    if (response.status === 429 || response.status >= 500) return 'again';
    this.#toSend.delete(id);
    if (response.ok) this.#keep(id, false);
    else this.#stuck.set(id, response.status === 413 ? 'too-large' : 'refused');
    return 'done';
  }

  async #fetch(id: string): Promise<'done' | 'again'> {
    const response = await this.#request(id, {});
    if (!response.ok) return 'again';
    const blob = await response.blob();
    this.#held.set(id, { type: blob.type as Type, dataUrl: await dataUrlOf(blob) });
    this.#toFetch.delete(id);
    this.#keep(id, false);
    this.#show(id);
    return 'done';
  }

  async #request(id: string, init: RequestInit): Promise<Response> {
    const token = await this.#pass.token();
    const response = await this.#ask(id, init, token);
    if (response.status !== 401 && response.status !== 403) return response;
    // The server may not know this token any more; another will do then.
    return this.#ask(id, init, await this.#pass.token(token));
  }

  #ask(id: string, init: RequestInit, token: string): Promise<Response> {
    const headers = { ...init.headers, authorization: `Bearer ${token}` };
    return fetch(`/rooms/${this.#place}/files/${id}`, { ...init, headers });
  }
}

/** A name of ours; the editor's are shorter. */
const NAME = /^[0-9a-f]{64}$/;

const newTransfer = (): Transfer => ({ failures: 0, due: 0, isUnderWay: false });

function isImage(element: SceneElement): element is SceneElement & { fileId: string | null } {
  return (element as { type?: unknown }).type === 'image';
}

function dataUrlOf(blob: Blob): Promise<DataUrl> {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result as DataUrl);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(blob);
  });
}
