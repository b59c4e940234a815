import type { ConfigAppStatus, HistoryEntry } from "../config/resources.ts";
import type { HostKey } from "../model/host.ts";
import { comparePaths } from "../model/path.ts";
import type { AppRecord } from "../model/record.ts";
import { shortRevision } from "../model/revision.ts";
import { severity, worst, type State } from "../model/state.ts";
import { stateOf } from "../plan/state.ts";
import { COUNTED_AS } from "../plan/status-report.ts";
import type { FleetApp } from "../reconcile/desired-apps.ts";
import type { Fleet } from "../reconcile/fleet.ts";
import type { Suspension } from "../reconcile/suspension.ts";
import { isApplied } from "./applied.ts";
import { conditionsAfter, type Finding, timeText } from "./conditions.ts";
import { changedFiles, countedFiles } from "./drift-text.ts";

/** Rollouts that are remembered. */
const HISTORY = 5;
/** Files of the host that a message names. */
const NAMED_FILES = 3;

/** The part of a ConfigApp's status that is about its hosts. */
export type AppSummary = Pick<
  ConfigAppStatus,
  "state" | "hosts" | "history" | "conditions" | "lastAttemptedRevision" | "lastAppliedRevision"
>;

type Counts = NonNullable<ConfigAppStatus["hosts"]>;

interface HostOfApp {
  readonly key: HostKey;
  readonly state: State;
  readonly record: AppRecord;
}

interface Seen {
  readonly state: State;
  readonly counts: Counts;
  /** Hosts that the revision was brought to. */
  readonly applied: number;
  readonly hosts: readonly HostOfApp[];
  /** Whether these are its hosts: while the inventory has not answered for it they are not known. */
  readonly covered: boolean;
}

/** Looks at every host of the app once. `before` is what was written the last time. */
export function summarizeApp(
  fleet: Fleet,
  app: FleetApp,
  suspension: Suspension,
  before: AppSummary | undefined,
  at: { now: number; generation: number | undefined },
): AppSummary {
  const hosts = [...hostsOf(fleet, app, suspension)];
  const counts = { total: hosts.length, synced: 0, pending: 0, failed: 0, unreachable: 0, drifted: 0 };
  for (const { state } of hosts) counts[COUNTED_AS[state]] += 1;
  const covered = fleet.isCovered(app.key);
  const state = app.refused ? "Failed" : stateOver(hosts, covered);
  const applied = hosts.filter(({ record }) => isApplied(record, app)).length;
  const done = applied > 0 && applied === counts.total;
  const lastApplied = done ? app.revision : before?.lastAppliedRevision;
  return {
    state,
    hosts: counts,
    ...(hosts.some(({ record }) => wasTried(record, app))
      ? { lastAttemptedRevision: app.revision }
      : lastTried(before)),
    ...(lastApplied === undefined ? {} : { lastAppliedRevision: lastApplied }),
    history: historyAfter(before?.history ?? [], app, { total: counts.total, applied }, at.now),
    conditions: conditionsAfter(before?.conditions, findings(app, { state, counts, applied, hosts, covered }), at),
  };
}

/** An app whose hosts nobody knows is on none of them, as far as anybody can tell. */
function stateOver(hosts: readonly HostOfApp[], covered: boolean): State {
  return hosts.length === 0 && !covered ? "Pending" : worst(hosts.map(({ state }) => state));
}

function* hostsOf(fleet: Fleet, app: FleetApp, suspension: Suspension): Iterable<HostOfApp> {
  for (const key of fleet.hostsOf(app.key)) {
    const record = fleet.hosts.get(key)?.records.get(app.key);
    if (record) yield { key, record, state: stateOf(record, app, suspension.holds(app.key, key)) };
  }
}

function wasTried({ digest, unfinished, failure }: AppRecord, app: FleetApp): boolean {
  const failed = failure !== null && !failure.verifying;
  return digest === app.digest || unfinished.at(-1) === app.revision || failed;
}

function lastTried(before: AppSummary | undefined) {
  return before?.lastAttemptedRevision === undefined ? {} : { lastAttemptedRevision: before.lastAttemptedRevision };
}

function historyAfter(
  before: readonly HistoryEntry[],
  { revision, digest, seenAt, retired }: FleetApp,
  { total, applied }: { total: number; applied: number },
  now: number,
): HistoryEntry[] {
  if (retired) return [...before];
  const latest = before[0]?.digest === digest ? before[0] : undefined;
  const finishedAt = latest?.finishedAt ?? (total > 0 && applied === total ? timeText(now) : undefined);
  const startedAt = latest?.startedAt ?? timeText(seenAt);
  const finished = finishedAt === undefined ? {} : { finishedAt };
  const entry = { revision, digest, startedAt, ...finished, total, synced: applied };
  return [entry, ...before.slice(latest ? 1 : 0)].slice(0, HISTORY);
}

function findings(app: FleetApp, seen: Seen): Finding[] {
  return [...progress(app, seen), drifted(seen.hosts)];
}

function progress(app: FleetApp, { state, counts, applied, hosts, covered }: Seen): Finding[] {
  const has = `${applied} of ${counts.total} hosts have ${app.retired ? "it removed" : shortRevision(app.revision)}`;
  const ready = (holds: boolean, reason: string, message: string) =>
    ({ type: "Ready", holds, reason, message }) as const;
  if (app.refused) {
    const { reason, message } = app.refused;
    return [ready(false, reason, message), { type: "Stalled", holds: true, reason, message }];
  }
  if (counts.total === 0 && !covered)
    return [ready(false, "InventoryFailed", "the inventory has not said which hosts run it")];
  if (counts.total === 0) return [ready(true, "NoHosts", "the inventory names no host that runs it")];
  const example = worstHost(hosts);
  const why = example ? `; ${example.key}: ${told(example)}` : "";
  const moving = hosts.some((host) => host.state === "Pending" || host.state === "Syncing");
  return [
    ready(state === "Synced", example?.record.failure?.reason ?? state, `${has}${why}`),
    { type: "Reconciling", holds: moving, reason: "Progressing", message: has },
  ];
}

/** Also of hosts that are in a worse state, and of those that lag: what a look found holds until the next one. */
function drifted(hosts: readonly HostOfApp[]): Finding {
  const found = hosts.filter(({ record }) => driftedFiles(record) > 0);
  const files = found.reduce((sum, { record }) => sum + driftedFiles(record), 0);
  // Always the same one, so that the message stays.
  const [example] = found.toSorted(
    (a, b) => driftedFiles(b.record) - driftedFiles(a.record) || comparePaths(a.key, b.key),
  );
  const named = example ? `${example.key}: ${changedFiles(example.record.drift!, NAMED_FILES)}` : "";
  const where = found.length === 1 ? "1 host" : `${found.length} hosts`;
  const message = `${countedFiles(files)} on ${where} changed by somebody else; ${named}`;
  return { type: "Drifted", holds: found.length > 0, reason: "FilesChanged", message };
}

function driftedFiles({ drift }: AppRecord): number {
  return drift?.count ?? 0;
}

/** The host that an operator would look at first; always the same one, so that the message stays. */
function worstHost(hosts: readonly HostOfApp[]): HostOfApp | undefined {
  let found: HostOfApp | undefined;
  for (const host of hosts) {
    if (host.state === "Synced" || host.state === "Pending" || host.state === "Syncing") continue;
    const order = found ? severity(host.state) - severity(found.state) : -1;
    if (order < 0 || (order === 0 && host.key < found!.key)) found = host;
  }
  return found;
}

function told({ state, record: { failure, drift } }: HostOfApp): string {
  if (failure) return `${failure.reason}: ${failure.message}`;
  return state === "Drifted" && drift ? `${state}: ${changedFiles(drift, NAMED_FILES)}` : state;
}

/** The part of a whole status. */
export function summaryOf(status: ConfigAppStatus): AppSummary {
  const { state, hosts, history, conditions, lastAttemptedRevision, lastAppliedRevision } = status;
  return { state, hosts, history, conditions, lastAttemptedRevision, lastAppliedRevision };
}
