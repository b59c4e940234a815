import { expect, it } from "vitest";
import { syncLines } from "../../../../src/http/compat/sync-lines.ts";
import type { AppOnHostReport, HostReport, StatusReport } from "../../../../src/plan/status-report.ts";
import { worst } from "../../../../src/model/state.ts";

function report(...hosts: HostReport[]): StatusReport {
  return { repos: [{ name: "files", revision: null, apps: [], hosts }] };
}

function host(address: string, ...apps: Partial<AppOnHostReport>[]): HostReport {
  return hostAt(address, 22, ...apps);
}

function hostAt(address: string, port: number, ...apps: Partial<AppOnHostReport>[]): HostReport {
  const common = { app: "env/prod/web", state: "Synced", revision: null, digest: null, syncedAt: null } as const;
  const all = apps.map((app) => ({ ...common, ...app }));
  return { address, port, state: worst(all.map(({ state }) => state)), apps: all };
}

const failed = { state: "Failed", reason: "NoSpace", message: "the disk is full" } as const;
const down = { state: "Unreachable", reason: "ConnectTimeout", message: "no answer" } as const;

it("says success or why not, sorted as addresses are", () => {
  const lines = syncLines(report(host("10.0.0.11", {}), host("10.0.0.9", failed), host("db-1.example", down)), []);
  expect(lines).toEqual([
    "10.0.0.9:NoSpace: the disk is full",
    "10.0.0.11:success",
    "db-1.example:ConnectTimeout: no answer",
  ]);
});

it("names a host once, with the worst of what was asked for", () => {
  const [line, ...more] = syncLines(report(host("10.0.0.9", {}, down, failed)), []);
  expect(line).toBe("10.0.0.9:NoSpace: the disk is full");
  expect(more).toEqual([]);
});

it("names a host of several repos once", () => {
  const both = [...report(host("10.0.0.9", {})).repos, ...report(host("10.0.0.9", failed)).repos];
  expect(syncLines({ repos: both }, [])).toEqual(["10.0.0.9:NoSpace: the disk is full"]);
});

it("says the port where two hosts could be meant, and it is not ssh's own", () => {
  const lines = syncLines(
    report(hostAt("a", 2222, {}), hostAt("b", 22, {}), hostAt("b", 2222, {}), host("::1", {})),
    [],
  );
  expect(lines).toEqual(["[::1]:success", "a:success", "b:success", "b:2222:success"]);
});

it("keeps an error on one line", () => {
  const lines = syncLines(report(host("a", { ...failed, message: "one\r\n  two\u0000\u001b[31m" })), []);
  expect(lines).toEqual(["a:NoSpace: one two [31m"]);
});

it("counts nothing as success that is not on the host", () => {
  const states = (["Pending", "Syncing", "Drifted", "Conflict", "Suspended"] as const).map((state) =>
    host(state, { state }),
  );
  for (const line of syncLines(report(...states), [])) expect(line).not.toMatch(/success/);
});

it("says which hosts people keep it from, unless something worse is known", () => {
  const lines = syncLines(report(host("a", failed)), [
    { address: "a", port: 22 },
    { address: "c", port: 22 },
  ]);
  expect(lines).toEqual(["a:NoSpace: the disk is full", "c:Suspended: people have stopped work on it"]);
});
