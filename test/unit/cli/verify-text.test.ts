import { beforeEach, describe, expect, test, vi } from "vitest";
import { verifyText, type VerifyTextOptions } from "../../../src/cli/verify-text.ts";
import type { FileReport, HostReport } from "../../../src/plan/status-report.ts";
import type { SyncResult } from "../../../src/reconcile/controller.ts";
import { appReport, hostReport, iso, resultOf } from "./reports.ts";

// What the environment says of colours is not what is tested here.
beforeEach(() => {
  vi.stubEnv("NO_COLOR", "");
  return () => vi.unstubAllEnvs();
});

const content: FileReport = { path: "/etc/a.conf", change: "content" };

function lines(result: SyncResult, options: Partial<VerifyTextOptions> = {}): string[] {
  return verifyText(result, { terminal: false, wide: false, diff: false, ...options }).split("\n");
}

/** The rows of the table, cell by cell. */
function rows(hosts: readonly HostReport[], options: Partial<VerifyTextOptions> = {}): string[][] {
  const [head, ...rest] = lines(resultOf(hosts), options).slice(2, -1);
  expect(head).toMatch(/^ {2}HOST +APP +STATE +FILE +CHANGE +SINCE +REASON$/);
  return rest.filter((line) => line !== "").map((line) => line.trim().split(/ {2,}/));
}

function drifted(address: string, ...files: readonly FileReport[]): HostReport {
  return hostReport(address, appReport({ state: "Drifted", files }));
}

describe("what people read of verify", () => {
  test("all equal is one line", () => {
    const equal = (count: number) => Array.from({ length: count }, (_, at) => hostReport(`10.0.0.${at}`, appReport()));
    expect(lines(resultOf(equal(200)))).toEqual(["200 hosts have what Git has.", ""]);
    expect(lines(resultOf(equal(1)))).toEqual(["1 host has what Git has.", ""]);
    expect(lines(resultOf([]))).toEqual(["There is no host to compare.", ""]);
  });

  test("a row for each changed file, since when; hosts that are equal are only counted", () => {
    const since = iso(Date.now() - 7_200_000);
    const mode: FileReport = { path: "/etc/b.conf", change: "mode" };
    const hosts = [hostReport("10.0.0.1", appReport()), drifted("10.0.0.2", { ...content, since }, mode)];
    expect(lines(resultOf(hosts))[0]).toMatch(/^files {2}main@sha1:\w{8} {2}2 hosts: 1 Drifted, 1 Synced$/);
    expect(rows(hosts)).toEqual([
      ["10.0.0.2", "nginx/prod/web", "Drifted", "/etc/a.conf", "content", "2h ago"],
      ["10.0.0.2", "nginx/prod/web", "Drifted", "/etc/b.conf", "mode", "-"],
    ]);
  });

  test("worst hosts first: by state, then by how many files, then by address", () => {
    const failed = appReport({ state: "Failed", reason: "AuthFailed", message: "refused", notCompared: true });
    const hosts = [
      hostReport("10.0.0.1", appReport({ state: "Pending", lagSince: iso(Date.now()) })),
      drifted("10.0.0.10", content),
      drifted("10.0.0.3", content),
      drifted("10.0.0.4", content, { ...content, path: "/etc/b.conf" }),
      hostReport("10.0.0.5", failed),
    ];
    const order = rows(hosts).map(([host]) => host);
    expect(order).toEqual(["10.0.0.5", "10.0.0.4", "10.0.0.4", "10.0.0.3", "10.0.0.10", "10.0.0.1"]);
  });

  test("a host that could not be looked at has its reason and message", () => {
    const refused = { state: "Unreachable", reason: "ConnectRefused", message: "refused", notCompared: true } as const;
    expect(rows([hostReport("10.0.0.1", appReport({ ...refused, attempts: 5 }))])).toEqual([
      ["10.0.0.1", "nginx/prod/web", "Unreachable", "-", "-", "-", "ConnectRefused (5 attempts): refused"],
    ]);
    expect(rows([hostReport("10.0.0.1", appReport({ notCompared: true }))])[0]!.at(-1)).toBe("not compared");
  });

  test("a host that lags says so beside its files, once", () => {
    const lagSince = iso(Date.now() - 60_000);
    const files = [content, { ...content, path: "/etc/b.conf" }];
    const never = appReport({ state: "Pending", digest: null, revision: null, lagSince, files });
    expect(rows([hostReport("10.0.0.1", never)]).map((row) => row[6])).toEqual(["never synced", undefined]);
    const behind = appReport({ state: "Pending", lagSince, files: [] });
    expect(rows([hostReport("10.0.0.1", behind)])[0]!.at(-1)).toBe("lags for 1m");
  });

  test("of an app that is as Git has it nothing is said, whatever else is on the host", () => {
    const other = appReport({ app: "nginx/prod/api" });
    const host = hostReport("10.0.0.1", other, appReport({ state: "Drifted", files: [content] }));
    expect(rows([host]).map(([, app]) => app)).toEqual(["nginx/prod/web"]);
  });

  test("of very many files and hosts the first are named and the rest counted; -o wide names all", () => {
    const files = Array.from({ length: 143 }, (_, at) => ({ ...content, path: `/etc/${at}` }));
    expect(rows([drifted("10.0.0.1", ...files)])).toHaveLength(21);
    expect(rows([drifted("10.0.0.1", ...files)]).at(-1)![3]).toBe("… and 123 more; -o wide shows all");
    expect(rows([drifted("10.0.0.1", ...files)], { wide: true })).toHaveLength(143);
    const hosts = Array.from({ length: 45 }, (_, at) => drifted(`10.0.0.${at}`, content));
    expect(lines(resultOf(hosts))).toContain("  … and 5 more; -o wide shows all");
    expect(rows(hosts, { wide: true })).toHaveLength(45);
  });

  test("control characters of a path do not reach the terminal", () => {
    const text = lines(resultOf([drifted("10.0.0.1", { path: "/etc/\u001b[31m\nx", change: "missing" })])).join("\n");
    expect(text).toContain("/etc/\\x1b[31m\\x0ax");
    expect(text).not.toContain("\u001b");
  });

  test("colours on a terminal only", () => {
    const hosts = [drifted("10.0.0.1", content)];
    expect(lines(resultOf(hosts), { terminal: true, columns: 200 }).join("")).toContain("\u001b[36mDrifted");
    expect(lines(resultOf(hosts)).join("")).not.toContain("\u001b");
  });

  test("what is wrong with Git is said, also when all hosts are equal", () => {
    const problem = { reason: "FetchFailed", message: "no route", since: iso(Date.now() - 5000) } as const;
    const result = resultOf([hostReport("10.0.0.1", appReport())]);
    const repos = result.report.repos.map((repo) => ({ ...repo, problems: [problem] }));
    const told = lines({ ...result, report: { repos }, problems: [{ ...problem, repo: "files", since: 0 }] });
    expect(told[0]).toContain("1 host: 1 Synced");
    expect(told[1]).toBe("  ! FetchFailed for 5s: no route");
  });
});
