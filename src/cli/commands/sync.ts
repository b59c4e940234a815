import type { StatusReport } from "../../plan/status-report.ts";
import type { PassResult } from "../../reconcile/controller.ts";
import type { LeftAlone } from "../../reconcile/left-alone.ts";
import { atDesk } from "../desk.ts";
import { print } from "../print.ts";
import type { InKubernetes } from "../globals.ts";
import type { Context } from "../program.ts";
import { showProgress } from "../progress.ts";
import { leftAloneText } from "../left-alone-text.ts";
import { problemLines, statusTable } from "../status-table.ts";

interface Options extends Pick<InKubernetes, "kubernetes"> {
  readonly host?: string[];
  readonly full: boolean;
  readonly allowPrune: boolean;
}

const DRIFT_STAYS =
  "Files changed by hand stay until Git changes them: `fssync verify` shows them, `sync --full` lays Git's over them.\n";

/** One pass. Exit: 0 all synced but what is suspended, 1 error, 2 some failed, 4 some unreachable, 6 both. */
export async function syncCommand(context: Context, apps: string[], options: Options): Promise<number> {
  const { stdout, stderr, signal } = context;
  const request = { apps, hosts: options.host ?? [], full: options.full, allowPrune: options.allowPrune };
  const result = await atDesk(context, options, async (desk) => {
    using progress = showProgress(stderr, "synced");
    return await desk.sync(request, progress.on, signal);
  });
  print(stdout, context.output, result.report, (wide) => syncedTable(result, stdout, wide));
  // A table shows what is wrong with Git and inventory itself; for machines it stands beside the result.
  if (context.output === "json" || context.output === "yaml") {
    stderr.write(leftAloneText(result.leftAlone) + problemLines(result.problems));
  }
  return exitCode(result);
}

function syncedTable(result: PassResult, stdout: NodeJS.WriteStream, wide: boolean): string {
  return leftAloneText(result.leftAlone) + attemptedText(result, stdout, wide);
}

function attemptedText(
  { attempted, report, leftAlone, problems }: PassResult,
  stdout: NodeJS.WriteStream,
  wide: boolean,
) {
  const nothing = report.repos.every(({ hosts }) => hosts.length === 0);
  if (nothing && attempted > 0) {
    return `${attempted} ${attempted === 1 ? "host" : "hosts"}: what Git no longer holds was removed.\n`;
  }
  if (nothing && problems.length === 0) return nothingText(report, leftAlone);
  const text = statusTable(report, { terminal: stdout.isTTY === true, columns: stdout.columns, wide });
  return hostStates(report).includes("Drifted") ? `${text}\n${DRIFT_STAYS}` : text;
}

function nothingText({ repos }: StatusReport, leftAlone: readonly LeftAlone[]): string {
  const others = repos.length === 0 || repos.some(({ name }) => leftAlone.every(({ repo }) => repo !== name));
  return others
    ? "Nothing lags: every host last synced what Git has; `fssync verify` looks whether it has it still.\n"
    : "";
}

function exitCode({ report, problems }: PassResult): number {
  const states = new Set(hostStates(report));
  const failed = ["Failed", "Conflict", "Drifted", "Pending", "Syncing"].some((state) => states.has(state));
  const code = (failed ? 2 : 0) + (states.has("Unreachable") ? 4 : 0);
  if (code > 0) return code;
  return problems.some(({ reason }) => reason !== "InvalidHost") ? 1 : 0;
}

function hostStates({ repos }: StatusReport): string[] {
  return repos.flatMap(({ hosts }) => hosts.flatMap(({ apps }) => apps.map(({ state }) => state as string)));
}
