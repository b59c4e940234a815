import { setTimeout } from "node:timers/promises";

/** Milliseconds between two looks for the answer, and how many there are. */
const LOOK_EVERY = 50;
const LOOKS = 10;

interface WatchdogOptions {
  /** Asks for a sign of life. */
  readonly ask: () => void;
  /** Ends the process that gave none. */
  readonly end: () => void;
}

/**
 * Connections of the controller itself end with the time that it is allowed, unless it is stopped or hangs: then it cannot end
 * them, and the kernel does when the process is ended. So it is asked when the time is over; one that runs has ended
 * them before it answers.
 */
export class Watchdog {
  readonly #options: WatchdogOptions;
  #answered = true;

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  /** Resolves when it has answered or is ended. */
  async look(): Promise<void> {
    this.#answered = false;
    this.#options.ask();
    // Many short times: if this process is stopped in one of them, the answer still has the others to be read.
    for (let looks = 0; looks < LOOKS && !this.#answered; looks++) await setTimeout(LOOK_EVERY);
    if (!this.#answered) this.#options.end();
  }

  answer(): void {
    this.#answered = true;
  }
}
