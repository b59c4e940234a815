import { link, lstat, rm } from "node:fs/promises";
import { encodePath } from "../model/path.ts";
import { Lru } from "../model/lru.ts";
import type { TreeObjectEntry } from "./tree-object.ts";

/** Some hundred bytes each. */
const REMEMBERED = 50_000;

interface Place {
  readonly tree: string;
  readonly path: string;
  /** When the snapshot was complete, in ms since 1970. */
  readonly completeAt: number;
}

/** A file as it lies in a snapshot. */
export interface LaidBlob {
  readonly kind: TreeObjectEntry["kind"];
  /** Git blob id. */
  readonly id: string;
  /** Relative to the snapshot. */
  readonly path: string;
}

/**
 * Where the blobs of snapshots lie: snapshots never change, so a commit of one file costs one file, and links to the others.
 */
export class LaidBlobs {
  readonly #root: string;
  readonly #places = new Lru<string, Place>(REMEMBERED);

  /** `root` holds the snapshots by the ids of their trees. */
  constructor(root: string) {
    this.#root = root;
  }

  /**
   * False when the blob must be written: it lies nowhere, or no more, or was written to since, or the file system makes no
   * more links to it.
   */
  async link({ kind, id }: Omit<LaidBlob, "path">, target: Buffer): Promise<boolean> {
    const key = keyOf({ kind, id });
    const place = this.#places.get(key);
    if (!place) return false;
    try {
      await link(encodePath(`${this.#root}/${place.tree}/${place.path}`), target);
      if (Math.floor((await lstat(target)).mtimeMs) <= place.completeAt) return true;
    } catch {
      // On NFS a link can be made and an error be told all the same.
    }
    this.#places.delete(key);
    await rm(target, { force: true });
    return false;
  }

  /** The files of a complete snapshot. */
  remember(tree: string, blobs: Iterable<LaidBlob>): void {
    const shared = { tree: copyOf(tree), completeAt: Date.now() };
    for (const blob of blobs) this.#places.set(copyOf(keyOf(blob)), { ...shared, path: copyOf(blob.path) });
  }
}

/** The same content can be a file, an executable one and the target of a symlink. */
function keyOf({ kind, id }: Omit<LaidBlob, "path">): string {
  return `${kind} ${id}`;
}

/** V8 makes a part of a string a look into the whole: what is kept for long must not keep the listing of a commit. */
function copyOf(text: string): string {
  return Buffer.from(text, "utf16le").toString("utf16le");
}
