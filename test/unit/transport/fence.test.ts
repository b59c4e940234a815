import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { Fence, instantIn, type Instant } from "../../../src/transport/fence.ts";
import { ManualClock } from "../../support/manual-clock.ts";

function world() {
  const clock = new ManualClock();
  /** The machine sleeps: only the wall clock goes on. */
  let slept = 0;
  let ended = 0;
  let over: () => Promise<void> = () => Promise.resolve();
  const time = () => ({ monotonic: clock.monotonic(), wall: clock.now() + slept });
  const fence = new Fence({ clock, time, over: () => (ended++, over()) });
  const after = (milliseconds: number): Instant => {
    const { monotonic, wall } = time();
    return { monotonic: monotonic + milliseconds, wall: wall + milliseconds };
  };
  return {
    clock,
    fence,
    allow: (milliseconds: number) => fence.allow(after(milliseconds)),
    machineSlept: (milliseconds: number) => (slept += milliseconds),
    over: (work: () => Promise<void>) => (over = work),
    ended: () => ended,
  };
}

test("without any allow there is no end", () => {
  const { clock, fence, ended } = world();
  clock.advance(1e9);
  expect([fence.check().aborted, ended(), clock.timers]).toEqual([false, 0, 0]);
});

test("the signal aborts when the time is over, not before, and once", () => {
  const { clock, fence, allow, ended } = world();
  const signal = fence.check();
  allow(10_000);
  clock.advance(9999);
  expect([signal.aborted, ended()]).toEqual([false, 0]);
  clock.advance(1);
  expect([signal.aborted, ended()]).toEqual([true, 1]);
  clock.advance(10_000);
  expect([fence.check().aborted, ended(), clock.timers]).toEqual([true, 1, 0]);
});

test("each allow replaces the one before, a shorter one too", () => {
  const { clock, fence, allow } = world();
  allow(1000);
  clock.advance(900);
  allow(1000);
  clock.advance(900);
  expect(fence.check().aborted).toBe(false);
  allow(50);
  clock.advance(50);
  expect(fence.check().aborted).toBe(true);
});

test("the time that the machine slept counts, at the next look", () => {
  const { clock, fence, allow, machineSlept } = world();
  const signal = fence.check();
  allow(10_000);
  clock.advance(100);
  machineSlept(20_000);
  clock.advance(250);
  expect(signal.aborted).toBe(true);
});

test("a wall clock that is set back lengthens nothing", () => {
  const { clock, fence, allow, machineSlept } = world();
  allow(1000);
  machineSlept(-60_000);
  clock.advance(1000);
  expect(fence.check().aborted).toBe(true);
});

test("a check sees the end before the timer does", () => {
  const { fence, allow, machineSlept, ended } = world();
  const signal = fence.check();
  allow(1000);
  machineSlept(1000);
  expect([signal.aborted, fence.check().aborted, ended()]).toEqual([false, true, 1]);
});

test("a new allow opens anew, and what was before stays ended", () => {
  const { clock, fence, allow } = world();
  allow(100);
  const before = fence.check();
  clock.advance(100);
  allow(100);
  expect([before.aborted, fence.check().aborted]).toEqual([true, false]);
});

test("an allow that comes when the time is over, seen by nobody yet, ends what was before", () => {
  const { fence, allow, machineSlept, ended } = world();
  allow(100);
  const before = fence.check();
  machineSlept(100);
  allow(100);
  expect([before.aborted, ended(), fence.check().aborted]).toEqual([true, 1, false]);
});

test("an instant that has passed opens nothing", () => {
  const { fence, allow } = world();
  allow(0);
  expect(fence.check().aborted).toBe(true);
  allow(-1);
  expect(fence.check().aborted).toBe(true);
});

test("nothing may begin before what was is gone, even where that fails", async () => {
  const { fence, allow, over } = world();
  const { promise, reject } = Promise.withResolvers<void>();
  over(() => promise);
  allow(0);
  allow(1000);
  let begun = false;
  const cleared = fence.cleared().then(() => (begun = true));
  await Promise.resolve();
  expect(begun).toBe(false);
  reject(new Error("no /proc"));
  await cleared;
});

test("leaves no timer when disposed", () => {
  const { clock, fence, allow } = world();
  allow(1000);
  expect(clock.timers).toBe(1);
  fence[Symbol.dispose]();
  expect(clock.timers).toBe(0);
});

test("an instant is of clocks that all processes of the machine share", () => {
  const before = instantIn(0);
  const code = "console.log(Number(process.hrtime.bigint()) / 1e6, Date.now())";
  const [monotonic, wall] = execFileSync(process.execPath, ["-e", code], { encoding: "utf8" }).split(" ").map(Number);
  const after = instantIn(0);
  expect(monotonic).toBeGreaterThanOrEqual(before.monotonic);
  expect(monotonic).toBeLessThanOrEqual(after.monotonic);
  expect(wall).toBeGreaterThanOrEqual(before.wall);
  expect(wall).toBeLessThanOrEqual(after.wall);
});
