import type { Clock } from "../ports/clock.ts";

/** A sleep that can be ended before its time; a wake that comes while nobody sleeps ends the next one at once. */
export class Pause {
  readonly #clock: Clock;
  #woken = false;
  #wake: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wake(): void {
    this.#woken = true;
    this.#wake();
  }

  /** Resolves after `delay` milliseconds, when woken, or when the signal aborts. One sleeper at a time. */
  async until(delay: number, signal: AbortSignal): Promise<void> {
    if (!this.#woken && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      using _timer = this.#clock.after(delay, resolve);
      this.#wake = resolve;
      const abort = () => resolve();
      signal.addEventListener("abort", abort, { once: true });
      await promise;
      signal.removeEventListener("abort", abort);
    }
    this.#woken = false;
  }
}
