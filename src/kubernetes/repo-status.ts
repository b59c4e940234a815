import type { Condition, ConfigRepoStatus } from "../config/resources.ts";
import type { Problem } from "../model/record.ts";
import { shortRevision } from "../model/revision.ts";
import { worst, type State } from "../model/state.ts";
import { stateOf } from "../plan/state.ts";
import { COUNTED_AS } from "../plan/status-report.ts";
import type { Fleet } from "../reconcile/fleet.ts";
import type { RepoController } from "../reconcile/repo-controller.ts";
import type { Suspension } from "../reconcile/suspension.ts";
import { isApplied } from "./applied.ts";
import { conditionsAfter, type Finding } from "./conditions.ts";

/** The part of a ConfigRepo's status that is about Git, the inventory and the hosts in numbers. */
export type RepoSummary = Pick<
  ConfigRepoStatus,
  | "apps"
  | "hosts"
  | "synced"
  | "failed"
  | "unreachable"
  | "drifted"
  | "conditions"
  | "lastAttemptedRevision"
  | "lastAppliedRevision"
>;

interface At {
  readonly now: number;
  readonly generation: number | undefined;
}

/** Looks at every host of the repo once. */
export function summarizeRepo(controller: RepoController, before: RepoSummary | undefined, at: At): RepoSummary {
  const { fleet, suspension } = controller;
  const counts = { total: 0, synced: 0, pending: 0, failed: 0, unreachable: 0, drifted: 0 };
  let moving = false;
  let behind = 0;
  for (const { state, applied } of hostsSeen(fleet, suspension)) {
    counts.total += 1;
    if (!applied) behind += 1;
    counts[COUNTED_AS[state]] += 1;
    moving ||= state === "Pending" || state === "Syncing";
  }
  const { revision } = fleet;
  const { total, synced, failed, unreachable, drifted } = counts;
  const applied = revision !== null && behind === 0 ? revision : before?.lastAppliedRevision;
  const summary = `${synced} of ${total} hosts have what Git has${revision === null ? "" : ` (${shortRevision(revision)})`}`;
  return {
    apps: fleet.desired.size,
    hosts: total,
    synced,
    failed,
    unreachable,
    drifted,
    ...(revision === null ? {} : { lastAttemptedRevision: revision }),
    ...(applied === undefined ? {} : { lastAppliedRevision: applied }),
    conditions: conditionsAfter(before?.conditions, judge(controller, moving, summary), at),
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

function* hostsSeen(fleet: Fleet, suspension: Suspension): Iterable<{ state: State; applied: boolean }> {
  for (const { key, apps, records } of fleet.hosts.values()) {
    const states: State[] = [];
    let applied = true;
    for (const app of apps) {
      const desired = fleet.desired.get(app);
      if (!desired) continue;
      const record = records.get(app);
      states.push(stateOf(record, desired, suspension.holds(app, key)));
      applied &&= isApplied(record, desired);
    }
    yield { state: worst(states), applied };
  }
}

/** `Ready` is about Git and the inventory: among thousands of hosts one is always down, and its own object says so. */
function judge({ problems, problemsOf, suspension }: RepoController, moving: boolean, summary: string): Finding[] {
  const first = problems.find(({ reason }) => reason !== "InvalidHost");
  const told = problems.map(({ message }) => message).join("; ");
  const calm = suspension.now.repo ? "Suspended" : "Succeeded";
  return [
    {
      type: "Ready",
      holds: first === undefined,
      reason: first?.reason ?? calm,
      message: told === "" ? summary : `${told}; ${summary}`,
    },
    { type: "Reconciling", holds: moving, reason: "Progressing", message: summary },
    because("FetchFailed", problemsOf("git")),
    because("InventoryFailed", problemsOf("inventory")),
  ];
}

/** A host that is refused by name does not make the inventory a failed one. */
function because(type: "FetchFailed" | "InventoryFailed", problems: readonly Problem[]): Finding {
  const grave = problems.filter(({ reason }) => reason !== "InvalidHost");
  const message = grave.map((problem) => problem.message).join("; ");
  return { type, holds: grave.length > 0, reason: grave[0]?.reason ?? type, message };
}

/** The part of a whole status. */
export function repoSummaryOf(status: ConfigRepoStatus): RepoSummary {
  const { apps, hosts, synced, failed, unreachable, drifted, ...rest } = status;
  const { conditions, lastAttemptedRevision, lastAppliedRevision } = rest;
  return {
    apps,
    hosts,
    synced,
    failed,
    unreachable,
    drifted,
    conditions,
    lastAttemptedRevision,
    lastAppliedRevision,
  };
}
