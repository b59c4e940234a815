import type { Clock } from "../ports/clock.ts";

/** The machine's own time and chance. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  random: () => Math.random(),
  after(delay, task) {
    const timer = setTimeout(task, delay);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
