import { formatDuration } from "../model/duration.ts";
import { bracketed } from "../model/host.ts";
import { shortRevision, type Revision } from "../model/revision.ts";
import { severity, STATES } from "../model/state.ts";
import type { AppOnHostReport, HostReport, ProblemReport, RepoReport, StatusReport } from "../plan/status-report.ts";
import { painter, stateStyle } from "./style.ts";
import { table } from "./table.ts";

export interface TableOptions {
  readonly terminal: boolean;
  /** Width of the terminal; messages are cut to it. */
  readonly columns?: number | undefined;
  /** Every host and every app on it, uncut. */
  readonly wide: boolean;
}

type Paint = ReturnType<typeof painter>;

/** Without -o wide, this many hosts in need are named; the rest are counted. */
const NAMED_HOSTS = 40;
const SHORTEST_MESSAGE = 30;

/** The fleet for people: what is wrong comes first, what is well is only counted. */
export function statusTable({ repos }: StatusReport, options: TableOptions): string {
  const paint = painter(options.terminal);
  return repos.map((repo) => repoText(repo, options, paint)).join("\n");
}

function repoText(repo: RepoReport, options: TableOptions, paint: Paint): string {
  const revision = repo.revision ? shortRevision(repo.revision) : "no revision yet";
  const suspended = repo.suspended ? `${paint(stateStyle("Suspended"), "suspended")}  ` : "";
  const title = `${paint("bold", repo.name)}  ${revision}  ${suspended}${summary(repo.hosts, paint)}\n`;
  const problems = (repo.problems ?? []).map((problem) => paint("yellow", `  ! ${problemText(problem)}\n`)).join("");
  const hosts = options.wide ? repo.hosts : repo.hosts.filter(({ state }) => state !== "Synced");
  const worstFirst = [...hosts].sort((a, b) => severity(a.state) - severity(b.state) || byAddress(a, b));
  const shown = options.wide ? worstFirst : worstFirst.slice(0, NAMED_HOSTS);
  const hidden = worstFirst.length - shown.length;
  const more = hidden > 0 ? `  … and ${hidden} more; -o wide shows all\n` : "";
  return [title + problems, appsTable(repo, paint), shown.length > 0 ? hostsTable(shown, options, paint) : "", more]
    .filter((part) => part !== "")
    .join("\n");
}

/** Why nothing happens there. */
export function suspendedText(repos: readonly string[]): string {
  return repos.map((name) => `ConfigRepo ${name} is suspended (spec.suspend): nothing is synced there.\n`).join("");
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

function hostsTable(
  hosts: readonly HostReport[],
  { columns = 160, terminal, wide }: TableOptions,
  paint: Paint,
): string {
  const head = ["HOST", "STATE", "APP", "HAS", "LAGS FOR", "REASON"];
  const rows = hosts.flatMap((host) =>
    host.apps.filter(({ state }) => wide || state === host.state).map((app) => hostRow(host, app, paint)),
  );
  const taken = head
    .slice(0, 5)
    .map((name, column) => Math.max(name.length, ...rows.map((row) => plain(row[column]!))));
  const room = Math.max(SHORTEST_MESSAGE, columns - taken.reduce((sum, width) => sum + width + 2, 4));
  const cut = (text: string) => (wide || !terminal || text.length <= room ? text : `${text.slice(0, room - 1)}…`);
  return table(
    head,
    rows.map((row) => [...row.slice(0, 5), cut(row[5]!)]),
  );
}

function hostRow({ address, port }: HostReport, app: AppOnHostReport, paint: Paint): string[] {
  return [
    port === 22 ? address : `${bracketed(address)}:${port}`,
    paint(stateStyle(app.state), app.state),
    app.app,
    has(app.revision),
    app.lagSince ? ago(app.lagSince) : "-",
    reasonText(app),
  ];
}

/** `NoSpace (7 attempts): …`. */
function reasonText({
  reason,
  message,
  attempts = 1,
}: Pick<AppOnHostReport, "reason" | "message" | "attempts">): string {
  if (!reason) return "";
  return `${reason}${attempts > 1 ? ` (${attempts} attempts)` : ""}: ${message}`;
}

export function problemText({ reason, message, since }: ProblemReport): string {
  return `${reason} for ${ago(since)}: ${message}`;
}

function ago(time: string): string {
  return formatDuration(Math.max(0, Date.now() - Date.parse(time)));
}

function has(revision: Revision | null): string {
  return revision ? shortRevision(revision) : "nothing";
}

function appName({ mod, env, app }: { mod: string; env: string; app: string }): string {
  return `${mod}/${env}/${app}`;
}

function byAddress(a: HostReport, b: HostReport): number {
  return a.address.localeCompare(b.address, "en", { numeric: true }) || a.port - b.port;
}

/** Width without colours. */
function plain(text: string): number {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/\u001b\[[0-9;]*m/g, "").length;
}
