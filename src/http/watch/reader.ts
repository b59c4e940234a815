import type { Change, Feed, Said } from "./feed.ts";
import { changed, synced } from "./frames.ts";

/** Bytes after which a piece is long enough. */
const PIECE = 64 * 1024;
/** Items that are looked at for one piece, whether they are told or not. */
const LOOKED_AT = 2000;

/** What one watcher has yet to be told of a feed: first all that matches, then what changes. */
export class Reader<Item> {
  readonly #feed: Feed<Item>;
  readonly #matches: (item: Item) => boolean;
  #list: readonly Said<Item>[] | null;
  #listed = 0;
  #place: number;

  constructor(feed: Feed<Item>, matches: (item: Item) => boolean) {
    this.#feed = feed;
    this.#matches = matches;
    this.#list = feed.all;
    this.#place = feed.end;
  }

  /** The first change that it was not told of. */
  get place(): number {
    return this.#place;
  }

  get done(): boolean {
    return this.#list === null && this.#place === this.#feed.end;
  }

  /** What comes next, a piece of it; empty when nothing of what was looked at is for this watcher. */
  next(): readonly Buffer[] {
    const told: Buffer[] = [];
    let bytes = 0;
    for (let looked = 0; looked < LOOKED_AT && bytes < PIECE && !this.done; looked += 1) {
      for (const part of this.#step()) {
        told.push(part);
        bytes += part.length;
      }
    }
    return told;
  }

  #step(): readonly Buffer[] {
    if (!this.#list) return this.#tell(this.#feed.at(this.#place++)!);
    const said = this.#list[this.#listed++];
    if (said) return this.#matches(said.item) ? changed("added", said.text) : [];
    this.#list = null;
    return [synced(this.#place)];
  }

  /** To whoever asked for a part, an item that comes into it is added, and one that leaves it is deleted. */
  #tell({ before, after, gone }: Change<Item>): readonly Buffer[] {
    const [was, is] = [before && this.#matches(before.item), after && this.#matches(after.item)];
    if (is) return changed(was ? "modified" : "added", after!.text);
    return was ? changed("deleted", gone()) : [];
  }
}
