import { createHash } from "node:crypto";
import { Lru } from "../../model/lru.ts";
import type { GitSource } from "../../ports/git-source.ts";
import { contentOf } from "../files/content-of.ts";

/** About 10 MB when it is full. */
const REMEMBERED = 50_000;

/**
 * MD5 of the contents of blobs, as the predecessor's clients compare them. A blob never changes, so each is read
 * once; no content is held.
 */
export class Md5 {
  readonly #known = new Lru<string, string>(REMEMBERED);
  #last: Promise<unknown> = Promise.resolve();

  /** In hex, by blob. One reading at a time: who waits for another finds most of it known. */
  async of(source: Pick<GitSource, "sizes" | "read">, blobs: Iterable<string>): Promise<ReadonlyMap<string, string>> {
    const wanted = new Set(blobs);
    const sums = this.#remembered(wanted);
    if (sums.size === wanted.size) return sums;
    const turn = this.#last.then(() => this.#read(source, wanted));
    this.#last = turn.catch(() => undefined);
    return await turn;
  }

  async #read(source: Pick<GitSource, "sizes" | "read">, wanted: ReadonlySet<string>): Promise<Map<string, string>> {
    const sums = this.#remembered(wanted);
    const unknown = [...wanted].filter((blob) => !sums.has(blob));
    const sizes = await source.sizes(unknown);
    const contents = source.read(unknown);
    try {
      for (const blob of unknown) {
        const hash = createHash("md5");
        for await (const piece of contentOf(contents, sizes.get(blob)!)) hash.update(piece);
        const sum = hash.digest("hex");
        sums.set(blob, sum);
        this.#known.set(blob, sum);
      }
    } finally {
      await contents.return();
    }
    return sums;
  }

  #remembered(wanted: Iterable<string>): Map<string, string> {
    const sums = new Map<string, string>();
    for (const blob of wanted) {
      const sum = this.#known.get(blob);
      if (sum !== undefined) sums.set(blob, sum);
    }
    return sums;
  }
}
