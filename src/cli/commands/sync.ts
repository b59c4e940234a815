import type { StatusReport } from "../../plan/status-report.ts";
import type { SyncResult } from "../../reconcile/controller.ts";
import { atDesk } from "../desk.ts";
import { print } from "../print.ts";
import type { InKubernetes } from "../globals.ts";
import type { Context } from "../program.ts";
import { showProgress } from "../progress.ts";
import { problemLines, statusTable, suspendedText } from "../status-table.ts";

interface Options extends Pick<InKubernetes, "kubernetes"> {
  readonly host?: string[];
  readonly full: boolean;
  readonly allowPrune: boolean;
}

const DRIFT_STAYS =
  "Files changed by hand stay until Git changes them: `fssync verify` shows them, `sync --full` lays Git's over them.\n";

/** One pass. Exit: 0 all synced, 1 error, 2 some failed, 4 some unreachable, 6 both. */
export async function syncCommand(context: Context, apps: string[], options: Options): Promise<number> {
  const { stdout, stderr, signal } = context;
  const request = { apps, hosts: options.host ?? [], full: options.full, allowPrune: options.allowPrune };
  const result = await atDesk(context, options, async (desk) => {
    using progress = showProgress(stderr, "synced");
    return await desk.sync(request, progress.on, signal);
  });
  print(stdout, context.output, result.report, (wide) => syncedTable(result, stdout, wide));
  // A table shows what is wrong with Git and inventory itself; for machines it stands beside the result.
  if (context.output === "json" || context.output === "yaml") stderr.write(problemLines(result.problems));
  return exitCode(result);
}

function syncedTable({ attempted, report, problems }: SyncResult, stdout: NodeJS.WriteStream, wide: boolean): string {
  const nothing = report.repos.every(({ hosts }) => hosts.length === 0);
  if (nothing && attempted > 0) return `${attempted} hosts: what Git no longer holds was removed.\n`;
  if (nothing && problems.length === 0) return nothingText(report);
  const text = statusTable(report, { terminal: stdout.isTTY === true, columns: stdout.columns, wide });
  return hostStates(report).includes("Drifted") ? `${text}\n${DRIFT_STAYS}` : text;
}

function nothingText({ repos }: StatusReport): string {
  const suspended = repos.filter((repo) => repo.suspended).map(({ name }) => name);
  const active = repos.length > suspended.length || repos.length === 0;
  return (
    suspendedText(suspended) +
    (active
      ? "Nothing lags: every host last synced what Git has; `fssync verify` looks whether it has it still.\n"
      : "")
  );
}

function exitCode({ report, problems }: SyncResult): number {
  const states = new Set(hostStates(report));
  const failed = ["Failed", "Conflict", "Drifted", "Pending", "Syncing"].some((state) => states.has(state));
  const code = (failed ? 2 : 0) + (states.has("Unreachable") ? 4 : 0);
  if (code > 0) return code;
  return problems.some(({ reason }) => reason !== "InvalidHost") ? 1 : 0;
}

function hostStates({ repos }: StatusReport): string[] {
  return repos.flatMap(({ hosts }) => hosts.flatMap(({ apps }) => apps.map(({ state }) => state as string)));
}
