import { expect, onTestFinished, test } from "vitest";
import { Patrol, type PatrolOptions } from "../../../../src/reconcile/verification/patrol.ts";
import { quiet, recordedLog } from "../../../support/fakes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const INTERVAL = 60_000;
const names = (count: number) => Array.from({ length: count }, (_, index) => `h${index}:22`);

/** A patrol whose looks end when the test says so. */
function setUp(keys: readonly string[], overrides: Partial<PatrolOptions> = {}) {
  const clock = new ManualClock();
  const { log, lines } = recordedLog();
  const stop = new AbortController();
  const looks: string[] = [];
  const open = new Map<string, (() => void)[]>();
  let most = 0;
  const patrol = new Patrol({
    interval: INTERVAL,
    concurrency: 3,
    has: () => true,
    look: (key) => {
      looks.push(key);
      const { promise, resolve } = Promise.withResolvers<void>();
      open.set(key, [...(open.get(key) ?? []), resolve]);
      most = Math.max(most, [...open.values()].flat().length);
      return promise;
    },
    clock,
    log,
    ...overrides,
  });
  patrol.add(keys);
  const ran = patrol.run(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await ran;
    expect(clock.timers).toBe(0);
  });
  const pass = async (milliseconds: number) => {
    for (let passed = 0; passed < milliseconds; passed += 100) {
      clock.advance(100);
      await new Promise(setImmediate);
    }
  };
  const end = async (...ended: string[]) => {
    for (const key of ended) {
      for (const resolve of open.get(key) ?? []) resolve();
      open.delete(key);
    }
    await quiet();
  };
  return { patrol, looks, open, lines, stop, pass, end, most: () => most };
}

test("each host is looked at once in an interval, not all at the same time", async () => {
  const many: string[][] = [];
  let now: string[] = [];
  const rig = setUp(names(30), { concurrency: 100, look: async (key) => void now.push(key) });
  for (let part = 0; part < 10; part += 1) {
    now = [];
    await rig.pass(INTERVAL / 10);
    many.push(now);
  }
  expect(many.flat().toSorted()).toEqual(names(30).toSorted());
  expect(Math.max(...many.map(({ length }) => length))).toBeLessThan(12);
});

test("no more hosts at a time than allowed; the next takes the place that is free", async () => {
  const rig = setUp(names(10));
  await rig.pass(INTERVAL);
  expect(rig.looks).toHaveLength(3);
  await rig.end(rig.looks[1]!);
  expect(rig.looks).toHaveLength(4);
  while (rig.open.size > 0) await rig.end(...rig.open.keys());
  expect(rig.looks.toSorted()).toEqual(names(10).toSorted());
  expect(rig.most()).toBe(3);
});

test("a host that hangs takes one place, however often its turn comes, and the others go on", async () => {
  const others: string[] = [];
  let hangs = 0;
  const look = (key: string) => {
    if (key === "h0:22") {
      hangs += 1;
      return new Promise<void>(() => {});
    }
    others.push(key);
    return Promise.resolve();
  };
  const rig = setUp(names(5), { concurrency: 2, look });
  await rig.pass(4 * INTERVAL);
  expect(hangs).toBe(1);
  expect(others).toHaveLength(16);
});

test("that it does not keep up is said once, and again only after it did", async () => {
  const rig = setUp(names(5), { concurrency: 1 });
  const told = () => rig.lines.filter(({ msg }) => msg === "verification does not keep up");
  await rig.pass(INTERVAL);
  expect(told()).toHaveLength(0);
  await rig.pass(3 * INTERVAL);
  expect(told()).toMatchObject([{ interval: INTERVAL, concurrency: 1, level: 40 }]);
  while (rig.open.size > 0) await rig.end(...rig.open.keys());
  const free = async () => {
    await rig.pass(100);
    await rig.end(...rig.open.keys());
  };
  for (let passed = 0; passed < INTERVAL; passed += 100) await free();
  expect(told()).toHaveLength(1);
  await rig.pass(3 * INTERVAL);
  expect(told()).toHaveLength(2);
});

test("hosts that came while it runs have their turn, those that went have none", async () => {
  const seen: string[] = [];
  const gone = new Set(["h1:22"]);
  const rig = setUp(names(3), { has: (key) => !gone.has(key), look: async (key) => void seen.push(key) });
  await rig.pass(INTERVAL / 2);
  rig.patrol.add(["new:22"]);
  await rig.pass(INTERVAL);
  expect(new Set(seen)).toEqual(new Set(["h0:22", "h2:22", "new:22"]));
});

test("after it was told to stop no look begins, although places become free", async () => {
  const rig = setUp(names(10));
  await rig.pass(INTERVAL);
  rig.stop.abort();
  await rig.end(...rig.open.keys());
  await rig.pass(INTERVAL);
  expect(rig.looks).toHaveLength(3);
});
