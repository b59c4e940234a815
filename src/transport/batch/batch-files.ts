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
  /** `use` may work with the bytes until it is done. */
  with<T>(use: (bytes: Buffer) => Promise<T>): Promise<T>;
  release(): Promise<void>;
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
      return { size, with: (use) => withBytes(entry, size, use), release: () => this.#release(key, entry) };
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

async function withBytes<T>(entry: Entry, size: number, use: (bytes: Buffer) => Promise<T>): Promise<T> {
  entry.readers += 1;
  try {
    entry.bytes ??= readFile(batchIn(entry.folder));
    return await use(await entry.bytes);
  } catch (error) {
    entry.bytes?.catch(() => (entry.bytes = undefined));
    throw error;
  } finally {
    entry.readers -= 1;
    if (entry.readers === 0 && size > KEPT_IN_MEMORY) entry.bytes = undefined;
  }
}
