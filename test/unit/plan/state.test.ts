import { describe, expect, test } from "vitest";
import type { AppRecord } from "../../../src/model/record.ts";
import { hasWork, laggingApps, laggingHosts } from "../../../src/plan/lagging.ts";
import { lags, needsLook, needsReconcile, needsSync, stateOf } from "../../../src/plan/state.ts";
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

  const drift = { files: [{ path: "a", change: "mode", since: 1 }], count: 1, replaced: [] } as const;
  const healed = { files: [], count: 0, replaced: [{ path: "a", change: "mode", at: 1 }] } as const;
  const unseen = makeFailure({ state: "Unreachable", reason: "ConnectTimeout", verifying: true });

  test.for<[string, AppRecord | undefined, { look: boolean; sync: boolean; state: string }]>([
    ["nothing known", undefined, { look: false, sync: true, state: "Pending" }],
    ["as in Git", makeRecord(app), { look: false, sync: false, state: "Synced" }],
    ["changed by hand", makeRecord(app, { drift }), { look: false, sync: false, state: "Drifted" }],
    ["healed", makeRecord(app, { drift: healed }), { look: false, sync: false, state: "Synced" }],
    ["changed by hand and behind", makeRecord(old, { drift }), { look: false, sync: true, state: "Pending" }],
    ["not seen", makeRecord(app, { failure: unseen }), { look: true, sync: false, state: "Unreachable" }],
    [
      "not seen, changed by hand",
      makeRecord(app, { failure: unseen, drift }),
      { look: true, sync: false, state: "Unreachable" },
    ],
    [
      "not seen, and behind since",
      makeRecord(old, { failure: unseen }),
      { look: true, sync: true, state: "Unreachable" },
    ],
    [
      "not seen, and a sync begun since",
      makeRecord(app, { failure: unseen, unfinished: [revisionOf("2")] }),
      { look: true, sync: true, state: "Unreachable" },
    ],
    ["a sync that failed", makeRecord(app, { failure: makeFailure() }), { look: false, sync: true, state: "Failed" }],
  ])("%s: whether a look or a sync is of use", ([, record, expected]) => {
    expect({ look: needsLook(record), sync: needsSync(record, app), state: stateOf(record, app) }).toEqual(expected);
    expect(needsReconcile(record, app)).toBe(expected.look || expected.sync);
  });

  test("a suspended host that drifted is Drifted: nothing waits for it", () => {
    expect(stateOf(makeRecord(app, { drift }), app, true)).toBe("Drifted");
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
