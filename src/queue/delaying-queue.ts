import { WorkQueue } from "./work-queue.ts";

/** A work queue that takes keys for later. A key waits once: of two times the earlier one holds. */
export class DelayingQueue<Key> extends WorkQueue<Key> {
  readonly #waiting = new Map<Key, { readyAt: number; timer: Disposable }>();

  addAfter(key: Key, delay: number): void {
    if (this.shuttingDown) return;
    if (delay <= 0) return this.add(key);
    const readyAt = this.clock.monotonic() + delay;
    const waiting = this.#waiting.get(key);
    if (waiting && waiting.readyAt <= readyAt) return;
    waiting?.timer[Symbol.dispose]();
    const timer = this.clock.after(delay, () => {
      this.#waiting.delete(key);
      this.add(key);
    });
    this.#waiting.set(key, { readyAt, timer });
  }

  /** A key that is added now need not come again later. */
  override add(key: Key): void {
    this.#waiting.get(key)?.timer[Symbol.dispose]();
    this.#waiting.delete(key);
    super.add(key);
  }

  /** Whether the key waits for its time. */
  isWaiting(key: Key): boolean {
    return this.#waiting.has(key);
  }

  override shutDown(): Promise<void> {
    for (const { timer } of this.#waiting.values()) timer[Symbol.dispose]();
    this.#waiting.clear();
    return super.shutDown();
  }
}
