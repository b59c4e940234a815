import { expect, it } from "vitest";
import { syncLines, type SyncedHost } from "../../../../src/http/compat/sync-lines.ts";
import { worst } from "../../../../src/model/state.ts";
import type { AppOnHostReport } from "../../../../src/plan/status-report.ts";

type Outcome = SyncedHost["outcome"];

function host(address: string, outcome: Outcome, ...apps: Partial<AppOnHostReport>[]): SyncedHost {
  const common = { app: "env/prod/web", state: "Synced", revision: null, digest: null, syncedAt: null } as const;
  const all = apps.map((app) => ({ ...common, ...app }));
  return { address, port: 22, outcome, state: worst(all.map(({ state }) => state)), apps: all };
}

const failed = { state: "Failed", reason: "NoSpace", message: "the disk is full" } as const;
const down = { state: "Unreachable", reason: "ConnectTimeout", message: "no answer" } as const;

it("says success or why not, sorted as addresses are", () => {
  const hosts = [
    host("10.0.0.11", "Synced", {}),
    host("10.0.0.9", "Failed", failed),
    host("db-1.example", "Unreachable", down),
  ];
  const lines = ["10.0.0.9:NoSpace: the disk is full", "10.0.0.11:success", "db-1.example:ConnectTimeout: no answer"];
  expect(syncLines(hosts)).toEqual(lines);
});

it("says the worst of what was asked for of a host", () => {
  expect(syncLines([host("10.0.0.9", "Failed", {}, down, failed)])).toEqual(["10.0.0.9:NoSpace: the disk is full"]);
});

it("names a host of several repos once, with the worst", () => {
  const hosts = [host("a", "Synced", {}), host("a", "Failed", failed), host("a", "Unreachable", down)];
  expect(syncLines(hosts)).toEqual(["a:NoSpace: the disk is full"]);
  expect(syncLines(hosts.toReversed())).toEqual(["a:NoSpace: the disk is full"]);
});

it("says the port where two hosts could be meant, and it is not ssh's own", () => {
  const at = (address: string, port: number) => ({ ...host(address, "Synced", {}), port });
  const lines = syncLines([at("a", 2222), at("b", 2222), at("b", 22), at("::1", 22)]);
  expect(lines).toEqual(["[::1]:success", "a:success", "b:success", "b:2222:success"]);
});

it("keeps an error on one line", () => {
  const lines = syncLines([host("a", "Failed", { ...failed, message: "one\r\n  two\u0000\u001b[31m" })]);
  expect(lines).toEqual(["a:NoSpace: one two [31m"]);
});

it("calls nothing success but what is", () => {
  const outcomes: Outcome[] = ["Failed", "Unreachable", "Held", "Waiting", "Suspended"];
  for (const outcome of outcomes) {
    const [line] = syncLines([host("a", outcome, {})]);
    expect(line).toMatch(/^a:[A-Z][a-z]+: \w/);
    // Of several repos one may have done it.
    expect(syncLines([host("a", "Synced", {}), { ...host("a", outcome), state: "Pending" }])).toEqual([
      syncLines([host("a", outcome)])[0],
    ]);
  }
});

it("says nothing of hosts that have left", () => {
  expect(syncLines([{ ...host("a", "Gone"), state: null }])).toEqual([]);
});
