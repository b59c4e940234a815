import { formatDuration } from "../model/duration.ts";
import { displayPath } from "../model/path.ts";
import { shortRevision, type Revision } from "../model/revision.ts";
import { severity, STATES } from "../model/state.ts";
import type { Problem } from "../model/record.ts";
import {
  reportProblem,
  type AppOnHostReport,
  type HostReport,
  type ProblemReport,
  type RepoReport,
  type StatusReport,
} from "../plan/status-report.ts";
import { hostName } from "./host-names.ts";
import { painter, stateStyle, type Paint } from "./style.ts";
import { table } from "./table.ts";

export interface TableOptions {
  readonly terminal: boolean;
  /** Width of the terminal; messages are cut to it. */
  readonly columns?: number | undefined;
  /** Every host and every app on it, uncut. */
  readonly wide: boolean;
}

/** Without -o wide, this many hosts in need are named; the rest are counted. */
const NAMED_HOSTS = 40;
const SHORTEST_MESSAGE = 30;
/** Without -o wide, this many changed files are given as examples. */
const EXAMPLES = 1;

/** The fleet for people: what is wrong comes first, what is well is only counted. */
export function statusTable({ repos }: StatusReport, options: TableOptions): string {
  const paint = painter(options.terminal);
  return repos.map((repo) => repoText(repo, options, paint)).join("\n");
}

/** What is to be said of a repo before its hosts. */
export function repoTitle(repo: RepoReport, paint: Paint): string {
  const revision = repo.revision ? shortRevision(repo.revision) : "no revision yet";
  const suspended = repo.suspended ? `${paint(stateStyle("Suspended"), "suspended")}  ` : "";
  const title = `${paint("bold", repo.name)}  ${revision}  ${suspended}${summary(repo.hosts, paint)}\n`;
  return title + problemsText(repo.problems, paint);
}

function repoText(repo: RepoReport, options: TableOptions, paint: Paint): string {
  const hosts = options.wide ? repo.hosts : repo.hosts.filter(({ state }) => state !== "Synced");
  const worstFirst = [...hosts].sort((a, b) => severity(a.state) - severity(b.state) || byAddress(a, b));
  const shown = options.wide ? worstFirst : worstFirst.slice(0, NAMED_HOSTS);
  const hidden = worstFirst.length - shown.length;
  const more = hidden > 0 ? `  … and ${hidden} more; -o wide shows all\n` : "";
  return [
    repoTitle(repo, paint) + (options.wide ? "" : fallbackLine(repo)),
    appsTable(repo, paint),
    shown.length > 0 ? hostsTable(shown, options, paint) : "",
    more,
  ]
    .filter((part) => part !== "")
    .join("\n");
}

/** `200 hosts: 2 Failed, 1 Unreachable, 197 Synced`. */
function summary(hosts: readonly HostReport[], paint: Paint): string {
  const counts = STATES.map((state) => ({ state, count: hosts.filter((host) => host.state === state).length }));
  const parts = counts.filter(({ count }) => count > 0);
  const text = parts.map(({ state, count }) => paint(stateStyle(state), `${count} ${state}`)).join(", ");
  return `${hosts.length} ${hosts.length === 1 ? "host" : "hosts"}${text ? `: ${text}` : ""}`;
}

function appsTable({ apps }: RepoReport, paint: Paint): string {
  const rows = [...apps]
    .sort((a, b) => severity(a.state) - severity(b.state) || (appName(a) < appName(b) ? -1 : 1))
    .map((app) => {
      const { total, synced, pending, failed, unreachable, drifted } = app.hosts;
      const counts = [total, synced, pending, failed, unreachable, drifted].map((count) => String(count || "-"));
      const state = total === 0 && !app.reason ? "-" : paint(stateStyle(app.state), app.state);
      return [appName(app), shortRevision(app.revision), state, ...counts, reasonText(app)];
    });
  const head = ["APP", "REVISION", "STATE", "HOSTS", "SYNCED", "PENDING", "FAILED", "UNREACHABLE", "DRIFTED", ""];
  return table(head, rows, [3, 4, 5, 6, 7, 8]);
}

function hostsTable(hosts: readonly HostReport[], options: TableOptions, paint: Paint): string {
  const head = ["HOST", "STATE", "APP", "HAS", "LAGS FOR", "REASON"];
  const rows = hosts.flatMap((host) =>
    host.apps
      .filter(({ state }) => options.wide || state === host.state)
      .map((app) => hostRow(host, app, options.wide, paint)),
  );
  return table(head, withLastCut(head, rows, options));
}

/** The rows with their last column cut to what the terminal leaves it. */
export function withLastCut(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { columns = 160, terminal, wide }: TableOptions,
): readonly (readonly string[])[] {
  if (wide || !terminal) return rows;
  const last = head.length - 1;
  const taken = head
    .slice(0, last)
    .map((name, column) => rows.reduce((width, row) => Math.max(width, plain(row[column]!)), name.length));
  const room = Math.max(SHORTEST_MESSAGE, columns - taken.reduce((sum, width) => sum + width + 2, 4));
  const cut = (text: string) => (text.length <= room ? text : `${text.slice(0, room - 1)}…`);
  return rows.map((row) => [...row.slice(0, last), cut(row[last]!)]);
}

function hostRow(host: HostReport, app: AppOnHostReport, wide: boolean, paint: Paint): string[] {
  return [
    hostName(host),
    paint(stateStyle(app.state), app.state),
    app.app,
    has(app.revision),
    app.lagSince ? ago(app.lagSince) : "-",
    [reasonText(app), driftText(app, wide), ...(wide ? [replacedText(app), fallbackText(host, app)] : [])]
      .filter((text) => text !== "")
      .join("; "),
  ];
}

/** They cost more: said once, whatever their state. */
function fallbackLine({ hosts }: RepoReport): string {
  const count = hosts.filter(({ fallback }) => fallback !== undefined).length;
  return count === 0 ? "" : `  ${count} ${count === 1 ? "host gets" : "hosts get"} plain rsync; -o wide says why\n`;
}

/** Of the host, so beside its first app only. */
function fallbackText({ fallback, apps }: HostReport, app: AppOnHostReport): string {
  return fallback === undefined || apps[0] !== app ? "" : `plain rsync: ${fallback}`;
}

/** `3 files changed: /etc/a (content), …`. */
function driftText({ files = [], fileCount = files.length }: AppOnHostReport, wide: boolean): string {
  if (files.length === 0) return "";
  const told = files
    .slice(0, wide ? undefined : EXAMPLES)
    .map(({ path, change }) => `${displayPath(path)} (${change})`);
  const more = fileCount > told.length ? ", …" : "";
  return `${fileCount} ${fileCount === 1 ? "file" : "files"} changed: ${told.join(", ")}${more}`;
}

/** What fssync has laid its own over within the last day, and where the host's versions are. */
function replacedText({ replaced = [] }: AppOnHostReport): string {
  const told = replaced.map(({ path, change, kept }) => {
    const lost = change === "content" || change === "conflict" || change === "type";
    const where = kept === undefined ? (lost ? `${change}, not kept` : change) : `kept as ${displayPath(kept)}`;
    return `${displayPath(path)} (${where})`;
  });
  return told.length === 0 ? "" : `replaced: ${told.join(", ")}`;
}

/** `NoSpace (7 attempts): …`. */
export function reasonText({
  reason,
  message,
  attempts = 1,
}: Pick<AppOnHostReport, "reason" | "message" | "attempts">): string {
  // Of what is suspended: who did it and why.
  if (!reason) return message ?? "";
  return `${reason}${attempts > 1 ? ` (${attempts} attempts)` : ""}: ${message}`;
}

/** Of a repo, in front of what is told of its hosts. */
export function problemsText(problems: readonly ProblemReport[] = [], paint: Paint): string {
  return problems.map((problem) => paint("yellow", `  ! ${problemText(problem)}\n`)).join("");
}

/** What a table shows beside the result, for those who print the result for programs. */
export function problemLines(problems: readonly (Problem & { readonly repo: string })[]): string {
  return problems.map((problem) => `! ${problem.repo}: ${problemText(reportProblem(problem))}\n`).join("");
}

function problemText({ reason, message, since }: ProblemReport): string {
  return `${reason} for ${ago(since)}: ${message}`;
}

export function ago(time: string): string {
  return formatDuration(Math.max(0, Date.now() - Date.parse(time)));
}

function has(revision: Revision | null): string {
  return revision ? shortRevision(revision) : "nothing";
}

function appName({ mod, env, app }: { mod: string; env: string; app: string }): string {
  return `${mod}/${env}/${app}`;
}

export function byAddress(a: HostReport, b: HostReport): number {
  return a.address.localeCompare(b.address, "en", { numeric: true }) || a.port - b.port;
}

/** Width without colours. */
function plain(text: string): number {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/\u001b\[[0-9;]*m/g, "").length;
}
