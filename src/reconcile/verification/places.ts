export interface PlacesOptions<Item> {
  /** How many are worked on at a time. */
  readonly count: number;
  /** Resolves when the item's place is free again. It does not reject. */
  readonly work: (item: Item) => Promise<void>;
}

/** Items wait in the order in which they came until one of a few places is free. One item never has two places. */
export class Places<Item> {
  readonly #options: PlacesOptions<Item>;
  readonly #waiting = new Set<Item>();
  readonly #working = new Set<Item>();
  #closed = false;

  constructor(options: PlacesOptions<Item>) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Whether it waits, not whether it has a place. */
  has(item: Item): boolean {
    return this.#waiting.has(item);
  }

  add(item: Item): void {
    this.#waiting.add(item);
    this.#fill();
  }

  /** No work begins from now on. */
  close(): void {
    this.#closed = true;
  }

  #fill(): void {
    for (const item of this.#waiting) {
      if (this.#closed || this.#working.size >= this.#options.count) return;
      // What hangs takes one place, however often it is added.
      if (this.#working.has(item)) continue;
      this.#waiting.delete(item);
      this.#working.add(item);
      void this.#work(item);
    }
  }

  async #work(item: Item): Promise<void> {
    await this.#options.work(item);
    this.#working.delete(item);
    this.#fill();
  }
}
