import type { Clock } from "../../ports/clock.ts";

/** So many go through in so many milliseconds: about a third of what one CPU can do. */
const AT_A_TIME = 100;
const WINDOW = 50;

/**
 * What reads pass before they are answered. However many read, and however fast they ask again, syncs keep the
 * larger part of the event loop, and the answers to all who waited for the same thing do not hold it in one piece.
 */
export class Turnstile {
  readonly #clock: Clock;
  readonly #waiting: (() => void)[] = [];
  /** How many went through since. */
  #passed = 0;
  #since = -Infinity;
  #armed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** In the order in which they came. */
  pass(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#letThrough();
    });
  }

  #letThrough(): void {
    const now = this.#clock.monotonic();
    if (now - this.#since >= WINDOW) [this.#since, this.#passed] = [now, 0];
    const next = this.#waiting.splice(0, AT_A_TIME - this.#passed);
    this.#passed += next.length;
    for (const goOn of next) goOn();
    if (this.#waiting.length === 0 || this.#armed) return;
    this.#armed = true;
    this.#clock.after(this.#since + WINDOW - now, () => {
      this.#armed = false;
      this.#letThrough();
    });
  }
}
