import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { FssyncError } from "../model/errors.ts";
import type { Clock } from "../ports/clock.ts";
import { LaidBlobs } from "./laid-blobs.ts";
import { isObjectId } from "./ref-name.ts";
import type { ObjectReader } from "./object-reader.ts";
import type { ObjectReaders } from "./object-readers.ts";
import { writeSnapshot } from "./snapshot-writer.ts";

/** Folders `<root>/<tree id>`: complete or not there at all, and never changed. */
export class Snapshots implements AsyncDisposable {
  readonly root: string;
  readonly #readers: ObjectReaders;
  readonly #present = new Set<string>();
  readonly #making = new Map<string, Promise<void>>();
  readonly #laid: LaidBlobs;
  #temporary = 0;

  constructor(readers: ObjectReaders, root: string, clock: Clock) {
    this.#readers = readers;
    this.root = root;
    this.#laid = new LaidBlobs(root, clock);
  }

  /** Takes over what an earlier process completed and removes what it did not. */
  async open(): Promise<void> {
    await mkdir(this.root, { recursive: true });
    for (const name of await readdir(this.root)) {
      if (isObjectId(name)) this.#present.add(name);
      else await rm(join(this.root, name), { recursive: true, force: true });
    }
  }

  /**
   * Makes those that are missing, each once however many ask. One tree's trouble does not keep the
   * others from being made; the first trouble is thrown as it came.
   */
  async make(trees: Iterable<string>): Promise<void> {
    const wanted = new Set(trees);
    const mine: string[] = [];
    for (const tree of wanted) {
      if (!isObjectId(tree)) throw new FssyncError("SourceUnavailable", `${JSON.stringify(tree)} is no tree id`);
      if (!this.#present.has(tree) && !this.#making.has(tree)) mine.push(tree);
    }
    const outcomes = this.#start(mine);
    for (const tree of mine) this.#making.set(tree, outcomes.get(tree)!.promise);
    const waiting = [...wanted].map((tree) => this.#making.get(tree)).filter((made) => made !== undefined);
    const failed = (await Promise.allSettled(waiting)).find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason;
  }

  async keepOnly(trees: ReadonlySet<string>): Promise<void> {
    for (const tree of this.#present) {
      if (trees.has(tree)) continue;
      this.#present.delete(tree);
      // Renamed first: whoever looks sees all of it or nothing.
      const away = this.#temporaryName();
      await rename(join(this.root, tree), away);
      await rm(away, { recursive: true, force: true });
    }
  }

  /** Waits for what is being made; ending it early is up to the git that serves it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#making.values());
  }

  /** One git for all of them, one after the other. */
  #start(trees: readonly string[]): Map<string, PromiseWithResolvers<void>> {
    const outcomes = new Map(trees.map((tree) => [tree, Promise.withResolvers<void>()]));
    // `make` waits for these, but not from the first moment on.
    for (const { promise } of outcomes.values()) promise.catch(() => undefined);
    void this.#work(outcomes);
    return outcomes;
  }

  async #work(outcomes: ReadonlyMap<string, PromiseWithResolvers<void>>): Promise<void> {
    for (const [tree, outcome] of outcomes) {
      try {
        await this.#readers.with((reader) => this.#write(reader, tree));
        this.#present.add(tree);
        outcome.resolve();
      } catch (error) {
        outcome.reject(error);
      } finally {
        this.#making.delete(tree);
      }
    }
  }

  async #write(reader: ObjectReader, tree: string): Promise<void> {
    const folder = this.#temporaryName();
    try {
      const files = await writeSnapshot(reader, tree, Buffer.from(folder), this.#laid);
      await rename(folder, join(this.root, tree)).catch(unlessThere);
      this.#laid.remember(tree, files);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  #temporaryName(): string {
    return join(this.root, `.tmp-${this.#temporary++}`);
  }
}

/** What lies under a tree's name is complete, whoever put it there. */
function unlessThere(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
}
