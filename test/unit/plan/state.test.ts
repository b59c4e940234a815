import { describe, expect, test } from "vitest";
import type { AppRecord } from "../../../src/model/record.ts";
import { hasWork, laggingApps, laggingHosts } from "../../../src/plan/lagging.ts";
import { lags, needsReconcile, stateOf } from "../../../src/plan/state.ts";
import { makeApp, makeFailure, makeRecord, revisionOf } from "../../support/factories.ts";

const app = makeApp("m/e/a", { a: "1" });
const old = makeApp("m/e/a", { a: "0" });
const refused = { ...app, refused: { reason: "InvalidPath", message: "no" } } as const;

describe("one app on one host", () => {
  test.for<[string, AppRecord | undefined, { lags: boolean; needs: boolean; state: string; suspended: string }]>([
    ["nothing known", undefined, { lags: true, needs: true, state: "Pending", suspended: "Suspended" }],
    ["never synced", makeRecord(null), { lags: true, needs: true, state: "Pending", suspended: "Suspended" }],
    ["as in Git", makeRecord(app), { lags: false, needs: false, state: "Synced", suspended: "Synced" }],
    ["behind", makeRecord(old), { lags: true, needs: true, state: "Pending", suspended: "Suspended" }],
    [
      "behind and being synced",
      makeRecord(old, { syncingSince: 1 }),
      { lags: true, needs: true, state: "Syncing", suspended: "Suspended" },
    ],
    [
      "as in Git, but a sync to something else was begun",
      makeRecord(app, { unfinished: [revisionOf("2")] }),
      { lags: true, needs: true, state: "Pending", suspended: "Suspended" },
    ],
    [
      "failed",
      makeRecord(old, { failure: makeFailure() }),
      { lags: true, needs: true, state: "Failed", suspended: "Failed" },
    ],
    [
      "unreachable, and being tried again",
      makeRecord(old, { failure: makeFailure({ state: "Unreachable", reason: "ConnectTimeout" }), syncingSince: 1 }),
      { lags: true, needs: true, state: "Unreachable", suspended: "Unreachable" },
    ],
    [
      "as in Git again after a failure that was not looked at since",
      makeRecord(app, { failure: makeFailure() }),
      { lags: false, needs: true, state: "Failed", suspended: "Failed" },
    ],
    [
      "in conflict though it has what Git has",
      makeRecord(app, { failure: makeFailure({ state: "Conflict", reason: "PathConflict" }) }),
      { lags: false, needs: true, state: "Conflict", suspended: "Conflict" },
    ],
  ])("%s", ([, record, expected]) => {
    expect({
      lags: lags(record, app),
      needs: needsReconcile(record, app),
      state: stateOf(record, app),
      suspended: stateOf(record, app, true),
    }).toEqual(expected);
  });

  test("a refused app is Failed whatever the host has", () => {
    for (const record of [undefined, makeRecord(app), makeRecord(old)]) expect(stateOf(record, refused)).toBe("Failed");
  });
});

describe("lagging hosts", () => {
  const other = makeApp("m/e/b", { b: "1" });
  const desired = new Map([app, other].map((one) => [one.key, one]));
  const host = (key: string, records: [string, AppRecord][]) => ({
    key,
    apps: records.map(([name]) => name as typeof app.key),
    records: new Map(records as [typeof app.key, AppRecord][]),
  });
  const settled = host("settled", [
    ["m/e/a", makeRecord(app)],
    ["m/e/b", makeRecord(other)],
  ]);
  const behind = host("behind", [
    ["m/e/a", makeRecord(app)],
    ["m/e/b", makeRecord(null)],
  ]);
  const failed = host("failed", [
    ["m/e/a", makeRecord(app, { failure: makeFailure() })],
    ["m/e/b", makeRecord(other)],
  ]);
  const unknown = host("unknown", [["m/e/gone", makeRecord(null)]]);

  test("those that lag or show a failure, in the order given; apps that Git does not know are passed over", () => {
    expect(laggingHosts([settled, failed, unknown, behind], desired)).toEqual(["failed", "behind"]);
    expect(laggingApps(behind, desired)).toEqual(["m/e/b"]);
    expect(laggingApps(failed, desired)).toEqual(["m/e/a"]);
    expect(hasWork(unknown, desired)).toBe(false);
  });
});
