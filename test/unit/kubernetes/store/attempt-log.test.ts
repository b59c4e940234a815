import { describe, expect, it } from "vitest";
import type { Attempt } from "../../../../src/config/resources.ts";
import { AttemptLog, MAX_ATTEMPTS, UNKNOWN_DIGEST } from "../../../../src/kubernetes/store/attempt-log.ts";
import { MAX_UNFINISHED } from "../../../../src/reconcile/lag.ts";
import { revisionOf } from "../../../support/factories.ts";

const [R1, R2, R3] = [revisionOf("1"), revisionOf("2"), revisionOf("3")] as const;
const runs = (...entries: Attempt[]) => entries;
const run = (first: number, last: number, revision: string, digest: string): Attempt => ({
  first,
  last,
  revision,
  digest,
});

describe("what was about to be sent of an app", () => {
  it("is told apart up to as many as reconcile does", () => {
    expect(MAX_ATTEMPTS).toBe(MAX_UNFINISHED);
  });

  it.each([
    { name: "the first", log: [], note: { covered: 0 }, entries: runs(run(1, 1, R1, "d1")) },
    {
      name: "one that is noted",
      log: runs(run(1, 3, R1, "d1")),
      note: { covered: 2 },
      entries: runs(run(1, 3, R1, "d1")),
    },
    {
      name: "one that the record covers",
      log: runs(run(1, 3, R1, "d1")),
      note: { covered: 3 },
      entries: runs(run(1, 4, R1, "d1")),
    },
    {
      name: "the same content of another commit",
      log: runs(run(1, 3, R2, "d1")),
      note: { covered: 3 },
      entries: runs(run(1, 4, R2, "d1")),
    },
    {
      name: "another content",
      log: runs(run(1, 3, R2, "d2")),
      note: { covered: 0 },
      entries: runs(run(1, 3, R2, "d2"), run(4, 4, R1, "d1")),
    },
    {
      name: "one beyond a number that was lost",
      log: runs(run(1, 1, R2, "d2")),
      note: { covered: 7 },
      entries: runs(run(1, 1, R2, "d2"), run(8, 8, R1, "d1")),
    },
    { name: "one after notes were lost", log: [], note: { covered: 7 }, entries: runs(run(8, 8, R1, "d1")) },
    {
      name: "one whose content is not known",
      log: runs(run(1, 1, R1, UNKNOWN_DIGEST)),
      note: { covered: 0 },
      entries: runs(run(1, 1, R1, UNKNOWN_DIGEST)),
    },
    {
      name: "one after another unknown",
      log: runs(run(1, 1, R2, UNKNOWN_DIGEST)),
      note: { covered: 0 },
      entries: runs(run(1, 1, R2, UNKNOWN_DIGEST), run(2, 2, R1, "d1")),
    },
  ])("takes in $name", ({ log: before, note, entries }) => {
    const log = new AttemptLog(before);
    const changed = log.note({ revision: R1, digest: "d1", ...note });
    expect(log.entries).toEqual(entries);
    expect(changed).toBe(JSON.stringify(before) !== JSON.stringify(entries));
  });

  it("keeps the newest", () => {
    const log = new AttemptLog();
    for (let n = 1; n <= 20; n += 1) log.note({ revision: revisionOf(`${n}`), digest: `d${n}`, covered: n - 1 });
    expect(log.entries).toHaveLength(MAX_ATTEMPTS);
    expect(log.entries[0]).toEqual(run(5, 5, revisionOf("5"), "d5"));
    expect(log.newest).toBe(20);
  });

  it.each([
    { name: "nothing that its record covers", covered: 3, digest: "d2", suspected: [] },
    { name: "what came after its record", covered: 1, digest: "d1", suspected: [R2] },
    { name: "all when it covers nothing", covered: 0, digest: "other", suspected: [R1, R2] },
    { name: "nothing with the content that it has", covered: 1, digest: "d2", suspected: [] },
  ])("is suspected on a host: $name", ({ covered, digest, suspected }) => {
    const log = new AttemptLog(runs(run(1, 1, R1, "d1"), run(2, 3, R2, "d2")));
    expect(log.suspected({ digest, revision: R3, covered })).toEqual(suspected);
  });

  it("is so much that everything is sent where notes were dropped or lost", () => {
    const entries = Array.from({ length: MAX_ATTEMPTS }, (_, n) => run(n + 5, n + 5, revisionOf(`${n}`), `d${n % 2}`));
    const log = new AttemptLog(entries);
    expect(log.suspected({ digest: "d0", revision: R1, covered: 3 })).toHaveLength(MAX_ATTEMPTS);
    expect(log.suspected({ digest: "d0", revision: R1, covered: 4 })).toHaveLength(MAX_ATTEMPTS / 2);
    expect(log.suspected({ digest: "d0", revision: R1, covered: 21 })).toEqual(Array(MAX_ATTEMPTS).fill(R1));
    expect(log.suspected({ digest: null, revision: null, covered: 21 })).toEqual([]);
  });
});
