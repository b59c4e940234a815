import type { AppKey } from "../model/app.ts";
import { STATES, type State } from "../model/state.ts";
import { stateOf } from "../plan/state.ts";
import type { AppObservation, FleetObservation, SuspendedObject } from "../ports/telemetry.ts";
import type { Fleet } from "./fleet.ts";
import type { Suspension } from "./suspension.ts";

/** The fleet in numbers, counted anew only for the apps that moved since the last look. */
export function observeFleet(repo: string, fleet: Fleet, suspension: Suspension): FleetObservation {
  const takeChanged = fleet.watch();
  return {
    get hosts() {
      return fleet.hosts.size;
    },
    suspended: () => suspendedObjects(repo, suspension),
    *takeChanged() {
      for (const app of takeChanged()) yield observeApp(fleet, app, suspension);
    },
  };
}

function observeApp(fleet: Fleet, app: AppKey, suspension: Suspension): AppObservation {
  const desired = fleet.desired.get(app);
  if (!desired) return { app, current: null };
  const hosts = Object.fromEntries(STATES.map((state) => [state, 0])) as Record<State, number>;
  let lagSince: number | null = null;
  for (const key of fleet.hostsOf(app)) {
    const record = fleet.hosts.get(key)?.records.get(app);
    if (!record) continue;
    hosts[stateOf(record, desired, suspension.holds(app, key))] += 1;
    if (record.lagSince !== null) lagSince = Math.min(lagSince ?? Infinity, record.lagSince);
  }
  return { app, current: { revision: desired.revision, hosts, lagSince } };
}

function suspendedObjects(repo: string, { now }: Suspension): SuspendedObject[] {
  return [
    { kind: "ConfigRepo", name: repo, suspended: now.repo },
    ...[...now.apps].map((name) => ({ kind: "ConfigApp", name, suspended: true }) as const),
    ...[...now.hosts].map((name) => ({ kind: "ConfigHost", name, suspended: true }) as const),
  ];
}
