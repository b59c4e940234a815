import { DelayingQueue } from "./delaying-queue.ts";
import type { Backoff } from "./rate-limiter.ts";
import type { WorkQueueOptions } from "./work-queue.ts";

/** A delaying queue that knows when a failed key may come back. */
export class RateLimitingQueue<Key> extends DelayingQueue<Key> {
  readonly #backoff: Backoff<Key>;

  constructor(options: WorkQueueOptions<Key> & { readonly backoff: Backoff<Key> }) {
    super(options);
    this.#backoff = options.backoff;
  }

  /** Adds the key again once its backoff is over; returns the delay in milliseconds. */
  addRateLimited(key: Key): number {
    const delay = this.#backoff.when(key);
    this.metrics.retried();
    this.addAfter(key, delay);
    return delay;
  }

  /** The key did not fail, or is gone: its next failure is a first one. */
  forget(key: Key): void {
    this.#backoff.forget(key);
  }
}
