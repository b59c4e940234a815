import { expect, test } from "vitest";
import { verifyExitCode } from "../../../src/cli/verify-exit-code.ts";
import type { AppOnHostReport } from "../../../src/plan/status-report.ts";
import { appReport, hostReport, iso, resultOf } from "./reports.ts";

const equal = appReport();
const drifted = appReport({ state: "Drifted", files: [{ path: "/etc/a", change: "content" }] });
const lagging = { lagSince: iso(0) };
const unseen = { notCompared: true } as const;
const down = appReport({ ...unseen, state: "Unreachable", reason: "ConnectRefused", message: "refused" });
const refused = appReport({ ...unseen, state: "Failed", reason: "AuthFailed", message: "no" });

const cases: [what: string, apps: AppOnHostReport[], code: number][] = [
  ["no host at all", [], 0],
  ["everything as Git has it", [equal, equal], 0],
  ["a file changed by hand", [equal, drifted], 2],
  ["a host that waits for a sync", [appReport({ state: "Pending", ...lagging })], 2],
  ["an app that was never synced", [appReport({ state: "Pending", digest: null, revision: null, ...lagging })], 2],
  ["a sync that failed", [appReport({ state: "Failed", reason: "NoSpace", message: "full", ...lagging })], 2],
  ["a change that is held", [appReport({ state: "Failed", reason: "PruneLimitExceeded", message: "m" })], 2],
  ["two apps that claim one path", [appReport({ state: "Conflict", reason: "PathConflict", message: "m" })], 2],
  ["a suspended host that lags", [appReport({ state: "Suspended", ...lagging })], 2],
  [
    "a suspended host that lags and could not be looked at",
    [appReport({ ...unseen, state: "Suspended", ...lagging })],
    2,
  ],
  ["a host that is down", [equal, down], 4],
  ["a host that is down and lags: nobody can see it", [{ ...down, ...lagging }], 4],
  ["a host that is down beside one that drifted", [drifted, down], 6],
  ["a host that refused the key", [equal, refused], 1],
  ["a host that refused the key and lags", [{ ...refused, ...lagging }], 2],
  ["a file that cannot be read beside one that was changed", [{ ...refused, files: drifted.files! }], 2],
  ["a host that refused the key beside one that drifted", [refused, drifted], 2],
  ["a host that refused the key beside one that is down", [refused, down], 4],
  ["a host that nobody looked at", [appReport({ ...unseen })], 1],
];

test.each(cases)("%s", (_, apps, code) => {
  const hosts = apps.map((app, index) => hostReport(`10.0.0.${index + 1}`, app));
  expect(verifyExitCode(resultOf(hosts))).toBe(code);
});

test("one app of a host is enough", () => {
  expect(verifyExitCode(resultOf([hostReport("10.0.0.1", equal, drifted)]))).toBe(2);
});

test("what Git or the inventory lacks is an error only where nothing else is wrong, a bad host in it never", () => {
  const problem = (reason: "FetchFailed" | "InvalidHost") => ({ repo: "files", reason, message: "m", since: 0 });
  const on = (app: AppOnHostReport, reason: "FetchFailed" | "InvalidHost") =>
    verifyExitCode(resultOf([hostReport("10.0.0.1", app)], { problems: [problem(reason)] }));
  expect(on(equal, "FetchFailed")).toBe(1);
  expect(on(drifted, "FetchFailed")).toBe(2);
  expect(on(equal, "InvalidHost")).toBe(0);
});
