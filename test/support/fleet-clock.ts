import type { Clock } from "../../src/ports/clock.ts";

/** The machine's own clock, for tests that run against real processes. */
export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  random: () => Math.random(),
  after(delay, task) {
    const timer = setTimeout(task, Math.min(delay, 2 ** 31 - 1));
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
