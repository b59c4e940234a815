import type { Condition, ConfigRepoStatus } from "../config/resources.ts";
import type { Reason } from "../model/errors.ts";
import type { Problem } from "../model/record.ts";
import { shortRevision } from "../model/revision.ts";
import { worst, type State } from "../model/state.ts";
import { stateOf } from "../plan/state.ts";
import { COUNTED_AS } from "../plan/status-report.ts";
import type { Fleet } from "../reconcile/fleet.ts";
import type { Suspension } from "../reconcile/suspension.ts";
import { conditionsAfter, type Finding } from "./conditions.ts";

/** The part of a ConfigRepo's status that is about Git, the inventory and the hosts in numbers. */
export type RepoSummary = Pick<
  ConfigRepoStatus,
  | "apps"
  | "hosts"
  | "synced"
  | "failed"
  | "unreachable"
  | "conditions"
  | "lastAttemptedRevision"
  | "lastAppliedRevision"
>;

interface At {
  readonly now: number;
  readonly generation: number | undefined;
}

/** Looks at every host of the repo once. */
export function summarizeRepo(
  fleet: Fleet,
  problems: readonly Problem[],
  suspension: Suspension,
  before: RepoSummary | undefined,
  at: At,
): RepoSummary {
  const counts = { total: 0, synced: 0, pending: 0, failed: 0, unreachable: 0, drifted: 0 };
  for (const state of hostStates(fleet, suspension)) {
    counts.total += 1;
    counts[COUNTED_AS[state]] += 1;
  }
  const { revision } = fleet;
  const { total, synced, failed, unreachable } = counts;
  const applied = revision !== null && synced === total ? revision : before?.lastAppliedRevision;
  const summary = `${synced} of ${total} hosts have what Git has${revision === null ? "" : ` (${shortRevision(revision)})`}`;
  return {
    apps: fleet.desired.size,
    hosts: total,
    synced,
    failed,
    unreachable,
    ...(revision === null ? {} : { lastAttemptedRevision: revision }),
    ...(applied === undefined ? {} : { lastAppliedRevision: applied }),
    conditions: conditionsAfter(before?.conditions, judge(problems, suspension.now.repo, counts, summary), at),
  };
}

/** The conditions of a ConfigRepo whose spec nobody can work by. */
export function invalidSpec(before: readonly Condition[] | undefined, message: string, at: At): Condition[] {
  const reason = "InvalidSpec";
  const findings: Finding[] = [
    { type: "Ready", holds: false, reason, message },
    { type: "Stalled", holds: true, reason, message },
  ];
  return conditionsAfter(before, findings, at);
}

/** The conditions of a ConfigRepo that Git or the inventory have said nothing about yet. */
export function starting(before: readonly Condition[] | undefined, suspended: boolean, at: At): Condition[] {
  const [reason, message] = suspended
    ? ["Suspended", "suspended before Git and the inventory were asked"]
    : ["Progressing", "asking Git and the inventory for the first time"];
  const findings: Finding[] = [
    { type: "Ready", holds: false, reason, message },
    { type: "Reconciling", holds: !suspended, reason, message },
  ];
  return conditionsAfter(before, findings, at);
}

function* hostStates(fleet: Fleet, suspension: Suspension): Iterable<State> {
  for (const { key, apps, records } of fleet.hosts.values()) {
    const states: State[] = [];
    for (const app of apps) {
      const desired = fleet.desired.get(app);
      if (desired) states.push(stateOf(records.get(app), desired, suspension.holds(app, key)));
    }
    yield worst(states);
  }
}

/** `Ready` is about Git and the inventory: among thousands of hosts one is always down, and its own object says so. */
function judge(
  problems: readonly Problem[],
  suspended: boolean,
  counts: { pending: number },
  summary: string,
): Finding[] {
  const grave = problems.filter(({ reason }) => reason !== "InvalidHost");
  const told = problems.map(({ message }) => message).join("; ");
  const inventory = grave.filter(({ reason }) => isInventory(reason));
  const git = grave.filter(({ reason }) => !isInventory(reason));
  const because = (type: "FetchFailed" | "InventoryFailed", found: readonly Problem[]): Finding => ({
    type,
    holds: found.length > 0,
    reason: found[0]?.reason ?? "",
    message: found.map(({ message }) => message).join("; "),
  });
  const first = grave[0];
  const calm = suspended ? "Suspended" : "Succeeded";
  return [
    {
      type: "Ready",
      holds: first === undefined,
      reason: first?.reason ?? calm,
      message: told === "" ? summary : `${told}; ${summary}`,
    },
    {
      type: "Reconciling",
      holds: counts.pending > 0 && !suspended,
      reason: "Progressing",
      message: summary,
    },
    because("FetchFailed", git),
    because("InventoryFailed", inventory),
  ];
}

/** A Secret may be Git's or the inventory's: its message says whose. */
function isInventory(reason: Reason): boolean {
  return reason === "InventoryFailed" || reason === "InventorySuspicious";
}

export function repoSummaryOf(status: ConfigRepoStatus | undefined): RepoSummary | undefined {
  if (!status) return undefined;
  const { apps, hosts, synced, failed, unreachable, conditions, lastAttemptedRevision, lastAppliedRevision } = status;
  return { apps, hosts, synced, failed, unreachable, conditions, lastAttemptedRevision, lastAppliedRevision };
}
