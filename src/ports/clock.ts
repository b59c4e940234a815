/** Time and chance, injected so that tests own them. */
export interface Clock {
  /** Milliseconds since the epoch: for records and people. It can jump. */
  now(): number;
  /** Milliseconds from an arbitrary start that never jump: for durations and deadlines. */
  monotonic(): number;
  /** Runs `task` once after `delay` milliseconds unless disposed before. */
  after(delay: number, task: () => void): Disposable;
  /** Uniform in [0, 1). */
  random(): number;
}

/** Resolves after `delay` milliseconds, or at once when the signal aborts; it never rejects. */
export function sleep(clock: Clock, delay: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = clock.after(delay, finish);
    signal.addEventListener("abort", finish, { once: true });
    function finish() {
      timer[Symbol.dispose]();
      signal.removeEventListener("abort", finish);
      resolve();
    }
  });
}

/** `interval` moved by up to ±`fraction` of itself, so that many loops do not beat together. */
export function jittered(clock: Clock, interval: number, fraction = 0.1): number {
  return interval * (1 + fraction * (2 * clock.random() - 1));
}
