import type { Clock } from "../../ports/clock.ts";
import { Turns } from "../../ports/turns.ts";

/** Lets those in one after the other who come all at once: as many in one turn of the event loop as it bears. */
export class Entrance {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();
  #open = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  pass(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.add(resolve);
      if (!this.#open) void this.#letIn();
    });
  }

  async #letIn(): Promise<void> {
    this.#open = true;
    const turns = new Turns(this.#clock);
    for (const enter of this.#waiting) {
      this.#waiting.delete(enter);
      enter();
      await turns.pause();
    }
    this.#open = false;
  }
}
