import type { Clock } from "./clock.ts";

/** Milliseconds for which work may hold the event loop before others have their turn. */
const SHARE = 10;

/** Spreads long work over turns of the event loop, so that syncs and other requests go on meanwhile. */
export class Turns {
  readonly #clock: Clock;
  #since: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#since = clock.monotonic();
  }

  /** Between two small pieces of the work: waits for the next turn when this one had its share. */
  async pause(): Promise<void> {
    if (this.#clock.monotonic() - this.#since < SHARE) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#since = this.#clock.monotonic();
  }
}
