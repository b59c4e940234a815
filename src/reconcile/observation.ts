import type { AppKey } from "../model/app.ts";
import type { Reason } from "../model/errors.ts";
import { recurringPaths } from "../model/drift.ts";
import { STATES, type State } from "../model/state.ts";
import type { Problem } from "../model/record.ts";
import { stateOf } from "../plan/state.ts";
import type { AppObservation, FleetObservation, SuspendedObject } from "../ports/telemetry.ts";
import type { Fleet } from "./fleet.ts";
import type { Suspension } from "./suspension.ts";

export interface ObservedParts {
  readonly repo: string;
  readonly fleet: Fleet;
  readonly suspension: Suspension;
  /** See `Transport.connections`. */
  readonly connections: () => number;
  readonly problems: () => readonly Problem[];
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** The fleet in numbers, counted anew only for the apps that moved since the last look. */
export function observeFleet(parts: ObservedParts): FleetObservation {
  const { repo, fleet, suspension, problems, now } = parts;
  const takeChanged = fleet.watch();
  /** Apps with files that drift again and again: a day later they do not, although nothing moved. */
  const recurring = new Set<AppKey>();
  return {
    get hosts() {
      return fleet.hosts.size;
    },
    get fallbackHosts() {
      return fleet.fallbackHosts;
    },
    get connections() {
      return parts.connections();
    },
    suspended: () => suspendedObjects(repo, suspension),
    problems: () => counted(problems().map(({ reason }) => reason)),
    *takeChanged() {
      for (const app of takeChanged().union(recurring)) {
        const observed = observeApp(fleet, app, suspension, now());
        if (observed.current && observed.current.recurringFiles > 0) recurring.add(app);
        else recurring.delete(app);
        yield observed;
      }
    },
  };
}

function observeApp(fleet: Fleet, app: AppKey, suspension: Suspension, now: number): AppObservation {
  const desired = fleet.desired.get(app);
  if (!desired) return { app, current: null };
  const hosts = Object.fromEntries(STATES.map((state) => [state, 0])) as Record<State, number>;
  const failures: Reason[] = [];
  let lagSince: number | null = null;
  let driftedFiles = 0;
  let recurringFiles = 0;
  for (const key of fleet.hostsOf(app)) {
    const record = fleet.hosts.get(key)?.records.get(app);
    if (!record) continue;
    const held = suspension.holds(app, key);
    hosts[stateOf(record, desired, held)] += 1;
    // What people hold back is not late.
    if (record.lagSince !== null && !held) lagSince = Math.min(lagSince ?? Infinity, record.lagSince);
    const reason = desired.refused?.reason ?? record.failure?.reason;
    if (reason) failures.push(reason);
    if (!record.drift) continue;
    driftedFiles += record.drift.count;
    // What fssync never laid over differs for the first time: most hosts are done with here.
    if (record.drift.replaced.length > 0) recurringFiles += recurringPaths(record.drift, now).length;
  }
  const { revision } = desired;
  return { app, current: { revision, hosts, lagSince, driftedFiles, recurringFiles, failures: counted(failures) } };
}

function counted<T>(items: readonly T[]): ReadonlyMap<T, number> {
  const counts = new Map<T, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

function suspendedObjects(repo: string, { now }: Suspension): SuspendedObject[] {
  return [
    { kind: "ConfigRepo", name: repo, suspended: now.repo },
    ...[...now.apps].map((name) => ({ kind: "ConfigApp", name, suspended: true }) as const),
    ...[...now.hosts].map((name) => ({ kind: "ConfigHost", name, suspended: true }) as const),
  ];
}
