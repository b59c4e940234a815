import { jittered, type Clock } from "../ports/clock.ts";

export interface PollLoopOptions {
  readonly clock: Clock;
  /** Milliseconds between two polls; failures double it, up to `maxInterval`, which is the pause after them when it is longer. */
  readonly interval: number;
  readonly maxInterval: number;
  /** One poll. It returns whether it succeeded; it does not reject. */
  readonly poll: (signal: AbortSignal) => Promise<boolean>;
  /** While it says true the loop lets its turns pass. */
  readonly paused?: () => boolean;
}

/** Polls at a jittered interval, at once when triggered, slower after failures. */
export class PollLoop {
  /** One poll now, for the loop or for somebody else; calls wait for each other. Returns whether it succeeded. */
  readonly poll: (signal: AbortSignal) => Promise<boolean>;
  readonly #options: PollLoopOptions;
  #wake: () => void = () => {};
  #triggered = false;
  #failures = 0;
  /** The pause after a failure was cut short. */
  #hurried = false;

  constructor(options: PollLoopOptions) {
    this.#options = options;
    this.poll = serially(async (signal) => {
      const succeeded = await options.poll(signal);
      const recovered = succeeded && this.#failures > 0;
      this.#failures = succeeded ? 0 : this.#failures + 1;
      if (succeeded) this.#hurried = false;
      // The loop may be in a long pause after failures.
      if (recovered) this.#wake();
      return succeeded;
    });
  }

  /** Polls now, or as soon as the poll under way is over. Many triggers are one poll. */
  trigger(): void {
    this.#triggered = true;
    this.#wake();
  }

  /** As `trigger`, but cuts a pause after failures short once and no more, until it has passed by itself. */
  hurry(): void {
    if (this.#failures > 0 && this.#hurried) return;
    this.#hurried = this.#failures > 0;
    this.trigger();
  }

  /** Polls until the signal aborts; the first poll is at once. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, interval, maxInterval } = this.#options;
    while (!signal.aborted) {
      this.#triggered = false;
      if (!this.#options.paused?.()) await this.poll(signal);
      const failed = Math.min(interval * 2 ** Math.min(this.#failures, 16), maxInterval);
      const delay = this.#failures > 0 ? failed : interval;
      await this.#pause(jittered(clock, delay), signal);
    }
  }

  #pause(delay: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    return new Promise((resolve) => {
      if (this.#triggered || signal.aborted) return resolve();
      const timer = clock.after(delay, () => {
        this.#hurried = false;
        finish();
      });
      signal.addEventListener("abort", finish, { once: true });
      this.#wake = finish;
      function finish() {
        timer[Symbol.dispose]();
        signal.removeEventListener("abort", finish);
        resolve();
      }
    });
  }
}

function serially(poll: (signal: AbortSignal) => Promise<boolean>): (signal: AbortSignal) => Promise<boolean> {
  let last: Promise<unknown> = Promise.resolve();
  return (signal) => {
    const next = last.then(() => poll(signal));
    last = next.catch(() => {});
    return next;
  };
}
