import { expect, test } from "vitest";
import { untilShown } from "../../../../src/http/compat/shown.ts";
import type { RepoController } from "../../../../src/reconcile/repo-controller.ts";
import { quiet } from "../../../support/fakes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

/** A repo whose reading of Git ends when the test says so. */
function reading() {
  const read = Promise.withResolvers<void>();
  const repo = {
    fleet: { revision: "main@sha1:before" },
    source: { head: async () => "theirs", contains: async (commit: string) => commit === "ours" },
    looks: 0,
    readGit: () => read.promise,
    lookAtGit: () => void (repo.looks += 1),
  };
  const clock = new ManualClock();
  let shown = false;
  const options = { clock, closing: new AbortController().signal };
  const done = untilShown(repo as unknown as RepoController, "ours", options).then(() => (shown = true));
  return { read, repo, clock, done, isShown: () => shown };
}

test.each(["ours", "theirs"])("an edit is waited for until Git was read, whoever pushed last: %s", async (newest) => {
  const { read, repo, clock, done, isShown } = reading();
  clock.advance(5000);
  await quiet();
  expect(isShown()).toBe(false);
  repo.fleet.revision = `main@sha1:${newest}`;
  read.resolve();
  await done;
  expect([repo.looks, clock.timers]).toEqual([0, 0]);
});

test("an edit is not waited for longer than ten seconds; Git is looked at once more after that", async () => {
  const { repo, clock, done } = reading();
  await quiet();
  clock.advance(10_000);
  await done;
  expect(repo.looks).toBe(1);
});

test("a reading that failed is done again by itself", async () => {
  const { read, repo, done } = reading();
  read.resolve();
  await done;
  expect(repo.looks).toBe(1);
});
