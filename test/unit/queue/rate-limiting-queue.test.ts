import { describe, expect, test } from "vitest";
import { Backoff } from "../../../src/queue/rate-limiter.ts";
import { RateLimitingQueue } from "../../../src/queue/rate-limiting-queue.ts";
import { ManualClock } from "../../support/manual-clock.ts";

function setUp() {
  const clock = new ManualClock();
  const backoff = new Backoff<string>({ clock, base: 1000, max: 300_000 });
  return { clock, backoff, queue: new RateLimitingQueue<string>({ clock, backoff }) };
}

describe("delaying queue", () => {
  test("a key added for later comes when its time is there", () => {
    const { clock, queue } = setUp();
    queue.addAfter("a", 500);
    clock.advance(499);
    expect(queue.length).toBe(0);
    clock.advance(1);
    expect(queue.length).toBe(1);
  });

  test("of two times for a key the earlier one holds, whichever came first", () => {
    const { clock, queue } = setUp();
    queue.addAfter("a", 500);
    queue.addAfter("a", 100);
    queue.addAfter("b", 100);
    queue.addAfter("b", 500);
    clock.advance(100);
    expect(queue.length).toBe(2);
    expect(clock.timers).toBe(0);
  });

  test("a key that is added now does not come a second time when its time is there", async () => {
    const { clock, queue } = setUp();
    queue.addAfter("a", 500);
    queue.add("a");
    queue.done((await queue.get())!);
    clock.advance(1000);
    expect(queue.length).toBe(0);
  });

  test("a delay of nothing is an add", () => {
    const { queue } = setUp();
    queue.addAfter("a", 0);
    expect(queue.length).toBe(1);
  });

  test("shut down leaves no timer behind", async () => {
    const { clock, queue } = setUp();
    queue.addAfter("a", 500);
    await queue.shutDown();
    queue.addAfter("b", 500);
    expect(clock.timers).toBe(0);
  });
});

describe("backoff", () => {
  test("doubles from one second to five minutes", () => {
    const { clock, backoff } = setUp();
    clock.chance = 0.999999;
    const delays = Array.from({ length: 12 }, () => Math.round(backoff.when("a") / 1000));
    expect(delays).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
  });

  test("keeps back up to a half by chance, so that hosts that failed together come back apart", () => {
    const { clock, backoff } = setUp();
    clock.chance = 0;
    expect(backoff.when("a")).toBe(500);
    clock.chance = 0.5;
    expect(backoff.when("b")).toBe(750);
  });

  test("stays finite after thousands of failures", () => {
    const { backoff } = setUp();
    for (let failure = 0; failure < 5000; failure += 1) backoff.when("a");
    expect(backoff.when("a")).toBeLessThanOrEqual(300_000);
  });

  test("forgets: the failure after a success is a first one", () => {
    const { queue, backoff } = setUp();
    queue.addRateLimited("a");
    queue.addRateLimited("a");
    expect(backoff.failures("a")).toBe(2);
    queue.forget("a");
    expect(backoff.failures("a")).toBe(0);
  });

  test("a failed key comes back after its delay", () => {
    const { clock, queue } = setUp();
    const delay = queue.addRateLimited("a");
    clock.advance(delay - 1);
    expect(queue.length).toBe(0);
    clock.advance(1);
    expect(queue.length).toBe(1);
  });
});
