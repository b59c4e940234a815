import { describe, expect, test } from "vitest";
import { FssyncError, type Reason } from "../../../src/model/errors.ts";
import type { AppRecord } from "../../../src/model/record.ts";
import { Report } from "../../../src/reconcile/report.ts";
import { recordedLog, SilentTelemetry } from "../../support/fakes.ts";
import { makeApp, makeFailure, makeRecord } from "../../support/factories.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const WARN = 40;
const DEBUG = 20;

function setUp() {
  const clock = new ManualClock();
  const telemetry = new SilentTelemetry();
  const { log, lines } = recordedLog();
  const desired = { ...makeApp("m/e/a", { a: "1" }), seenAt: clock.now() };
  const outcome = (reason: Reason | null, before: AppRecord = makeRecord(null), sent = true) => ({
    desired,
    before,
    error: reason && new FssyncError(reason, "why"),
    sent,
    laid: null,
    replaced: [],
  });
  return { clock, telemetry, lines, outcome, report: new Report({ telemetry, clock, log }) };
}

describe("what is told", () => {
  test("a failure once, its repetition for debugging, another reason again", () => {
    const { lines, outcome, report } = setUp();
    const failed = makeRecord(null, { failure: makeFailure({ reason: "NoSpace" }) });
    report.outcomes("h", [outcome("NoSpace")], 1);
    report.outcomes("h", [outcome("NoSpace", failed)], 1);
    report.outcomes("h", [outcome("ReadOnly", failed)], 1);
    expect(lines.map(({ event, level, reason }) => [event, level, reason])).toEqual([
      ["SyncFailed", WARN, "NoSpace"],
      ["SyncFailed", DEBUG, "NoSpace"],
      ["SyncFailed", WARN, "ReadOnly"],
    ]);
    expect(lines[0]).toMatchObject({ host: "h", app: "m/e/a", message: "why" });
    expect(lines[0]!.next).toBeTypeOf("string");
  });

  test("a sync that was interrupted is neither told nor counted", () => {
    const { lines, telemetry, outcome, report } = setUp();
    report.outcomes("h", [outcome("Interrupted")], 1);
    expect([lines.length, telemetry.syncs.length]).toEqual([0, 0]);
  });

  test("a change that is held has an event of its own and is no sync", () => {
    const { lines, telemetry, outcome, report } = setUp();
    report.outcomes("h", [outcome("PruneLimitExceeded", makeRecord(null), false)], 1);
    expect(lines).toMatchObject([{ event: "PruneLimitExceeded", level: WARN }]);
    expect(telemetry.syncs).toEqual([]);
  });

  test.for<[(Reason | null)[], string]>([
    [[null], "success"],
    [[null, "NoSpace"], "failed"],
    [["ConnectTimeout", "ConnectTimeout"], "unreachable"],
    [[null, "ConnectionLost"], "unreachable"],
    [["ConnectionLost", "NoSpace"], "failed"],
  ])("outcomes %j are one sync: %s", ([reasons, result]) => {
    const { telemetry, outcome, report } = setUp();
    report.outcomes(
      "h",
      reasons.map((reason) => outcome(reason)),
      1,
    );
    expect(telemetry.syncs).toEqual([result]);
  });

  test("the way of a change to a host is measured from the later of commit and lag, and not when it did not lag", () => {
    const { clock, telemetry, outcome, report } = setUp();
    const began = clock.now();
    clock.advance(5000);
    report.outcomes("h", [outcome(null, makeRecord(null, { lagSince: began - 60_000 }))], 1);
    report.outcomes("h", [outcome(null, makeRecord(null, { lagSince: began + 2000 }))], 1);
    report.outcomes("h", [outcome(null)], 1);
    expect(telemetry.propagations).toEqual([5, 3]);
  });

  test("10,000 hosts that come are one line with a few names", () => {
    const { lines, report } = setUp();
    report.hosts(new Set(Array.from({ length: 10_000 }, (_, index) => `h${index}`)), new Set());
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ event: "HostAdded", count: 10_000 });
    expect(lines[0]!.hosts).toHaveLength(20);
  });

  test("what is wrong with the inventory, with its event when it is suspicious", () => {
    const { lines, report } = setUp();
    const since = 1;
    report.problems("inventory", [{ reason: "InventorySuspicious", message: "m", since }], false);
    report.problems("git", [{ reason: "FetchFailed", message: "m", since }], false);
    report.problems("git", [], true);
    expect(lines.map(({ event, about, level }) => [event, about, level])).toEqual([
      ["InventorySuspicious", "inventory", WARN],
      [undefined, "git", WARN],
      [undefined, "git", 30],
    ]);
  });
});
