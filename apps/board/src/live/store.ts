/**
 * What this browser keeps of boards: elements, how far they go in the channel, images, and what of them is unsent. It
 * serves the live board.
 * Invariant: a record is replaced by a newer version only, so the pages of one browser may write side by side; elements and
 * offset are written in one transaction, so what is kept is always a place to go on from.
 *
 * It is IndexedDB, and not the npm package's cache: what has to be kept is more than the channel has said, and it must be
 * kept together. An element is a record of its own; a stroke costs one small write, however large the board.
 */

/** Milliseconds a browser is given to open it, before a board goes on without. */
const PATIENCE = 3_000;
const DATABASE = 'inkwire';
const FORMAT = 1;
/** Boards; of more, those unused for longest are let go, unless something of theirs is unsent. */
const MOST_BOARDS = 40;

/** An element, as JSON. */
export interface Kept {
  id: string;
  version: string;
  text: string;
  isUnsent: boolean;
}

export interface KeptBoard {
  /** How far it goes in the channel. */
  place: KeptPlace | undefined;
  elements: Kept[];
}

export interface KeptPlace {
  offset: string;
  /** Keys of the channel that hold no element, with their versions. */
  foreign: [key: string, version: string][];
}

/** An image. */
export interface KeptFile {
  id: string;
  type: string;
  dataUrl: string;
  isUnsent: boolean;
}

interface BoardRecord extends Partial<KeptPlace> {
  room: string;
  /** Milliseconds since 1970. */
  used: number;
}

type ElementRecord = Kept & { room: string };
type FileRecord = KeptFile & { room: string };

export class Store {
  readonly #database: IDBDatabase;
  readonly #room: string;
  /** What was kept when it was opened, until somebody takes it. */
  #found: Promise<KeptBoard> | undefined;

  private constructor(database: IDBDatabase, room: string) {
    this.#database = database;
    this.#room = room;
    // Another page wants a newer format: it must not wait for us.
    database.onversionchange = () => database.close();
    this.#found = this.#read();
    this.#found.catch(() => undefined);
  }

  /** The store of a room, which begins to read what it keeps of it; `undefined` where the browser keeps nothing. */
  static find(room: string): Promise<Store | undefined> {
    const late = new Promise<undefined>((done) => setTimeout(done, PATIENCE));
    return Promise.race([Store.#open(room).catch(() => undefined), late]);
  }

  static async #open(room: string): Promise<Store> {
    const request = indexedDB.open(DATABASE, FORMAT);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('boards', { keyPath: 'room' });
      request.result.createObjectStore('elements', { keyPath: ['room', 'id'] });
      request.result.createObjectStore('files', { keyPath: ['room', 'id'] });
    };
    return new Store(await answer(request), room);
  }

  load(): Promise<KeptBoard> {
    const found = this.#found ?? this.#read();
    this.#found = undefined;
    return found;
  }

  async #read(): Promise<KeptBoard> {
    const transaction = this.#database.transaction(['boards', 'elements']);
    const board = answer<BoardRecord | undefined>(transaction.objectStore('boards').get(this.#room));
    const elements = answer<ElementRecord[]>(transaction.objectStore('elements').getAll(all(this.#room)));
    const { offset, foreign = [] } = (await board) ?? {};
    return { place: offset === undefined ? undefined : { offset, foreign }, elements: await elements };
  }

  /** Rejects where nothing was written. */
  async write(place: KeptPlace, changed: readonly Kept[], gone: readonly string[]): Promise<void> {
    const transaction = this.#database.transaction(['boards', 'elements'], 'readwrite');
    const done = completion(transaction);
    const room = this.#room;
    const record: BoardRecord = { room, ...place, used: Date.now() };
    transaction.objectStore('boards').put(record);
    const elements = transaction.objectStore('elements');
    for (const id of gone) elements.delete([room, id]);
    for (const kept of changed) {
      const known: IDBRequest<ElementRecord | undefined> = elements.get([room, kept.id]);
      known.onsuccess = () => {
        if (!known.result || known.result.version <= kept.version) elements.put({ ...kept, room });
      };
    }
    await done;
  }

  async files(): Promise<KeptFile[]> {
    const files = this.#database.transaction('files').objectStore('files');
    return answer<FileRecord[]>(files.getAll(all(this.#room)));
  }

  async keepFile(file: KeptFile): Promise<void> {
    const transaction = this.#database.transaction('files', 'readwrite');
    const done = completion(transaction);
    const record: FileRecord = { ...file, room: this.#room };
    transaction.objectStore('files').put(record);
    await done;
  }

  /** Lets the boards go that were unused for longest. */
  async tidy(): Promise<void> {
    const transaction = this.#database.transaction(['boards', 'elements', 'files'], 'readwrite');
    const boards = await answer<BoardRecord[]>(transaction.objectStore('boards').getAll());
    const spare = boards.sort((a, b) => b.used - a.used).slice(MOST_BOARDS);
    for (const { room } of spare) {
      const elements = transaction.objectStore('elements');
      const kept = await answer<ElementRecord[]>(elements.getAll(all(room)));
      if (kept.some(({ isUnsent }) => isUnsent)) continue;
      elements.delete(all(room));
      transaction.objectStore('files').delete(all(room));
      transaction.objectStore('boards').delete(room);
    }
  }

  close(): void {
    this.#database.close();
  }
}

/** Everything of a room: an array is greater than any text. */
const all = (room: string) => IDBKeyRange.bound([room], [room, []]);

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}

function completion(transaction: IDBTransaction): Promise<void> {
  return new Promise((done, failed) => {
    transaction.oncomplete = () => done();
    transaction.onabort = () => failed(transaction.error);
  });
}
