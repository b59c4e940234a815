import type { Logger } from "pino";
import type { HostKey } from "../../model/host.ts";
import { sleep, type Clock } from "../../ports/clock.ts";
import { Places } from "./places.ts";
import { Slots } from "./slots.ts";

export interface PatrolOptions {
  /** Milliseconds in which each host has its turn. */
  readonly interval: number;
  /** Hosts at a time. */
  readonly concurrency: number;
  /** Whether the host is still there. */
  readonly has: (key: HostKey) => boolean;
  /** One turn of a host; resolves when it is over. It does not reject. */
  readonly look: (key: HostKey) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Sees to it that each host is looked at once in an interval, a few at a time. Between two turns it costs nothing. */
export class Patrol {
  readonly #options: PatrolOptions;
  readonly #slots: Slots<HostKey>;
  /** Those that wait are hosts whose turn has come. */
  readonly #places: Places<HostKey>;
  #late = false;

  constructor(options: PatrolOptions) {
    this.#options = options;
    this.#slots = new Slots(options.interval);
    this.#places = new Places({ count: options.concurrency, work: options.look });
  }

  /** Hosts that came; those that went are found out by themselves. */
  add(keys: Iterable<HostKey>): void {
    for (const key of keys) this.#slots.add(key);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, has } = this.#options;
    signal.addEventListener("abort", () => this.#places.close(), { once: true });
    while (!signal.aborted) {
      for (const key of this.#slots.due(clock.now(), has)) {
        if (this.#places.has(key)) this.#tellLate();
        this.#places.add(key);
      }
      if (this.#places.waiting === 0) this.#late = false;
      await sleep(clock, this.#slots.width, signal);
    }
  }

  #tellLate(): void {
    if (this.#late) return;
    this.#late = true;
    const { interval, concurrency, log } = this.#options;
    const next = "raise drift.interval or drift.concurrency";
    log.warn({ interval, concurrency, waiting: this.#places.waiting, next }, "verification does not keep up");
  }
}
