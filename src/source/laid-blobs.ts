import { linkSync, lstatSync, rmSync } from "node:fs";
import { encodePath } from "../model/path.ts";
import { Lru } from "../model/lru.ts";
import type { Clock } from "../ports/clock.ts";
import { Turns } from "../ports/turns.ts";
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
  readonly #clock: Clock;
  readonly #places = new Lru<string, Place>(REMEMBERED);

  /** `root` holds the snapshots by the ids of their trees. */
  constructor(root: string, clock: Clock) {
    this.#root = root;
    this.#clock = clock;
  }

  /**
   * Links those that lie somewhere to where `target` puts them. Resolves with the others, which must be written: they lie
   * nowhere, or no more, or were written to since, or the file system makes no more links to them.
   */
  async link<Blob extends LaidBlob>(blobs: readonly Blob[], target: (blob: Blob) => Buffer): Promise<Blob[]> {
    const unlaid: Blob[] = [];
    const turns = new Turns(this.#clock);
    for (const blob of blobs) {
      if (!this.#link(blob, target(blob))) unlaid.push(blob);
      await turns.pause();
    }
    return unlaid;
  }

  /** Done at once: the way to another thread and back costs four times as much as a link. */
  #link(blob: LaidBlob, target: Buffer): boolean {
    const key = keyOf(blob);
    const place = this.#places.get(key);
    if (!place) return false;
    try {
      linkSync(encodePath(`${this.#root}/${place.tree}/${place.path}`), target);
      if (Math.floor(lstatSync(target).mtimeMs) <= place.completeAt) return true;
    } catch {
      // On NFS a link can be made and an error be told all the same.
    }
    this.#places.delete(key);
    rmSync(target, { force: true });
    return false;
  }

  /** The files of a complete snapshot. */
  remember(tree: string, blobs: Iterable<LaidBlob>): void {
    const shared = { tree, completeAt: Date.now() };
    for (const blob of blobs) this.#places.set(keyOf(blob), { ...shared, path: blob.path });
  }
}

/** The same content can be a file, an executable one and the target of a symlink. */
function keyOf({ kind, id }: Omit<LaidBlob, "path">): string {
  return `${kind} ${id}`;
}
