import type { Clock } from "../ports/clock.ts";

export interface BackoffOptions {
  readonly clock: Clock;
  /** Milliseconds before the first retry. */
  readonly base: number;
  /** Milliseconds that a delay never exceeds, jitter included. */
  readonly max: number;
}

/**
 * client-go's ItemExponentialFailureRateLimiter with jitter: base × 2^failures, of which a random half
 * is kept back, so that hosts that failed together do not come back together.
 */
export class Backoff<Key> {
  readonly #options: BackoffOptions;
  readonly #failures = new Map<Key, number>();

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** Milliseconds until the key may be tried again; each call counts as one more failure. */
  when(key: Key): number {
    const { clock, base, max } = this.#options;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const delay = Math.min(base * 2 ** Math.min(failures, 32), max);
    return delay * (0.5 + clock.random() / 2);
  }

  forget(key: Key): void {
    this.#failures.delete(key);
  }

  /** Failures in a row. */
  failures(key: Key): number {
    return this.#failures.get(key) ?? 0;
  }
}
