import { expect, test } from "vitest";
import { Turnstile } from "../../../../src/http/views/turnstile.ts";
import { quiet } from "../../../support/fakes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

/** Answers that take `cost` milliseconds each, while the event loop is idle for a share of the time. */
function setUp({ cost = 0.5, idle }: { cost?: number; idle: number }) {
  const clock = new ManualClock();
  const loopTime = () => ({ active: clock.monotonic() * (1 - idle), idle: clock.monotonic() * idle });
  const turnstile = new Turnstile(clock, loopTime);
  const answered: number[] = [];
  const come = (from: number, to: number) => {
    for (let number = from; number < to; number += 1) {
      void turnstile.pass(() => {
        answered.push(number);
        clock.advance(cost);
      });
    }
  };
  const pass = async (milliseconds: number) => {
    for (const end = clock.monotonic() + milliseconds; clock.monotonic() < end;) {
      clock.advance(10);
      await quiet();
    }
  };
  return { clock, turnstile, answered, come, pass };
}

test("a few are answered at once, however busy we are", async () => {
  const { clock, answered, come } = setUp({ idle: 0 });
  come(0, 10);
  expect(answered).toHaveLength(10);
  expect(clock.timers).toBe(0);
});

test("while syncs need all the time, reads get a tenth of it", async () => {
  const { answered, come, pass } = setUp({ idle: 0, cost: 0.1 });
  come(0, 20_000);
  await pass(1000);
  answered.length = 0;
  await pass(10_000);
  // Each costs 0.2 ms in all.
  expect(answered.length * 0.2).toBeGreaterThan(800);
  expect(answered.length * 0.2).toBeLessThan(1200);
});

test("while nothing else is to be done they get half of it", async () => {
  const { answered, come, pass } = setUp({ idle: 1, cost: 0.1 });
  come(0, 10_000);
  await pass(100);
  answered.length = 0;
  await pass(1000);
  expect(answered.length * 0.2).toBeGreaterThan(400);
  expect(answered.length * 0.2).toBeLessThan(1000);
});

test("one gets through now and then though each takes longer than there is time for", async () => {
  const { answered, come, pass } = setUp({ idle: 0, cost: 40 });
  come(0, 1000);
  await pass(10_000);
  expect(answered.length).toBeGreaterThan(50);
});

test("all are answered in the order in which they came, and nothing is left behind", async () => {
  const { clock, answered, come, pass } = setUp({ idle: 0.5 });
  come(0, 100);
  await pass(20);
  come(100, 200);
  await pass(2000);
  expect(answered).toEqual(Array.from({ length: 200 }, (_, number) => number));
  expect(clock.timers).toBe(0);
});

test("what an answer returns or throws is whoever's who waits for it", async () => {
  const { turnstile } = setUp({ idle: 1 });
  await expect(turnstile.pass(() => "answer")).resolves.toBe("answer");
  await expect(
    turnstile.pass(() => {
      throw new Error("broken");
    }),
  ).rejects.toThrow("broken");
});
