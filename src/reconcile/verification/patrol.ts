import type { Logger } from "pino";
import type { HostKey } from "../../model/host.ts";
import { sleep, type Clock } from "../../ports/clock.ts";
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
  /** Hosts whose turn has come. */
  readonly #due = new Set<HostKey>();
  readonly #looking = new Set<HostKey>();
  #late = false;

  constructor(options: PatrolOptions) {
    this.#options = options;
    this.#slots = new Slots(options.interval);
  }

  /** Hosts that came; those that went are found out by themselves. */
  add(keys: Iterable<HostKey>): void {
    for (const key of keys) this.#slots.add(key);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, has } = this.#options;
    while (!signal.aborted) {
      for (const key of this.#slots.due(clock.now(), has)) {
        if (this.#due.has(key)) this.#tellLate();
        this.#due.add(key);
      }
      if (this.#due.size === 0) this.#late = false;
      this.#fill(signal);
      await sleep(clock, this.#slots.width, signal);
    }
  }

  #fill(signal: AbortSignal): void {
    for (const key of this.#due) {
      if (signal.aborted || this.#looking.size >= this.#options.concurrency) return;
      // A host that hangs takes one place, however often its turn comes.
      if (this.#looking.has(key)) continue;
      this.#due.delete(key);
      this.#looking.add(key);
      void this.#look(key, signal);
    }
  }

  async #look(key: HostKey, signal: AbortSignal): Promise<void> {
    await this.#options.look(key);
    this.#looking.delete(key);
    this.#fill(signal);
  }

  #tellLate(): void {
    if (this.#late) return;
    this.#late = true;
    const { interval, concurrency, log } = this.#options;
    const next = "raise drift.interval or drift.concurrency";
    log.warn({ interval, concurrency, waiting: this.#due.size, next }, "verification does not keep up");
  }
}
