import { displayPath } from "../model/path.ts";
import { severity } from "../model/state.ts";
import type { AppOnHostReport, HostReport, RepoReport } from "../plan/status-report.ts";
import type { SyncResult } from "../reconcile/controller.ts";
import { hostName } from "./host-names.ts";
import { ago, byAddress, reasonText, repoTitle, withLastCut, type TableOptions } from "./status-table.ts";
import { painter, stateStyle, type Paint } from "./style.ts";
import { table } from "./table.ts";
import { diffsText } from "./verify-diffs.ts";

export interface VerifyTextOptions extends TableOptions {
  readonly diff: boolean;
}

/** Without -o wide, this many hosts are named, and this many files of an app on each of them. */
const NAMED_HOSTS = 40;
const NAMED_FILES = 20;

const HEAD = ["HOST", "APP", "STATE", "FILE", "CHANGE", "SINCE", "REASON"];

/** What is not as Git has it, worst first; what is equal is only counted. */
export function verifyText({ report, problems }: SyncResult, options: VerifyTextOptions): string {
  const hosts = report.repos.flatMap((repo) => repo.hosts);
  if (problems.length === 0 && hosts.every(isEqual)) return equalText(hosts.length);
  const paint = painter(options.terminal);
  const told = report.repos.filter((repo) => repo.hosts.length > 0 || repo.problems);
  return told.map((repo) => repoText(repo, options, paint)).join("\n");
}

function equalText(hosts: number): string {
  if (hosts === 0) return "There is no host to compare.\n";
  return hosts === 1 ? "1 host has what Git has.\n" : `${hosts} hosts have what Git has.\n`;
}

function repoText(repo: RepoReport, options: VerifyTextOptions, paint: Paint): string {
  const worstFirst = repo.hosts.filter((host) => !isEqual(host)).toSorted(byNeed);
  const shown = options.wide ? worstFirst : worstFirst.slice(0, NAMED_HOSTS);
  const hidden = worstFirst.length - shown.length;
  const rows = shown.flatMap((host) => hostRows(host, options.wide, paint));
  return [
    repoTitle(repo, paint),
    rows.length > 0 ? table(HEAD, withLastCut(HEAD, rows, options)) : "",
    hidden > 0 ? `  … and ${hidden} more; -o wide shows all\n` : "",
    options.diff ? diffsText(worstFirst, { wide: options.wide, paint }) : "",
  ]
    .filter((part) => part !== "")
    .join("\n");
}

function hostRows(host: HostReport, wide: boolean, paint: Paint): string[][] {
  const unequal = host.apps.filter((app) => !isEqualApp(app));
  const worstFirst = unequal.toSorted((a, b) => severity(a.state) - severity(b.state) || fileCount(b) - fileCount(a));
  return worstFirst.flatMap((app) => appRows(host, app, wide, paint));
}

/** A row for each file; the first one says why, where there is more to say than that files were changed. */
function appRows(host: HostReport, app: AppOnHostReport, wide: boolean, paint: Paint): string[][] {
  const { files = [] } = app;
  const shown = wide ? files : files.slice(0, NAMED_FILES);
  const cells = shown.map(({ path, change, since }) => [displayPath(path), change, since ? `${ago(since)} ago` : "-"]);
  if (cells.length === 0) cells.push(["-", "-", "-"]);
  const hidden = files.length - shown.length;
  if (hidden > 0) cells.push([`… and ${hidden} more; -o wide shows all`, "", ""]);
  const where = [hostName(host), app.app, paint(stateStyle(app.state), app.state)];
  return cells.map((cell, index) => [...where, ...cell, index === 0 ? whyText(app) : ""]);
}

function whyText(app: AppOnHostReport): string {
  if (app.reason) return reasonText(app);
  const lag = app.revision === null ? "never synced" : app.lagSince ? `lags for ${ago(app.lagSince)}` : "";
  return [lag, app.notCompared ? "not compared" : ""].filter((text) => text !== "").join(", ");
}

function isEqual({ apps }: HostReport): boolean {
  return apps.every(isEqualApp);
}

function isEqualApp({ state, notCompared }: AppOnHostReport): boolean {
  return state === "Synced" && !notCompared;
}

function byNeed(a: HostReport, b: HostReport): number {
  return severity(a.state) - severity(b.state) || filesOn(b) - filesOn(a) || byAddress(a, b);
}

function filesOn({ apps }: HostReport): number {
  return apps.reduce((sum, app) => sum + fileCount(app), 0);
}

function fileCount({ files = [] }: AppOnHostReport): number {
  return files.length;
}
