import { describe, expect, test } from "vitest";
import { statusTable } from "../../../src/cli/status-table.ts";
import type { AppOnHostReport, FileReport, HostReport } from "../../../src/plan/status-report.ts";
import { appReport, hostReport, iso, resultOf } from "./reports.ts";

const files: FileReport[] = [
  { path: "/etc/a", change: "content" },
  { path: "/etc/b", change: "mode" },
  { path: "/etc/c", change: "missing" },
];

/** The REASON of the only host. */
function reason(app: Partial<AppOnHostReport>, wide = false): string {
  const { report } = resultOf([hostReport("10.0.0.1", appReport(app))]);
  const row = statusTable(report, { terminal: false, wide })
    .split("\n")
    .find((line) => line.includes("10.0.0.1"));
  return row!.trim().split(/ {2,}/)[5] ?? "";
}

describe("drift in status", () => {
  test("says how many files were changed, with an example", () => {
    expect(reason({ state: "Drifted", files })).toBe("3 files changed: /etc/a (content), …");
    expect(reason({ state: "Drifted", files: files.slice(0, 1) })).toBe("1 file changed: /etc/a (content)");
  });

  test("counts also what is not listed", () => {
    expect(reason({ state: "Drifted", files, fileCount: 250 })).toBe("250 files changed: /etc/a (content), …");
  });

  test("-o wide names all that are listed, and what was replaced with the place of its old version", () => {
    const replaced = [
      { path: "/etc/d", change: "content", at: iso(0), kept: "/var/lib/fssync/replaced/etc/d.20261122T000000Z" },
      { path: "/etc/e", change: "conflict", at: iso(0) },
      { path: "/etc/f", change: "missing", at: iso(0) },
    ] as const;
    expect(reason({ state: "Drifted", files, replaced }, true)).toBe(
      "3 files changed: /etc/a (content), /etc/b (mode), /etc/c (missing); " +
        "replaced: /etc/d (kept as /var/lib/fssync/replaced/etc/d.20261122T000000Z), /etc/e (conflict, not kept), /etc/f (missing)",
    );
  });

  test("stands after why the last attempt failed", () => {
    expect(reason({ state: "Failed", reason: "NoSpace", message: "full", files: files.slice(0, 1) })).toBe(
      "NoSpace: full; 1 file changed: /etc/a (content)",
    );
  });
});

describe("hosts that get plain rsync", () => {
  const host = { ...hostReport("10.0.0.1", appReport(), appReport({ app: "nginx/prod/api" })), fallback: "no sudo" };
  const reasons = (wide: boolean) => {
    const lines = statusTable(resultOf([host]).report, { terminal: false, wide }).split("\n");
    return lines.filter((line) => line.includes("10.0.0.1")).map((line) => line.trim().split(/ {2,}/)[5]);
  };

  test("-o wide says why, once for the host", () => {
    expect(reasons(true)).toEqual(["plain rsync: no sudo", undefined]);
  });

  test("the short table does not name a host for it", () => {
    expect(reasons(false)).toEqual([]);
  });

  test("the short table counts them", () => {
    const other = hostReport("10.0.0.2", appReport());
    const line = (...hosts: HostReport[]) =>
      statusTable(resultOf(hosts).report, { terminal: false, wide: false }).split("\n")[1];
    expect(line(host, other)).toBe("  1 host gets plain rsync; -o wide says why");
    expect(line(host, { ...other, fallback: "no sudo" })).toBe("  2 hosts get plain rsync; -o wide says why");
    expect(line(other)).toBe("");
  });
});
