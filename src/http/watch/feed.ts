import { body } from "./frames.ts";

/** An item, and the text of it: made once, whatever the number of those who are told. */
export interface Said<Item> {
  readonly item: Item;
  readonly text: Buffer;
}

/** Null before: it is new; null after: it is gone. */
export interface Change<Item> {
  readonly before: Said<Item> | null;
  readonly after: Said<Item> | null;
  /** What is told of it to whom it is gone for: its key fields. */
  readonly gone: () => Buffer;
  /** Milliseconds of a clock that does not jump. */
  readonly at: number;
}

/** JSON of items. */
export interface Words<Item> {
  readonly whole: (item: Item) => string;
  /** The fields that name it. */
  readonly key: (item: Item) => string;
}

export interface FeedOptions<Item> {
  readonly words: Words<Item>;
  /** Milliseconds that never jump. */
  readonly monotonic: () => number;
}

/**
 * All items of one kind as they were at the last look, and the changes that somebody has yet to be told. A
 * reader keeps nothing but its place in the changes:
 *
 *     items ── all ──► added … synced ──► changes ──► change ──► change
 *     (at the join)                       └ begin                  end ┘
 */
export class Feed<Item> {
  readonly #options: FeedOptions<Item>;
  readonly #items = new Map<string, Said<Item>>();
  #all: readonly Said<Item>[] | null = null;
  #changes: Change<Item>[] = [];
  /** Place of the first of `#changes`. */
  #begin = 0;

  constructor(options: FeedOptions<Item>) {
    this.#options = options;
  }

  /** In the order in which they came; shared by whoever asks before the next change. */
  get all(): readonly Said<Item>[] {
    return (this.#all ??= [...this.#items.values()]);
  }

  /** The place after the last change. */
  get end(): number {
    return this.#begin + this.#changes.length;
  }

  /** How many changes are kept for those who were not told yet. */
  get kept(): number {
    return this.#changes.length;
  }

  /** The change at a place; undefined after the end. Of what was dropped nothing can be said: a reader behind it must end. */
  at(place: number): Change<Item> | undefined {
    return this.#changes[place - this.#begin];
  }

  put(key: string, item: Item): void {
    const before = this.#items.get(key) ?? null;
    const after = { item, text: body(this.end + 1, this.#options.words.whole(item)) };
    this.#items.set(key, after);
    this.#note(item, before, after);
  }

  delete(key: string): void {
    const before = this.#items.get(key);
    if (!before) return;
    this.#items.delete(key);
    this.#note(before.item, before, null);
  }

  /** Takes it out without a word: nothing happened to it. */
  forget(key: string): void {
    if (this.#items.delete(key)) this.#all = null;
  }

  /** Drops the changes before a place; returns when the first of the others was, null when there is none. */
  drop(place: number): number | null {
    const count = Math.min(place, this.end) - this.#begin;
    if (count > 0) {
      this.#changes = this.#changes.slice(count);
      this.#begin += count;
    }
    return this.#changes[0]?.at ?? null;
  }

  #note(item: Item, before: Said<Item> | null, after: Said<Item> | null): void {
    const id = this.end + 1;
    let text: Buffer | undefined;
    const gone = () => (text ??= body(id, this.#options.words.key(item)));
    this.#changes.push({ before, after, gone, at: this.#options.monotonic() });
    this.#all = null;
  }
}
