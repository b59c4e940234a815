import { jittered, type Clock } from "../ports/clock.ts";

export interface PollLoopOptions {
  readonly clock: Clock;
  /** Milliseconds between two polls; failures double it, up to `maxInterval`. */
  readonly interval: number;
  readonly maxInterval: number;
  /** One poll. It returns whether it succeeded; it does not reject. */
  readonly poll: (signal: AbortSignal) => Promise<boolean>;
}

/** Polls at a jittered interval, at once when triggered, slower after failures. */
export class PollLoop {
  readonly #options: PollLoopOptions;
  #wake: () => void = () => {};
  #triggered = false;

  constructor(options: PollLoopOptions) {
    this.#options = options;
  }

  /** Polls now, or as soon as the poll under way is over. Many triggers are one poll. */
  trigger(): void {
    this.#triggered = true;
    this.#wake();
  }

  /** Polls until the signal aborts; the first poll is at once. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, interval, maxInterval, poll } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      this.#triggered = false;
      failures = (await poll(signal)) ? 0 : failures + 1;
      const delay = Math.min(interval * 2 ** Math.min(failures, 16), Math.max(maxInterval, interval));
      await this.#pause(jittered(clock, delay), signal);
    }
  }

  #pause(delay: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    return new Promise((resolve) => {
      if (this.#triggered || signal.aborted) return resolve();
      const timer = clock.after(delay, finish);
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

/** Calls of one poll from several sides, one after the other. */
export function serially(poll: (signal: AbortSignal) => Promise<boolean>): (signal: AbortSignal) => Promise<boolean> {
  let last: Promise<unknown> = Promise.resolve();
  return (signal) => {
    const next = last.then(() => poll(signal));
    last = next.catch(() => {});
    return next;
  };
}
