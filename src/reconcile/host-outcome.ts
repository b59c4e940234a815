import type { AppKey } from "../model/app.ts";
import { REASONS } from "../model/errors.ts";
import type { HostKey } from "../model/host.ts";
import type { Digest } from "../model/manifest.ts";
import type { AppRecord } from "../model/record.ts";
import { worst } from "../model/state.ts";
import { isDrifted, isUnfinished, lags, stateOf } from "../plan/state.ts";
import { reportAppOnHost, type HostReport } from "../plan/status-report.ts";
import { desiredRecord, type FleetApp } from "./desired-apps.ts";
import type { Fleet, FleetHost } from "./fleet.ts";
import type { Done, Selection } from "./requests.ts";
import type { Suspension } from "./suspension.ts";

/**
 * What became of one host of a sync, worst first. `Held`: nothing is sent until people change something
 * (PruneLimitExceeded, PathConflict, …). `Drifted`: it has what Git has by the record, but for what somebody changed
 * there. `Gone`: the inventory took it away meanwhile.
 */
export const OUTCOMES = ["Failed", "Unreachable", "Held", "Waiting", "Suspended", "Drifted", "Gone", "Synced"] as const;
export type Outcome = (typeof OUTCOMES)[number];

export interface HostOutcome extends Pick<HostReport, "apps"> {
  readonly outcome: Outcome;
  /** Null when the host has left. */
  readonly state: HostReport["state"] | null;
  /** Who has suspended it and why, where it was left alone for that and it is known. */
  readonly message?: string;
}

export interface Asked {
  readonly selection: Selection;
  readonly full: boolean;
  /** What Git wanted when it was asked for; a newer commit counts too. */
  readonly digests: ReadonlyMap<AppKey, Digest>;
}

/** How a host stands on which nothing lags, where it does not have all of it; undefined where it has. */
export function standing(
  parts: { fleet: Fleet; suspension: Suspension },
  { key, apps, records }: FleetHost,
  asked: Asked,
): HostOutcome | undefined {
  const differs = apps.some((app) => {
    const desired = parts.fleet.desired.get(app);
    if (!desired || asked.selection.apps?.has(app) === false) return false;
    return Boolean(desired.refused) || isDrifted(records.get(app)!);
  });
  if (!differs) return undefined;
  const found = hostOutcome(parts, key, { ...asked, full: false }, NOTHING);
  return found.outcome === "Held" || found.outcome === "Drifted" ? found : undefined;
}

const NOTHING: Done = new Set();

/** How a host that was just attempted stands, by what is recorded of it. */
export function hostOutcome(
  { fleet, suspension }: { fleet: Fleet; suspension: Suspension },
  key: HostKey,
  { selection, full, digests }: Asked,
  done: Done,
): HostOutcome {
  const host = fleet.hosts.get(key);
  const apps = host?.apps.filter((app) => fleet.desired.has(app) && selection.apps?.has(app) !== false) ?? [];
  // What Git no longer holds leaves the host with its last file: then that was done.
  if (apps.length === 0) return { outcome: done?.size ? "Synced" : "Gone", state: host ? "Synced" : null, apps: [] };
  const found = apps.map((app) => {
    const [record, desired] = [host!.records.get(app)!, fleet.desired.get(app)!];
    const held = suspension.holds(app, key);
    const brought = done === null ? null : done.has(app) || !full;
    const outcome = appOutcome(record, desired, { asked: digests.get(app), held, brought });
    const why = suspension.message(app, key);
    const state = stateOf(record, desired, held);
    return { outcome, why, report: reportAppOnHost({ app, state, record, desired: desiredRecord(desired), why }) };
  });
  const worstOf = OUTCOMES.find((one) => found.some(({ outcome }) => outcome === one))!;
  const message = found.find(({ outcome, why }) => outcome === "Suspended" && why !== undefined)?.why;
  return {
    outcome: worstOf,
    ...(worstOf === "Suspended" && message !== undefined ? { message } : {}),
    state: worst(found.map(({ report }) => report.state)),
    apps: found.map(({ report }) => report),
  };
}

/** `brought`: whether the attempt did what was asked, beyond what the record shows; null when it could not be recorded. */
function appOutcome(
  record: AppRecord,
  desired: FleetApp,
  { asked, held, brought }: { asked: Digest | undefined; held: boolean; brought: boolean | null },
): Outcome {
  const reason = desired.refused?.reason ?? record.failure?.reason;
  if (reason !== undefined && !REASONS[reason].retry) return "Held";
  if (reason !== undefined) return REASONS[reason].state === "Unreachable" ? "Unreachable" : "Failed";
  if (brought === null) return "Failed";
  const reached = !lags(record, desired) || (record.digest === asked && !isUnfinished(record));
  if (reached && brought) return isDrifted(record) ? "Drifted" : "Synced";
  return held ? "Suspended" : "Waiting";
}
