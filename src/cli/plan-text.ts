import { displayPath } from "../model/path.ts";
import { shortRevision } from "../model/revision.ts";
import type { AppPlanReport, HostPlanReport, PlanReport, RepoPlanReport } from "../plan/plan-report.ts";
import { hostNames } from "./host-names.ts";
import { problemsText } from "./status-table.ts";
import { painter, type Paint } from "./style.ts";

type Files = Partial<Pick<AppPlanReport, "send" | "delete">>;

/** Hosts that need the same are told together. With `verbose` every file is named. */
export function planText({ repos }: PlanReport, options: { terminal: boolean; verbose: boolean }): string {
  const paint = painter(options.terminal);
  return repos.map((repo) => repoText(repo, options.verbose, paint)).join("\n");
}

function repoText(
  { name, revision, suspended, problems, hosts }: RepoPlanReport,
  verbose: boolean,
  paint: Paint,
): string {
  const stopped = suspended ? `  ${paint("gray", "suspended: not done before people let it go on")}` : "";
  const title = `${paint("bold", name)}  ${revision ? shortRevision(revision) : "no revision yet"}${stopped}`;
  const wrong = problemsText(problems, paint);
  if (hosts.length === 0) {
    const nothing = wrong === "" ? "every host last synced what Git has" : "by the last good answers no host lags";
    return `${title}\n${wrong}  Nothing to do: ${nothing}.\n`;
  }
  const groups = Map.groupBy(hosts, ({ apps }) => JSON.stringify(apps));
  const texts = [...groups.values()].map((group) => groupText(group, verbose, paint));
  return `${title}\n${wrong}${texts.join("\n")}`;
}

function groupText(hosts: readonly HostPlanReport[], verbose: boolean, paint: Paint): string {
  const apps = hosts[0]!.apps.map((app) => appText(app, verbose, paint));
  return `  ${hostNames(hosts, verbose)}\n${apps.join("")}`;
}

function appText({ app, why, held, suspended, ...change }: AppPlanReport, verbose: boolean, paint: Paint): string {
  const stopped = suspended ? `  ${paint("gray", "suspended")}` : "";
  const title = `    ${app}  ${held ? paint("magenta", why) : why}${stopped}\n`;
  if (!verbose) return title;
  return title + filesText(change, "", paint) + (held ? filesText(held, "held ", paint) : "");
}

function filesText({ send = [], delete: gone = [] }: Files, mark: string, paint: Paint): string {
  return [
    ...send.map((path) => paint("green", `      ${mark}+ ${displayPath(path)}\n`)),
    ...gone.map((path) => paint("red", `      ${mark}- ${displayPath(path)}\n`)),
  ].join("");
}
