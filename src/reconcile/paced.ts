import { sleep, type Clock } from "../ports/clock.ts";

/** The shortest pause between two runs, milliseconds. */
const PAUSE = 50;
const LONGEST_PAUSE = 1000;

/** A run is followed by a pause so many times as long: however many ask, it takes a small share of the time. */
const REST = 20;

/**
 * Work that many ask for and that is done for all of them at once. Whoever asks gets what a run found
 * that began after they asked; runs do not overlap, and pauses are between them.
 */
export class Paced {
  readonly #clock: Clock;
  readonly #work: () => Promise<void>;
  /** The run under way. */
  #running: Promise<void> = Promise.resolve();
  /** The run to come. */
  #next: Promise<void> | null = null;
  #notBefore = -Infinity;

  constructor(options: { readonly clock: Clock; readonly work: () => Promise<void> }) {
    this.#clock = options.clock;
    this.#work = options.work;
  }

  /** Resolves when the run under way is over, if there is one. */
  get settled(): Promise<void> {
    return this.#running;
  }

  /** Resolves when a run is over that had not begun yet. */
  run(): Promise<void> {
    this.#next ??= this.#begin();
    return this.#next;
  }

  async #begin(): Promise<void> {
    await this.#running.catch(() => {});
    const pause = this.#notBefore - this.#clock.monotonic();
    if (pause > 0) await sleep(this.#clock, pause, new AbortController().signal);
    this.#next = null;
    this.#running = this.#measured();
    await this.#running;
  }

  async #measured(): Promise<void> {
    const start = this.#clock.monotonic();
    try {
      await this.#work();
    } finally {
      const end = this.#clock.monotonic();
      this.#notBefore = end + Math.min(LONGEST_PAUSE, Math.max(PAUSE, REST * (end - start)));
    }
  }
}
