import type { Clock } from "../../src/ports/clock.ts";

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  #time = 0;
  readonly #timers = new Set<{ at: number; task: () => void }>();
  /** What `random` returns. */
  chance = 0.5;

  now(): number {
    return 1_700_000_000_000 + this.#time;
  }

  monotonic(): number {
    return this.#time;
  }

  random(): number {
    return this.chance;
  }

  after(delay: number, task: () => void): Disposable {
    const timer = { at: this.#time + delay, task };
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) };
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Moves on by `milliseconds`, running what falls due in its order. */
  advance(milliseconds: number): void {
    const end = this.#time + milliseconds;
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#timers.delete(next);
      this.#time = Math.max(this.#time, next.at);
      next.task();
    }
    this.#time = end;
  }
}
