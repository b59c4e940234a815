import { expect, test } from "vitest";
import type { Events } from "../../../src/ports/events.ts";
import { alsoTo, RecentEvents, type RecentEvent } from "../../../src/reconcile/recent-events.ts";
import { ManualClock } from "../../support/manual-clock.ts";

function setUp() {
  const clock = new ManualClock();
  const events = new RecentEvents({ clock });
  return { clock, events, files: events.forRepo("files"), others: events.forRepo("others") };
}

function fail(events: Events, host: string, message = "no answer"): void {
  events.record({ app: "m/e/a", host }, "Warning", "SyncFailed", message);
}

function messages(events: RecentEvents): string[] {
  return events.list().map(({ repo, message }) => `${repo} ${message}`);
}

test("the newest is the first, with what it is about", () => {
  const { clock, events, files, others } = setUp();
  files.record({}, "Normal", "NewRevision", "one");
  clock.advance(1000);
  others.record({ app: "m/e/a", host: "h:22" }, "Warning", "SyncFailed", "two");
  expect(messages(events)).toEqual(["others two", "files one"]);
  const at = clock.now();
  expect(events.list()[0]).toEqual({
    id: 2,
    order: 2,
    repo: "others",
    about: { app: "m/e/a", host: "h:22" },
    type: "Warning",
    reason: "SyncFailed",
    message: "two",
    count: 1,
    firstAt: at,
    lastAt: at,
  });
});

test("what happens again is counted, keeps its id and is the newest", () => {
  const { clock, events, files } = setUp();
  fail(files, "h1");
  fail(files, "h2");
  const first = clock.now();
  clock.advance(5000);
  fail(files, "h1");
  expect(events.list().map(({ id, order, about, count }) => [id, order, about.host, count])).toEqual([
    [1, 3, "h1", 2],
    [2, 2, "h2", 1],
  ]);
  expect(events.list()[0]).toMatchObject({ firstAt: first, lastAt: first + 5000 });
});

test.for<[string, (events: Events) => void]>([
  ["repo", () => {}],
  ["host", (events) => fail(events, "h2")],
  ["message", (events) => fail(events, "h1", "wrong key")],
  ["reason", (events) => events.record({ app: "m/e/a", host: "h1" }, "Warning", "ConfigDriftDetected", "no answer")],
  ["type", (events) => events.record({ app: "m/e/a", host: "h1" }, "Normal", "SyncFailed", "no answer")],
  ["app", (events) => events.record({ app: "m/e/b", host: "h1" }, "Warning", "SyncFailed", "no answer")],
])("another %s is another event", ([what, record]) => {
  const { events, files, others } = setUp();
  fail(files, "h1");
  if (what === "repo") fail(others, "h1");
  else record(files);
  expect(events.list().map(({ count }) => count)).toEqual([1, 1]);
});

test("a repo where much happens does not push out what happened elsewhere", () => {
  const { events, files, others } = setUp();
  for (let index = 0; index < 5; index += 1) fail(others, `h${index}`);
  for (let index = 0; index < 5000; index += 1) fail(files, `h${index}`);
  const all = events.list();
  expect(all).toHaveLength(2000);
  expect(all.filter(({ repo }) => repo === "others")).toHaveLength(5);
  // Of its own the newest are kept.
  expect(all.findLast(({ repo }) => repo === "files")!.about.host).toBe("h3005");
  // One that comes late has its share.
  for (let index = 0; index < 5000; index += 1) fail(others, `again${index}`);
  const share = events.list().filter(({ repo }) => repo === "others").length;
  expect([share, events.list().length]).toEqual([1000, 2000]);
});

test("as many repos as there are, no more is kept than of one", () => {
  const { events } = setUp();
  for (let index = 0; index < 3000; index += 1) fail(events.forRepo(`repo-${index}`), "h");
  expect(events.list()).toHaveLength(2000);
});

test("a long message is cut", () => {
  const { events, files } = setUp();
  fail(files, "h", "😀".repeat(100_000));
  const [{ message }] = events.list() as [RecentEvent];
  expect(message.length).toBeLessThanOrEqual(1024);
  expect(message.isWellFormed()).toBe(true);
  expect(message.endsWith("…")).toBe(true);
});

test("whoever watches is told of each as it happens, until they look away", () => {
  const { events, files } = setUp();
  const told: [number, number][] = [];
  const watching = events.watch(({ id, count }) => told.push([id, count]));
  fail(files, "h1");
  fail(files, "h1");
  watching[Symbol.dispose]();
  fail(files, "h1");
  expect(told).toEqual([
    [1, 1],
    [1, 2],
  ]);
});

test("several can be told at once, as far as they are there", () => {
  const { events, files, others } = setUp();
  fail(alsoTo(files, undefined, others), "h");
  expect(events.list().map(({ repo }) => repo)).toEqual(["others", "files"]);
});
