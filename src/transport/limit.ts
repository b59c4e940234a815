import type { FssyncError } from "../model/errors.ts";
import type { Clock } from "../ports/clock.ts";
import { interrupted } from "./programs.ts";

export interface LimitOptions {
  /** Milliseconds. */
  readonly left: number;
  /** What it is called when they are over. */
  readonly late: () => FssyncError;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** How long something may go on: until the time is over or the signal aborts (Interrupted). */
export class Limit implements Disposable {
  readonly #signal: AbortSignal;
  readonly #timer: Disposable;
  readonly #over = Promise.withResolvers<never>();
  readonly #abort = () => this.#over.reject(interrupted());

  constructor({ left, late, signal, clock }: LimitOptions) {
    this.#signal = signal;
    this.#over.promise.catch(() => undefined);
    this.#timer = clock.after(left, () => this.#over.reject(late()));
    signal.addEventListener("abort", this.#abort, { once: true });
    if (signal.aborted) this.#abort();
  }

  /** What `work` comes to, unless the limit is reached before. */
  race<T>(work: Promise<T>): Promise<T> {
    return Promise.race([this.#over.promise, work]);
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
    this.#signal.removeEventListener("abort", this.#abort);
  }
}
