import type { AppKey } from "../../../src/model/app.ts";
import { severity } from "../../../src/model/state.ts";
import type { AppOnHostReport, HostReport, RepoReport } from "../../../src/plan/status-report.ts";
import type { SyncResult } from "../../../src/reconcile/controller.ts";
import { revisionOf } from "../../support/factories.ts";

/** An app on a host that is as Git has it; override what shall differ. */
export function appReport(overrides: Partial<AppOnHostReport> = {}): AppOnHostReport {
  const app: AppKey = "nginx/prod/web";
  const synced = { app, state: "Synced", revision: revisionOf("1"), digest: "d1", syncedAt: iso(0) } as const;
  return { ...synced, files: [], ...overrides };
}

export function hostReport(address: string, ...apps: readonly AppOnHostReport[]): HostReport {
  const [worst] = apps.map(({ state }) => state).toSorted((a, b) => severity(a) - severity(b));
  return { address, port: 22, state: worst!, apps };
}

export function resultOf(hosts: readonly HostReport[], overrides: Partial<SyncResult> = {}): SyncResult {
  const repo: RepoReport = { name: "files", revision: revisionOf("1"), apps: [], hosts };
  return { attempted: hosts.length, report: { repos: [repo] }, problems: [], ...overrides };
}

export function iso(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
