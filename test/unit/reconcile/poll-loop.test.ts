import { describe, expect, onTestFinished, test } from "vitest";
import { PollLoop } from "../../../src/reconcile/poll-loop.ts";
import { quiet } from "../../support/fakes.ts";
import { ManualClock } from "../../support/manual-clock.ts";

function setUp(answer: () => boolean | Promise<boolean> = () => true, interval = 10_000) {
  const clock = new ManualClock();
  const polls: number[] = [];
  const loop = new PollLoop({
    clock,
    interval,
    maxInterval: 60_000,
    poll: async () => {
      polls.push(clock.monotonic());
      return answer();
    },
  });
  const stop = new AbortController();
  const ended = loop.run(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await ended;
    expect(clock.timers).toBe(0);
  });
  async function pass(milliseconds: number, step = 500) {
    await quiet();
    for (let passed = 0; passed < milliseconds; passed += step) {
      clock.advance(step);
      await quiet();
    }
  }
  return { clock, loop, polls, pass, stop, ended };
}

describe("a poll loop", () => {
  test("polls at once and then at its interval", async () => {
    const { polls, pass } = setUp();
    await pass(30_000);
    expect(polls).toEqual([0, 10_000, 20_000, 30_000]);
  });

  test.for([
    [0, 9000],
    [0.5, 10_000],
    [0.75, 10_500],
  ] as const)("jitters by a tenth: chance %d, %d ms", async ([chance, second]) => {
    const { clock, polls, pass } = setUp();
    clock.chance = chance;
    await quiet();
    await pass(second, second);
    expect(polls).toEqual([0, second]);
  });

  test("doubles after failures up to its limit, and is back to its interval after a success", async () => {
    let fails = true;
    const { polls, pass } = setUp(() => !fails);
    await pass(260_000);
    expect(polls).toEqual([0, 20_000, 60_000, 120_000, 180_000, 240_000]);
    fails = false;
    await pass(70_000);
    expect(polls.slice(6)).toEqual([300_000, 310_000, 320_000, 330_000]);
  });

  test("an interval longer than the limit is no reason to wait longer after a failure", async () => {
    let fails = true;
    const { polls, pass } = setUp(() => !fails, 300_000);
    await pass(120_000);
    expect(polls).toEqual([0, 60_000, 120_000]);
    fails = false;
    await pass(400_000);
    expect(polls).toEqual([0, 60_000, 120_000, 180_000, 480_000]);
  });

  test("polls now when triggered, and many triggers are one poll", async () => {
    const { loop, polls, pass } = setUp();
    await pass(1000);
    for (let count = 0; count < 5; count += 1) loop.trigger();
    await quiet();
    expect(polls).toEqual([0, 1000]);
    await pass(10_000);
    expect(polls).toEqual([0, 1000, 11_000]);
  });

  test("a trigger during a poll is a poll right after it", async () => {
    const first = Promise.withResolvers<boolean>();
    const { loop, polls } = setUp(() => first.promise);
    await quiet();
    loop.trigger();
    expect(polls).toHaveLength(1);
    first.resolve(true);
    await quiet();
    expect(polls).toHaveLength(2);
  });

  test("hurried after failures it polls once more in each pause, however often it is hurried", async () => {
    let fails = true;
    const { loop, polls, pass, stop, ended } = setUp(() => !fails);
    await pass(1000);
    for (let count = 0; count < 5; count += 1) {
      loop.hurry();
      await pass(1000);
    }
    expect(polls).toEqual([0, 1000]);
    await pass(40_000);
    expect(polls, "the pause passed by itself").toEqual([0, 1000, 41_000]);
    fails = false;
    for (let count = 0; count < 3; count += 1) {
      loop.hurry();
      await quiet();
    }
    expect(polls.slice(3), "Git answers again: each hurry is a poll").toEqual([46_000, 46_000, 46_000]);
    stop.abort();
    await ended;
  });

  test("a trigger before it runs is the first poll, not a second one", async () => {
    const clock = new ManualClock();
    let polls = 0;
    const loop = new PollLoop({ clock, interval: 1000, maxInterval: 1000, poll: async () => ((polls += 1), true) });
    loop.trigger();
    const stop = new AbortController();
    const ended = loop.run(stop.signal);
    await quiet();
    expect(polls).toBe(1);
    stop.abort();
    await ended;
  });

  test("ends at once when it is stopped while it waits, and after the poll under way when not", async () => {
    const waiting = setUp();
    await quiet();
    waiting.stop.abort();
    await waiting.ended;
    const slow = Promise.withResolvers<boolean>();
    const polling = setUp(() => slow.promise);
    polling.stop.abort();
    let ended = false;
    const end = polling.ended.then(() => (ended = true));
    await quiet();
    expect(ended).toBe(false);
    slow.resolve(true);
    await end;
    expect(polling.polls).toHaveLength(1);
  });
});
