import type { Git } from "./git.ts";
import { ObjectReader } from "./object-reader.ts";

/** Milliseconds: what a commit brings is read in several goes, one soon after the other. */
const KEPT = 2_000;

export interface ObjectReadersOptions {
  readonly git: Git;
  /** Counts how often the mirror was replaced: a reader of the one before knows nothing of what is fetched now. */
  readonly generation: () => number;
}

interface Kept {
  readonly reader: ObjectReader;
  readonly generation: number;
  readonly timer: Disposable;
}

/** Readers of the mirror's objects. One is kept for a while when it was read from in good order: a process costs ten milliseconds. */
export class ObjectReaders implements AsyncDisposable {
  readonly #options: ObjectReadersOptions;
  #kept: Kept | undefined;
  #disposed = false;

  constructor(options: ObjectReadersOptions) {
    this.#options = options;
  }

  /** Rejects with what `read` rejects with. One that was not read to the end of what was requested is not kept. */
  async with<T>(read: (reader: ObjectReader) => Promise<T>): Promise<T> {
    const generation = this.#options.generation();
    const reader = this.#take(generation) ?? new ObjectReader(this.#options.git);
    let kept = false;
    try {
      const result = await read(reader);
      kept = this.#keep(reader, generation);
      return result;
    } finally {
      if (!kept) await reader[Symbol.asyncDispose]();
    }
  }

  /** Ends the one that is kept; those in use end with their use. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await this.#release()?.[Symbol.asyncDispose]();
  }

  #take(generation: number): ObjectReader | undefined {
    if (this.#kept?.generation === generation && this.#kept.reader.atRest) return this.#release();
    void this.#release()?.[Symbol.asyncDispose]();
    return undefined;
  }

  #keep(reader: ObjectReader, generation: number): boolean {
    if (this.#kept || this.#disposed || !reader.atRest) return false;
    const timer = this.#options.git.clock.after(KEPT, () => void this.#release()?.[Symbol.asyncDispose]());
    this.#kept = { reader, generation, timer };
    return true;
  }

  #release(): ObjectReader | undefined {
    const kept = this.#kept;
    this.#kept = undefined;
    kept?.timer[Symbol.dispose]();
    return kept?.reader;
  }
}
