import type { Clock } from "../ports/clock.ts";
import { Fifo } from "./fifo.ts";
import { InProcess } from "./in-process.ts";
import type { QueueMetrics } from "../ports/telemetry.ts";
import { noMetrics } from "./metrics.ts";

export interface WorkQueueOptions<Key> {
  readonly clock: Clock;
  readonly metrics?: QueueMetrics;
  /**
   * Keys that are expected to be slow (a host that was not reachable the last time). They wait behind
   * the others and are never more than `slowLimit` at a time, so that they cannot take every worker.
   */
  readonly isSlow?: (key: Key) => boolean;
  readonly slowLimit?: number;
  /** Keys that are worked on at a time; those that are late do not count. */
  readonly limit?: number;
  /**
   * Milliseconds after which a key is late that was not expected to be slow: a host that stopped answering. It gives its
   * place to the next one; only `lateLimit` keys at a time do.
   */
  readonly patience?: number;
  readonly lateLimit?: number;
}

/**
 * A work queue with the promises of client-go's `util/workqueue`:
 *
 * - Fair: keys are worked on in the order in which they were added (within their lane).
 * - Stingy: one key is never worked on by two workers at a time, and a key that is added several
 *   times before it is worked on is worked on once.
 * - Reinserting: a key that is added while it is worked on is worked on again afterwards.
 * - Shutting down: a queue that shuts down takes no keys and can wait for the ones being worked on.
 *
 * Invariants: every key that waits in a lane is in `dirty` and not in `processing`; a key in both
 * `dirty` and `processing` waits in no lane, `done` puts it there.
 */
export class WorkQueue<Key> {
  protected readonly clock: Clock;
  protected readonly metrics: QueueMetrics;
  readonly #isSlow: (key: Key) => boolean;
  readonly #slowLimit: number;
  readonly #limit: number;

  readonly #normal = new Fifo<Key>();
  readonly #slow = new Fifo<Key>();
  readonly #dirty = new Map<Key, number>();
  readonly #processing: InProcess<Key>;

  readonly #getters = new Fifo<(key: Key | undefined) => void>();
  #shuttingDown = false;
  #drained: PromiseWithResolvers<void> | undefined;

  constructor(options: WorkQueueOptions<Key>) {
    const { clock, metrics = noMetrics, isSlow = () => false, patience = Infinity, lateLimit = Infinity } = options;
    this.clock = clock;
    this.metrics = metrics;
    this.#isSlow = isSlow;
    this.#slowLimit = options.slowLimit ?? Infinity;
    this.#limit = options.limit ?? Infinity;
    this.#processing = new InProcess({ clock, patience, lateLimit, onLate: () => this.#dispatch() });
    metrics.unfinished(() => this.#processing.unfinishedSeconds());
  }

  /** Keys that wait; the ones being worked on do not count. */
  get length(): number {
    return this.#normal.length + this.#slow.length;
  }

  /** Whether nothing waits and nothing is worked on. */
  get idle(): boolean {
    return this.length === 0 && this.#processing.size === 0;
  }

  get shuttingDown(): boolean {
    return this.#shuttingDown;
  }

  add(key: Key): void {
    if (this.#shuttingDown || this.#dirty.has(key)) return;
    this.#dirty.set(key, this.clock.monotonic());
    this.metrics.added();
    if (this.#processing.has(key)) return;
    this.#enqueue(key);
  }

  /** The next key, waiting for one; undefined once the queue shuts down. Each key got must be `done`. */
  get(): Promise<Key | undefined> {
    if (this.#shuttingDown) return Promise.resolve(undefined);
    const { promise, resolve } = Promise.withResolvers<Key | undefined>();
    this.#getters.push(resolve);
    this.#dispatch();
    return promise;
  }

  done(key: Key): void {
    const worked = this.#processing.end(key);
    if (worked === undefined) return;
    this.metrics.worked(worked / 1000);
    if (this.#dirty.has(key) && !this.#shuttingDown) this.#enqueue(key);
    else this.#dispatch();
    if (this.#processing.size === 0) this.#drained?.resolve();
  }

  /** Takes no more keys and drops the waiting ones; resolves when the last key being worked on is done. */
  async shutDown(): Promise<void> {
    this.#shuttingDown = true;
    this.#processing.stopWatching();
    this.#normal.clear();
    this.#slow.clear();
    this.#dirty.clear();
    this.metrics.depth(0);
    for (let getter = this.#getters.shift(); getter; getter = this.#getters.shift()) getter(undefined);
    if (this.#processing.size === 0) return;
    this.#drained ??= Promise.withResolvers<void>();
    await this.#drained.promise;
  }

  #enqueue(key: Key): void {
    (this.#isSlow(key) ? this.#slow : this.#normal).push(key);
    this.metrics.depth(this.length);
    this.#dispatch();
  }

  /** Hands waiting keys to waiting workers. */
  #dispatch(): void {
    while (this.#getters.length > 0 && this.#processing.inTime < this.#limit) {
      const slow = this.#normal.length === 0;
      if (slow && (this.#slow.length === 0 || this.#processing.slow >= this.#slowLimit)) return;
      this.#handOver((slow ? this.#slow : this.#normal).shift()!, slow);
    }
  }

  #handOver(key: Key, slow: boolean): void {
    const addedAt = this.#dirty.get(key)!;
    this.#dirty.delete(key);
    const since = this.#processing.begin(key, slow);
    this.metrics.queued((since - addedAt) / 1000);
    this.metrics.depth(this.length);
    this.#getters.shift()!(key);
  }
}
