import { expect, test } from "vitest";
import { Collapsed } from "../../../src/reconcile/collapsed.ts";
import { ManualClock } from "../../support/manual-clock.ts";

function setUp() {
  const clock = new ManualClock();
  const runs: number[] = [];
  const collapsed = new Collapsed({ clock, window: 1000, task: () => runs.push(clock.monotonic()) });
  return { clock, collapsed, runs };
}

test("runs at once for the first, and once more at the end of the window for all the others", () => {
  const { clock, collapsed, runs } = setUp();
  for (let asked = 0; asked < 100; asked += 1) {
    collapsed.ask();
    clock.advance(9);
  }
  expect(runs).toEqual([0]);
  clock.advance(10_000);
  expect(runs).toEqual([0, 1000]);
});

test("is as quick as at first once a window has passed in which nobody asked", () => {
  const { clock, collapsed, runs } = setUp();
  collapsed.ask();
  clock.advance(1000);
  collapsed.ask();
  clock.advance(500);
  collapsed.ask();
  clock.advance(499);
  expect(runs).toEqual([0, 1000]);
  clock.advance(1);
  expect(runs).toEqual([0, 1000, 2000]);
});

test("runs once a window while people go on asking", () => {
  const { clock, collapsed, runs } = setUp();
  for (let asked = 0; asked < 50; asked += 1) {
    collapsed.ask();
    clock.advance(100);
  }
  expect(runs).toEqual([0, 1000, 2000, 3000, 4000, 5000]);
});

test("is quiet after its end", () => {
  const { clock, collapsed, runs } = setUp();
  collapsed.ask();
  collapsed.ask();
  collapsed[Symbol.dispose]();
  collapsed.ask();
  clock.advance(5000);
  expect(runs).toEqual([0]);
  expect(clock.timers).toBe(0);
});
