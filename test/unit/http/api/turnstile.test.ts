import { expect, test } from "vitest";
import { Turnstile } from "../../../../src/http/views/turnstile.ts";
import { quiet } from "../../../support/fakes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

function setUp() {
  const clock = new ManualClock();
  const turnstile = new Turnstile(clock);
  const passed: number[] = [];
  const come = (from: number, to: number) => {
    for (let number = from; number < to; number += 1) void turnstile.pass().then(() => passed.push(number));
  };
  return { clock, passed, come };
}

test("a few go through at once", async () => {
  const { clock, passed, come } = setUp();
  come(0, 100);
  await quiet();
  expect(passed).toHaveLength(100);
  expect(clock.timers).toBe(0);
});

test("of many at once a hundred go through each 50 ms, in the order in which they came", async () => {
  const { clock, passed, come } = setUp();
  come(0, 250);
  await quiet();
  expect(passed).toHaveLength(100);
  clock.advance(25);
  come(250, 260);
  await quiet();
  expect(passed).toHaveLength(100);
  clock.advance(25);
  await quiet();
  expect(passed).toHaveLength(200);
  clock.advance(50);
  await quiet();
  expect(passed).toEqual(Array.from({ length: 260 }, (_, number) => number));
  expect(clock.timers).toBe(0);
});

test("who comes when the others are through does not wait", async () => {
  const { clock, passed, come } = setUp();
  come(0, 100);
  clock.advance(50);
  come(100, 200);
  await quiet();
  expect(passed).toHaveLength(200);
});
