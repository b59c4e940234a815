import { beforeEach, describe, expect, test, vi } from "vitest";
import { painter } from "../../../src/cli/style.ts";
import { diffsText, withDiffs } from "../../../src/cli/verify-diffs.ts";
import type { FileReport, HostReport } from "../../../src/plan/status-report.ts";
import type { ContentReport } from "../../../src/plan/verify-report.ts";
import { appReport, hostReport, resultOf } from "./reports.ts";

// What the environment says of colours is not what is tested here.
beforeEach(() => {
  vi.stubEnv("NO_COLOR", "");
  return () => vi.unstubAllEnvs();
});

const path = "/etc/a.conf";

/** What files of this suite name. */
const kept: Record<string, ContentReport> = {};

function changed(git: string | Buffer, host: string | Buffer): FileReport {
  const pair = { git: Buffer.from(git).toString("base64"), host: Buffer.from(host).toString("base64") };
  const contents = `${pair.git} ${pair.host}`;
  kept[contents] = pair;
  return { path, change: "content", contents };
}

function hosts(files: readonly FileReport[], addresses = ["10.0.0.1"]): HostReport[] {
  const app = appReport({ state: "Drifted", files });
  const { report } = resultOf(addresses.map((address) => hostReport(address, app)));
  return [...withDiffs(report, kept).repos[0]!.hosts];
}

function text(files: readonly FileReport[], addresses?: string[], options = { wide: false, terminal: false }): string {
  return diffsText(hosts(files, addresses), { wide: options.wide, paint: painter(options.terminal) });
}

describe("diffs of verify", () => {
  test("contents are never printed: without --diff nothing is left of them, with it the diff", () => {
    const { report } = resultOf([hostReport("10.0.0.1", appReport({ files: [changed("a\n", "b\n")] }))]);
    const without = withDiffs(report, null).repos[0]!.hosts[0]!.apps[0]!.files;
    expect(without).toEqual([{ path, change: "content" }]);
    const [file] = hosts([changed("a\n", "b\n")])[0]!.apps[0]!.files!;
    expect(file).toEqual({ path, change: "content", diff: expect.stringContaining("-a\n+b") });
  });

  test("a diff goes from Git's content to the host's, under the name of file, app and host", () => {
    expect(text([changed("a\nb\n", "a\nc\n")])).toMatch(
      /^\/etc\/a\.conf {2}nginx\/prod\/web {2}on 10\.0\.0\.1\n--- git\/etc\/a\.conf\n\+\+\+ host\/etc\/a\.conf\n@@ .*\n a\n-b\n\+c\n/,
    );
  });

  test("the same diff on many hosts is told once, with the first hosts' names and their number", () => {
    const addresses = Array.from({ length: 200 }, (_, at) => `10.0.0.${at + 1}`);
    const told = text([changed("a\n", "b\n")], addresses);
    expect(told.match(/^\+b$/gm)).toHaveLength(1);
    expect(told).toContain("on 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5, … 200 hosts\n");
    expect(text([changed("a\n", "b\n")], addresses, { wide: true, terminal: false })).toContain("10.0.0.200");
  });

  test("what differs between hosts is told for each", () => {
    const apps = [changed("a\n", "b\n"), changed("a\n", "c\n")].map((file) => appReport({ files: [file] }));
    const { report } = resultOf(apps.map((app, at) => hostReport(`10.0.0.${at + 1}`, app)));
    const told = diffsText(withDiffs(report, kept).repos[0]!.hosts, { wide: false, paint: painter(false) });
    expect(told).toMatch(/on 10\.0\.0\.1\n[^]*\+b\n[^]*on 10\.0\.0\.2\n[^]*\+c\n/);
  });

  test.each<[FileReport, string]>([
    [{ path, change: "missing" }, "missing on the host"],
    [{ path, change: "mode" }, "its mode differs, its content does not"],
    [{ path, change: "owner" }, "its owner differs, its content does not"],
    [{ path, change: "type" }, "something else stands there: a folder, a symlink, a device"],
    [{ path, change: "content", secret: true }, "secret, or not for others to read"],
    [{ path, change: "content" }, "no plain file, too large, or one of too many on its host"],
    [{ path, change: "conflict" }, "missing, no plain file, too large, or one of too many on its host"],
    [changed("a\n", Buffer.from([0xff, 0])), "not text"],
    [{ path, change: "content", contents: "what was beyond the budget" }, "too many"],
  ])("a file without a diff says why in one line: %o", (file, why) => {
    expect(text([file])).toBe(`/etc/a.conf  nginx/prod/web  on 10.0.0.1: ${why}\n`);
    expect(hosts([file])[0]!.apps[0]!.files).toEqual([expect.objectContaining({ diff: null, notShown: why })]);
  });

  test("of very many files the first are told, those with a diff before the others; -o wide tells all", () => {
    const missing = Array.from({ length: 50 }, (_, at): FileReport => ({ path: `/etc/${at}`, change: "missing" }));
    const told = text([...missing, changed("a\n", "b\n")]);
    expect(told.startsWith("/etc/a.conf")).toBe(true);
    expect(told).toContain("… and 11 more; -o wide shows all\n");
    expect(text(missing, ["10.0.0.1"], { wide: true, terminal: false }).match(/missing/g)).toHaveLength(50);
  });

  test("lines are coloured on a terminal, a removed line that looks like a header too", () => {
    const told = text([changed("-- x\n", "y\n")], ["10.0.0.1"], { wide: false, terminal: true });
    expect(told).toContain("\u001b[31m--- x\u001b[39m");
    expect(told).toContain("\u001b[32m+y\u001b[39m");
    expect(told).toContain("\n--- git/etc/a.conf\n");
  });
});
