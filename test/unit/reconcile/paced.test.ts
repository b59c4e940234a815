import { expect, test } from "vitest";
import { Paced } from "../../../src/reconcile/paced.ts";
import { quiet } from "../../support/fakes.ts";
import { ManualClock } from "../../support/manual-clock.ts";

/** Work that takes so many milliseconds, or until `finish`. */
function setUp(takes = 0) {
  const clock = new ManualClock();
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const work = async () => {
    begun.push(clock.monotonic());
    if (takes === Infinity) await new Promise<void>((resolve) => ends.push(resolve));
    else clock.advance(takes);
  };
  return { clock, begun, ends, paced: new Paced({ clock, work }) };
}

test("many who ask at once are one run", async () => {
  const { begun, paced } = setUp();
  await Promise.all(Array.from({ length: 500 }, () => paced.run()));
  expect(begun).toHaveLength(1);
});

test("whoever asks while a run is under way gets one that begins after it", async () => {
  const { clock, begun, ends, paced } = setUp(Infinity);
  const first = paced.run();
  await quiet();
  const second = paced.run();
  const third = paced.run();
  await quiet();
  expect(begun).toHaveLength(1);
  ends[0]!();
  await first;
  await quiet();
  clock.advance(50);
  await quiet();
  expect(begun).toHaveLength(2);
  ends[1]!();
  await Promise.all([second, third]);
  expect(begun).toHaveLength(2);
});

test.each([
  { takes: 0, pause: 50 },
  { takes: 20, pause: 400 },
  { takes: 5000, pause: 1000 },
])("a run of $takes ms is followed by a pause of $pause ms", async ({ takes, pause }) => {
  const { clock, begun, paced } = setUp(takes);
  await paced.run();
  const end = clock.monotonic();
  const next = paced.run();
  await quiet();
  clock.advance(pause - 1);
  await quiet();
  expect(begun).toHaveLength(1);
  clock.advance(1);
  await next;
  expect(begun[1]).toBe(end + pause);
});

test("a run that fails is told to those who asked, and the next one goes on", async () => {
  const clock = new ManualClock();
  let runs = 0;
  const paced = new Paced({
    clock,
    work: () => ((runs += 1) === 1 ? Promise.reject(new Error("broken")) : Promise.resolve()),
  });
  await expect(paced.run()).rejects.toThrow("broken");
  clock.advance(1000);
  await paced.run();
  expect(runs).toBe(2);
});
