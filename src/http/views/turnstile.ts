import type { Clock } from "../../ports/clock.ts";
import { Turns } from "../../ports/turns.ts";

/**
 * Lets those through one after the other who would all go on at the same moment, a few milliseconds' worth of
 * what they do in each turn of the event loop.
 */
export class Turnstile {
  readonly #clock: Clock;
  #waiting: (() => void)[] = [];
  #open = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  pass(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (!this.#open) void this.#letThrough();
    });
  }

  async #letThrough(): Promise<void> {
    this.#open = true;
    const turns = new Turns(this.#clock);
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const goOn of waiting) {
        goOn();
        await turns.pause();
      }
    }
    this.#open = false;
  }
}
