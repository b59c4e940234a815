import type { LookupAddress } from "node:dns";
import { expect, test } from "vitest";
import { Names } from "../../../../src/transport/builtin/names.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const HERE: LookupAddress[] = [
  { address: "127.0.0.1", family: 4 },
  { address: "::1", family: 6 },
];

/** Names that begin with `dead` get no answer until they are told. */
function setUp() {
  const clock = new ManualClock();
  const asked: string[] = [];
  const silent: ((error: Error) => void)[] = [];
  const names = new Names({
    clock,
    resolve: (name) => {
      asked.push(name);
      return name.startsWith("dead") ? new Promise((_, reject) => silent.push(reject)) : Promise.resolve(HERE);
    },
  });
  const { signal } = new AbortController();
  const lookup = (name: string, until: AbortSignal = signal) => names.lookup(name, until);
  return { clock, asked, silent, names, lookup };
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test("an address is not looked up", async () => {
  const { asked, lookup } = setUp();
  expect(await lookup("10.0.0.1")).toEqual({});
  expect(await lookup("fd00::1")).toEqual({});
  expect(asked).toEqual([]);
});

test("an answer holds for a minute, unless it led nowhere", async () => {
  const { clock, asked, names, lookup } = setUp();
  await lookup("web-1");
  clock.advance(59_999);
  await lookup("web-1");
  expect(asked).toHaveLength(1);
  clock.advance(1);
  await lookup("web-1");
  names.forget("web-1");
  await lookup("web-1");
  expect(asked).toHaveLength(3);
});

test("net is told all addresses, or the first", async () => {
  const { lookup } = setUp();
  const { lookup: answer } = await lookup("web-1");
  const told: unknown[] = [];
  answer!("web-1", { all: true }, (...words) => told.push(words));
  answer!("web-1", {}, (...words) => told.push(words));
  expect(told).toEqual([
    [null, HERE],
    [null, "127.0.0.1", 4],
  ]);
});

test("a name that is behind names without an answer waits, and is no failure", async () => {
  const { clock, asked, silent, lookup } = setUp();
  const dead = Array.from({ length: 8 }, (_, index) => lookup(`dead-${index}`));
  const failures = Promise.allSettled(dead);
  const living = lookup("web-1");
  await turn();
  clock.advance(20_000);
  for (const each of await failures)
    expect(each).toMatchObject({ reason: { reason: "NameResolutionFailed", message: /dead-\d: no answer/ } });
  // Its thread is still at work: nothing else could be asked in its place.
  expect(asked).not.toContain("web-1");
  silent[0]!(new Error("EAI_AGAIN"));
  expect((await living).lookup).toBeDefined();
});

test("whoever does not want it any more is told at once", async () => {
  const { lookup } = setUp();
  const stop = new AbortController();
  const asking = lookup("dead", stop.signal);
  await turn();
  stop.abort();
  await expect(asking).rejects.toMatchObject({ reason: "Interrupted" });
});
