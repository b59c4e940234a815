import { mkdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";

/** Smaller ones stay in memory, larger ones only while hosts are served. */
const KEPT_IN_MEMORY = 64 * 1024;

/** Writes a batch. `nowhere` is an empty folder. */
export type WriteBatch = (file: string, nowhere: string) => Promise<void>;

/** A batch on disk. Its user says when it is not needed any more. */
export interface BatchFile {
  /** Bytes. */
  readonly size: number;
  /** To be disposed when the host is served. */
  reading(): Reading;
  release(): Promise<void>;
}

export interface Reading extends Disposable {
  /** Read from the disk when somebody wants them. */
  bytes(): Promise<Buffer>;
}

interface Entry {
  readonly folder: string;
  readonly size: Promise<number>;
  users: number;
  readers: number;
  bytes: Promise<Buffer> | undefined;
}

/** Batches by what they hold: each is written once, whatever changes need it, and removed when none does. */
export class BatchFiles {
  readonly #folderOf: (count: number) => string;
  readonly #entries = new Map<string, Entry>();
  #count = 0;

  /** `folderOf` names a folder of its own for each batch; its parent exists. */
  constructor(folderOf: (count: number) => string) {
    this.#folderOf = folderOf;
  }

  /** Throws what `write` throws; the next to ask tries again. */
  async take(key: string, write: WriteBatch): Promise<BatchFile> {
    const entry = this.#entries.get(key) ?? this.#open(key, write);
    entry.users += 1;
    try {
      const size = await entry.size;
      return { size, reading: () => reading(entry, size), release: () => this.#release(key, entry) };
    } catch (error) {
      await this.#release(key, entry);
      throw error;
    }
  }

  #open(key: string, write: WriteBatch): Entry {
    const folder = this.#folderOf(++this.#count);
    const entry: Entry = { folder, size: written(folder, write), users: 0, readers: 0, bytes: undefined };
    this.#entries.set(key, entry);
    entry.size.catch(() => this.#forget(key, entry));
    return entry;
  }

  async #release(key: string, entry: Entry): Promise<void> {
    entry.users -= 1;
    if (entry.users > 0) return;
    this.#forget(key, entry);
    await rm(entry.folder, { recursive: true, force: true });
  }

  #forget(key: string, entry: Entry): void {
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
  }
}

async function written(folder: string, write: WriteBatch): Promise<number> {
  const nowhere = join(folder, "nowhere");
  await mkdir(nowhere, { recursive: true, mode: 0o700 });
  await write(batchIn(folder), nowhere);
  return (await stat(batchIn(folder))).size;
}

function batchIn(folder: string): string {
  return join(folder, "batch");
}

function reading(entry: Entry, size: number): Reading {
  entry.readers += 1;
  return {
    bytes: () => (entry.bytes ??= readBatch(entry)),
    [Symbol.dispose]: () => {
      entry.readers -= 1;
      if (entry.readers === 0 && size > KEPT_IN_MEMORY) entry.bytes = undefined;
    },
  };
}

async function readBatch(entry: Entry): Promise<Buffer> {
  try {
    return await readFile(batchIn(entry.folder));
  } catch (error) {
    // What failed now may be read for the next host.
    entry.bytes = undefined;
    throw error;
  }
}
