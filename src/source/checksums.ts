import { createHash } from "node:crypto";
import { Lru } from "../model/lru.ts";
import { checkBlobId, checkIsBlob } from "./blob.ts";
import { Limit } from "./limit.ts";
import type { ObjectReader } from "./object-reader.ts";
import type { ObjectReaders } from "./object-readers.ts";

/** About 65 MB when it is full: an id keeps the line of the listing that it came with. */
const REMEMBERED = 200_000;
const PROCESSES = 4;

/** What a blob is known by without its content. */
export interface Sum {
  /** SHA-256 in hex. */
  readonly checksum: string;
  /** Bytes. */
  readonly size: number;
}

/** What one process read until it was done, or failed. */
interface Reading {
  readonly sums: ReadonlyMap<string, Sum>;
  readonly failure: Error | undefined;
}

/** SHA-256 and size of blobs. A blob never changes, so they are computed once and remembered by its id. */
export class Checksums implements AsyncDisposable {
  readonly #readers: ObjectReaders;
  readonly #known = new Lru<string, Sum>(REMEMBERED);
  readonly #reading = new Map<string, Promise<Reading>>();
  readonly #processes = new Limit(PROCESSES);

  constructor(readers: ObjectReaders) {
    this.#readers = readers;
  }

  /** One git reads those that nobody knows or reads yet. Throws GitFailure, and SourceUnavailable for what is no blob. */
  async of(blobs: ReadonlySet<string>): Promise<ReadonlyMap<string, Sum>> {
    const sums = new Map<string, Sum>();
    const wanted = new Set<string>();
    for (const blob of blobs) {
      const sum = this.#known.get(blob);
      if (sum === undefined) wanted.add(blob);
      else sums.set(blob, sum);
    }
    while (wanted.size > 0) {
      const own = this.#start([...wanted].filter((blob) => !this.#reading.has(blob)));
      // Where another call failed, this one reads the rest itself: its trouble may be with a blob of its own.
      for (const reading of new Set([...wanted].map((blob) => this.#reading.get(blob)!))) {
        const { sums: read, failure } = await reading;
        for (const [blob, sum] of read) if (wanted.delete(blob)) sums.set(blob, sum);
        if (reading === own && failure !== undefined) throw failure;
      }
    }
    return sums;
  }

  /** Waits for what is being read; ending it early is up to the git that serves it. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#reading.size > 0) await Promise.all(this.#reading.values());
  }

  /** Never rejects: others may wait for it as well. */
  #start(blobs: readonly string[]): Promise<Reading> | undefined {
    if (blobs.length === 0) return undefined;
    for (const blob of blobs) checkBlobId(blob);
    const reading = this.#processes
      .run(() => this.#read(blobs))
      .finally(() => {
        for (const blob of blobs) this.#reading.delete(blob);
      });
    for (const blob of blobs) this.#reading.set(blob, reading);
    return reading;
  }

  async #read(blobs: readonly string[]): Promise<Reading> {
    const sums = new Map<string, Sum>();
    try {
      await this.#readers.with(async (reader) => {
        reader.request(blobs);
        for (const blob of blobs) {
          const sum = await nextSum(reader);
          sums.set(blob, sum);
          this.#known.set(blob, sum);
        }
      });
      return { sums, failure: undefined };
    } catch (error) {
      return { sums, failure: error as Error };
    }
  }
}

async function nextSum(reader: ObjectReader): Promise<Sum> {
  const header = await reader.next();
  checkIsBlob(header);
  const hash = createHash("sha256");
  for await (const piece of reader.pieces(header)) hash.update(piece);
  return { checksum: hash.digest("hex"), size: header.size };
}
