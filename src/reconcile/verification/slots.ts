import { createHash } from "node:crypto";

const SLOTS = 1024;
const SHORTEST_SLOT = 100;

/**
 * Spreads keys over an interval that comes again and again. Each key has a place in it that follows from
 * its name alone: restarts and new neighbours move nobody, and all turns of all processes agree.
 */
export class Slots<Key extends string> {
  /** Milliseconds between two slots. */
  readonly width: number;
  readonly #count: number;
  readonly #keys: Set<Key>[];
  #next: number | undefined;

  /** `interval` in milliseconds. */
  constructor(interval: number) {
    this.#count = Math.max(1, Math.min(SLOTS, Math.floor(interval / SHORTEST_SLOT)));
    this.width = interval / this.#count;
    this.#keys = Array.from({ length: this.#count }, () => new Set<Key>());
  }

  add(key: Key): void {
    this.#keys[createHash("sha256").update(key).digest().readUInt32BE(0) % this.#count]!.add(key);
  }

  /**
   * The keys whose time came since the last call; the first call begins. After a pause longer than the
   * interval each key comes once. Keys for which `stays` says false are forgotten.
   */
  due(now: number, stays: (key: Key) => boolean): Key[] {
    const current = Math.floor(now / this.width);
    // After a clock was set back nothing is due, and it goes on from there.
    const from = Math.max(this.#next ?? current + 1, current + 1 - this.#count);
    this.#next = current + 1;
    const found: Key[] = [];
    for (let slot = from; slot <= current; slot += 1) {
      const keys = this.#keys[slot % this.#count]!;
      for (const key of keys) {
        if (stays(key)) found.push(key);
        else keys.delete(key);
      }
    }
    return found;
  }
}
