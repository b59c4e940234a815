import { describe, expect, test } from "vitest";
import type { Drift, ReplacedFile } from "../../../src/model/drift.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import type { AppRecord } from "../../../src/model/record.ts";
import { driftAfter, firstReplaced, keptOnly, replacedFiles, withDrift } from "../../../src/reconcile/drift-record.ts";
import { makeApp, makeFailure, makeRecord } from "../../support/factories.ts";

const NOW = 1_700_000_000_000;
const web = makeApp("m/e/a", { a: "1", b: "1", c: "1" });
const drifted = (...paths: string[]) => paths.map((path) => ({ path, change: "content", since: 1 }) as const);
const replaced = (path: string, at = NOW): ReplacedFile => ({ path, change: "conflict", at });
const drift = (overrides: Partial<Drift>): Drift => ({
  files: [],
  count: overrides.files?.length ?? 0,
  replaced: [],
  ...overrides,
});

function after(
  record: AppRecord,
  {
    sends = [],
    deletes = [],
    found = [],
    failed = false,
  }: { sends?: string[]; deletes?: string[]; found?: ReplacedFile[]; failed?: boolean },
): AppRecord {
  const outcome = {
    desired: { ...web, seenAt: 1 },
    before: record,
    error: failed ? new FssyncError("NoSpace", "full") : null,
    sent: true,
    laid: { send: web.manifest.filter(({ path }) => sends.includes(path)), delete: deletes },
    replaced: found,
  };
  return driftAfter(record, outcome, NOW);
}

describe("after an attempt", () => {
  test("the record stays the same object where nothing of drift moved", () => {
    const [clean, dirty] = [makeRecord(web), makeRecord(web, { drift: drift({ files: drifted("a") }) })];
    expect(after(clean, { sends: ["a"] })).toBe(clean);
    expect(after(dirty, { sends: ["b"] })).toBe(dirty);
    expect(after(dirty, { sends: ["a"], failed: true })).toBe(dirty);
  });

  test("what was sent and deleted is not drifted any more, the rest is", () => {
    const record = makeRecord(web, { drift: drift({ files: drifted("a", "b", "gone") }) });
    expect(after(record, { sends: ["a"], deletes: ["gone"] }).drift).toEqual(drift({ files: drifted("b") }));
    expect(after(record, { sends: ["a", "b"], deletes: ["gone"] })).not.toHaveProperty("drift");
  });

  test("files that are not listed stay counted, until everything was sent", () => {
    const record = makeRecord(web, { drift: drift({ files: drifted("a"), count: 5 }) });
    expect(after(record, { sends: ["a"] }).drift).toMatchObject({ files: [], count: 4 });
    expect(after(record, { sends: ["a", "b", "c"] })).not.toHaveProperty("drift");
  });

  test("what was laid over is noted at one moment, also when the attempt failed", () => {
    const found = [replaced("a", NOW - 5)];
    expect(after(makeRecord(web), { sends: ["a"], found }).drift?.replaced).toEqual([replaced("a")]);
    expect(after(makeRecord(web), { sends: ["a"], found, failed: true }).drift?.replaced).toEqual([replaced("a")]);
  });

  test("one edit, kept under one name, counts once until an attempt works; then it is a new one", () => {
    const kept = (path: string, stamp: string, at?: number) => ({
      ...replaced(path, at),
      kept: `/kept/${path}.${stamp}`,
    });
    const earlier = [kept("a", "1", NOW - 5000), kept("a", "2", NOW - 100), replaced("b", NOW - 100)];
    const record = makeRecord(web, { drift: drift({ replaced: earlier }), failure: makeFailure() });
    const found = [kept("a", "2"), replaced("b"), kept("c", "3")];
    expect(after(record, { found }).drift?.replaced).toEqual([earlier[0], earlier[2], ...found]);
    expect(firstReplaced(record, found)).toEqual([replaced("b"), kept("c", "3")]);
    const settled = { ...record, failure: null };
    expect(after(settled, { found }).drift?.replaced).toEqual([...earlier, ...found]);
    expect(firstReplaced(settled, found)).toEqual(found);
    expect(firstReplaced(undefined, found)).toEqual(found);
  });
});

test("an attempt that failed says where versions are, and of no file that it was laid over", () => {
  const found = [{ path: "a", change: "content", at: NOW, kept: "/kept/a" } as const, replaced("b")];
  expect(keptOnly(found)).toEqual([found[0]]);
});

test("what Git had changed too is a conflict, the rest is content; a copy is named where there is one", () => {
  const replaces = [
    { path: "a", blobs: [], changed: true },
    { path: "b", blobs: [], changed: false },
  ];
  expect(replacedFiles({ replaces }, [{ path: "a", kept: "/kept/a" }, { path: "b" }], NOW)).toEqual([
    { path: "a", change: "conflict", at: NOW, kept: "/kept/a" },
    { path: "b", change: "content", at: NOW },
  ]);
});

test("a record without drift has no such field", () => {
  expect(withDrift(makeRecord(web, { drift: drift({ count: 1 }) }), undefined)).toEqual(makeRecord(web));
});
