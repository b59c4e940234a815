import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Git } from "../../../src/source/git.ts";
import type { ObjectReader } from "../../../src/source/object-reader.ts";
import { ObjectReaders } from "../../../src/source/object-readers.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { makeRepo, type TestRepo } from "../../support/repo.ts";

let repo: TestRepo;
let clock: ManualClock;
let git: Git;
let readers: ObjectReaders;
let generation: number;

beforeEach(async () => {
  repo = await makeRepo({ a: "content of a\n", b: "content of b\n" });
  clock = new ManualClock();
  const gitDir = fileURLToPath(repo.url);
  git = new Git({ gitDir, cwd: gitDir, protocols: [], timeout: 20_000, clock });
  generation = 0;
  readers = new ObjectReaders({ git, generation: () => generation });
});

afterEach(async () => {
  await readers[Symbol.asyncDispose]();
  await git[Symbol.asyncDispose]();
  await repo[Symbol.asyncDispose]();
});

/** What the first of them holds; the others are not read. */
async function first(reader: ObjectReader, names: readonly string[]): Promise<string> {
  reader.request(names);
  return (await reader.content(await reader.next())).toString();
}

/** The reader that a look at one object was given. */
async function given(): Promise<ObjectReader> {
  return readers.with(async (reader) => {
    expect(await first(reader, ["main:b"])).toBe("content of b\n");
    return reader;
  });
}

it("gives the one that was read to its end again", async () => {
  expect(await given()).toBe(await given());
});

it("gives one of which something is unread to nobody", async () => {
  expect(await readers.with((reader) => first(reader, ["main:a", "main:a"]))).toBe("content of a\n");
  expect(await given()).toBe(await given());
});

it("gives one whose use failed to nobody", async () => {
  const before = await given();
  await expect(readers.with((reader) => first(reader, ["main:nothing"]))).rejects.toThrow("missing");
  expect(await given()).not.toBe(before);
});

it("gives none of the mirror before this one", async () => {
  const before = await given();
  generation += 1;
  expect(await given()).not.toBe(before);
});

it("gives two at the same time each its own, and keeps one", async () => {
  const [one, other] = await Promise.all([given(), given()]);
  expect(one).not.toBe(other);
  expect([one, other]).toContain(await given());
  expect(clock.timers).toBe(1);
});

it("keeps none once it is disposed of", async () => {
  const before = await given();
  await readers[Symbol.asyncDispose]();
  expect(await given()).not.toBe(before);
  expect(clock.timers).toBe(0);
});
