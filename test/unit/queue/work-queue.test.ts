import { describe, expect, test } from "vitest";
import { WorkQueue, type WorkQueueOptions } from "../../../src/queue/work-queue.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { here } from "../../support/machine.ts";

function setUp(options: Partial<WorkQueueOptions<string>> = {}) {
  const clock = new ManualClock();
  const seen = { depth: 0, added: 0, queued: [] as number[], worked: [] as number[], unfinished: () => 0 };
  const queue = new WorkQueue<string>({
    clock,
    ...options,
    metrics: {
      depth: (waiting) => void (seen.depth = waiting),
      added: () => void (seen.added += 1),
      retried() {},
      queued: (seconds) => void seen.queued.push(seconds),
      worked: (seconds) => void seen.worked.push(seconds),
      unfinished: (seconds) => void (seen.unfinished = seconds),
    },
  });
  return { clock, queue, seen };
}

async function settled<Value>(promise: Promise<Value>): Promise<Value | "waits"> {
  return Promise.race([promise, new Promise<"waits">((resolve) => setImmediate(() => resolve("waits")))]);
}

describe("work queue", () => {
  test("hands out keys in the order in which they were added", async () => {
    const { queue } = setUp();
    for (const key of ["a", "b", "c"]) queue.add(key);
    expect([await queue.get(), await queue.get(), await queue.get()]).toEqual(["a", "b", "c"]);
  });

  test("collapses: a key added three times before it is worked on is handed out once", async () => {
    const { queue } = setUp();
    for (let count = 0; count < 3; count += 1) queue.add("a");
    expect(queue.length).toBe(1);
    expect(await queue.get()).toBe("a");
    queue.done("a");
    expect(await settled(queue.get())).toBe("waits");
  });

  test("add while processing: the key comes again, but only after it is done", async () => {
    const { queue } = setUp();
    queue.add("a");
    await queue.get();
    queue.add("a");
    queue.add("a");
    const again = queue.get();
    expect(await settled(again)).toBe("waits");
    queue.done("a");
    expect(await again).toBe("a");
    queue.done("a");
    expect(queue.idle).toBe(true);
  });

  test("one key is never with two workers", async () => {
    const { queue } = setUp();
    const working = new Set<string>();
    let worked = 0;
    async function worker() {
      for (let key = await queue.get(); key; key = await queue.get()) {
        expect(working.has(key)).toBe(false);
        working.add(key);
        await new Promise(setImmediate);
        working.delete(key);
        worked += 1;
        queue.done(key);
      }
    }
    const workers = Array.from({ length: 8 }, worker);
    for (let round = 0; round < 50; round += 1) {
      for (const key of ["a", "b", "c"]) queue.add(key);
      await new Promise(setImmediate);
    }
    while (!queue.idle) await new Promise(setImmediate);
    await queue.shutDown();
    await Promise.all(workers);
    expect(worked).toBeGreaterThan(3);
    expect(worked).toBeLessThanOrEqual(150);
  });

  test("reinsert: a key that is done and added again is handed out again", async () => {
    const { queue } = setUp();
    queue.add("a");
    queue.done((await queue.get())!);
    queue.add("a");
    expect(await queue.get()).toBe("a");
  });

  test("a waiting worker gets the key that is added later", async () => {
    const { queue } = setUp();
    const next = queue.get();
    queue.add("late");
    expect(await next).toBe("late");
  });

  test("shut down ends waiting workers, drops waiting keys and takes no more", async () => {
    const { queue } = setUp();
    const waiting = queue.get();
    await queue.shutDown();
    queue.add("a");
    expect(await waiting).toBeUndefined();
    expect(await queue.get()).toBeUndefined();
    expect(queue.length).toBe(0);
  });

  test("shut down waits for the keys being worked on, and for no key that was added meanwhile", async () => {
    const { queue } = setUp();
    queue.add("a");
    await queue.get();
    queue.add("a");
    const drained = queue.shutDown();
    expect(await settled(drained)).toBe("waits");
    queue.done("a");
    await drained;
    expect(await queue.get()).toBeUndefined();
  });

  test("slow keys wait behind the others and never take more workers than their limit", async () => {
    const { queue } = setUp({ isSlow: (key) => key.startsWith("down"), slowLimit: 1 });
    for (const key of ["down-1", "down-2", "up-1"]) queue.add(key);
    expect(await queue.get()).toBe("up-1");
    expect(await queue.get()).toBe("down-1");
    const next = queue.get();
    expect(await settled(next)).toBe("waits");
    queue.done("down-1");
    expect(await next).toBe("down-2");
  });

  test("a slow key that waits at the limit does not hold back a normal one", async () => {
    const { queue } = setUp({ isSlow: (key) => key.startsWith("down"), slowLimit: 1 });
    queue.add("down-1");
    await queue.get();
    queue.add("down-2");
    const next = queue.get();
    queue.add("up-1");
    expect(await next).toBe("up-1");
  });

  test("no more keys than the limit are worked on at a time", async () => {
    const { queue } = setUp({ limit: 2 });
    for (const key of ["a", "b", "c"]) queue.add(key);
    expect([await queue.get(), await queue.get()]).toEqual(["a", "b"]);
    const next = queue.get();
    expect(await settled(next)).toBe("waits");
    queue.done("a");
    expect(await next).toBe("c");
  });

  test("a key that is worked on for too long gives its place to the next one, and is still with one worker only", async () => {
    const { queue, clock } = setUp({ limit: 1, patience: 3000, lateLimit: 1 });
    for (const key of ["hangs", "next"]) queue.add(key);
    expect(await queue.get()).toBe("hangs");
    const next = queue.get();
    clock.advance(2999);
    expect(await settled(next)).toBe("waits");
    clock.advance(1);
    expect(await next).toBe("next");
    queue.add("hangs");
    expect(await settled(queue.get())).toBe("waits");
  });

  test("only so many keys give their place away; when one of them ends the next one does", async () => {
    const { queue, clock } = setUp({ limit: 2, patience: 3000, lateLimit: 1 });
    for (const key of ["hangs-1", "hangs-2", "c", "d"]) queue.add(key);
    await queue.get();
    await queue.get();
    const [third, fourth] = [queue.get(), queue.get()];
    clock.advance(10_000);
    expect(await third).toBe("c");
    expect(await settled(fourth)).toBe("waits");
    queue.done("hangs-1");
    expect(await fourth).toBe("d");
  });

  test("a key that was expected to be slow keeps its place", async () => {
    const { queue, clock } = setUp({ isSlow: (key) => key === "down", limit: 1, patience: 3000 });
    queue.add("down");
    await queue.get();
    queue.add("up");
    const next = queue.get();
    clock.advance(10_000);
    expect(await settled(next)).toBe("waits");
    queue.done("down");
    expect(await next).toBe("up");
  });

  test("nobody is watched any more once it shuts down", async () => {
    const { queue, clock } = setUp({ limit: 1, patience: 3000 });
    queue.add("a");
    await queue.get();
    void queue.shutDown();
    expect(clock.timers).toBe(0);
  });

  test("a late key that ends after the shut down has nobody watched again", async () => {
    const { queue, clock } = setUp({ limit: 1, patience: 3000, lateLimit: 1 });
    for (const key of ["hangs", "next"]) queue.add(key);
    await queue.get();
    const next = queue.get();
    clock.advance(3000);
    expect(await next).toBe("next");
    void queue.shutDown();
    queue.done("hangs");
    expect(clock.timers).toBe(0);
  });

  test("nobody is watched while nothing is worked on", async () => {
    const { queue, clock } = setUp({ limit: 1, patience: 3000 });
    queue.add("a");
    queue.done((await queue.get())!);
    expect(clock.timers).toBe(0);
    for (const key of ["hangs", "next"]) queue.add(key);
    await queue.get();
    const next = queue.get();
    clock.advance(3000);
    expect(await next).toBe("next");
  });

  test("tells depth, additions, waiting time, working time and unfinished work", async () => {
    const { queue, clock, seen } = setUp();
    queue.add("a");
    queue.add("b");
    expect(seen).toMatchObject({ depth: 2, added: 2 });
    clock.advance(3000);
    await queue.get();
    clock.advance(2000);
    expect(seen.unfinished()).toBe(2);
    queue.done("a");
    expect(seen).toMatchObject({ depth: 1, queued: [3], worked: [2] });
  });

  test("10,000 keys pass in well under a second", async () => {
    const { queue } = setUp();
    for (let key = 0; key < 10_000; key += 1) queue.add(`host-${key}`);
    const start = performance.now();
    for (let key = 0; key < 10_000; key += 1) queue.done((await queue.get())!);
    expect(performance.now() - start).toBeLessThan(here(500));
  });
});
