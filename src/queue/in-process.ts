import type { Clock } from "../ports/clock.ts";

interface Work {
  /** Of the clock's monotonic time. */
  readonly since: number;
  readonly slow: boolean;
  late: boolean;
}

export interface InProcessOptions {
  readonly clock: Clock;
  /** Milliseconds after which a key that was not expected to be slow is late. */
  readonly patience: number;
  /** Keys that may be late at a time. */
  readonly lateLimit: number;
  /** Told when a key has become late. */
  readonly onLate: () => void;
}

/** The keys being worked on, and which of them take longer than anybody thought. */
export class InProcess<Key> {
  readonly #options: InProcessOptions;
  /** In the order in which they were begun. */
  readonly #work = new Map<Key, Work>();
  #slow = 0;
  #late = 0;
  #timer: Disposable | undefined;
  #watching = true;

  constructor(options: InProcessOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#work.size;
  }

  /** Those that were expected to be slow. */
  get slow(): number {
    return this.#slow;
  }

  /** All but those that are late. */
  get inTime(): number {
    return this.#work.size - this.#late;
  }

  has(key: Key): boolean {
    return this.#work.has(key);
  }

  /** Returns the clock's monotonic time. */
  begin(key: Key, slow: boolean): number {
    const since = this.#options.clock.monotonic();
    this.#work.set(key, { since, slow, late: false });
    if (slow) this.#slow += 1;
    if (!this.#timer) this.#wait(this.#options.patience);
    return since;
  }

  /** How many milliseconds it was worked on; undefined when it was not. */
  end(key: Key): number | undefined {
    const work = this.#work.get(key);
    if (!work) return undefined;
    this.#work.delete(key);
    if (work.slow) this.#slow -= 1;
    if (work.late) this.#late -= 1;
    if (this.#work.size === 0) this.#stopTimer();
    else if (work.late) this.#look();
    return this.#options.clock.monotonic() - work.since;
  }

  unfinishedSeconds(): number {
    const now = this.#options.clock.monotonic();
    let total = 0;
    for (const { since } of this.#work.values()) total += now - since;
    return total / 1000;
  }

  /** Nobody waits for the place of a late one any more. */
  stopWatching(): void {
    this.#watching = false;
    this.#stopTimer();
  }

  #stopTimer(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #look(): void {
    const { clock, patience, lateLimit, onLate } = this.#options;
    this.#stopTimer();
    if (!this.#watching) return;
    const before = this.#late;
    const now = clock.monotonic();
    for (const work of this.#work.values()) {
      if (work.slow || work.late) continue;
      // The next one that ends lets one more be late.
      if (this.#late >= lateLimit) break;
      const left = work.since + patience - now;
      if (left > 0) {
        this.#wait(left);
        break;
      }
      work.late = true;
      this.#late += 1;
    }
    if (this.#late > before) onLate();
  }

  #wait(delay: number): void {
    if (delay !== Infinity) this.#timer = this.#options.clock.after(delay, () => this.#look());
  }
}
