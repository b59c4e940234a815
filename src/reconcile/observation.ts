import type { AppKey } from "../model/app.ts";
import { STATES, type State } from "../model/state.ts";
import { stateOf } from "../plan/state.ts";
import type { AppObservation, FleetObservation } from "../ports/telemetry.ts";
import type { Fleet } from "./fleet.ts";

/** The fleet in numbers, counted anew only for the apps that moved since the last look. */
export function observeFleet(fleet: Fleet, suspended: boolean): FleetObservation {
  return {
    suspended,
    get hosts() {
      return fleet.hosts.size;
    },
    *takeChanged() {
      for (const app of fleet.takeChanged()) yield observeApp(fleet, app, suspended);
    },
  };
}

function observeApp(fleet: Fleet, app: AppKey, suspended: boolean): AppObservation {
  const desired = fleet.desired.get(app);
  if (!desired) return { app, current: null };
  const hosts = Object.fromEntries(STATES.map((state) => [state, 0])) as Record<State, number>;
  let lagSince: number | null = null;
  for (const key of fleet.hostsOf(app)) {
    const record = fleet.hosts.get(key)?.records.get(app);
    if (!record) continue;
    hosts[stateOf(record, desired, suspended)] += 1;
    if (record.lagSince !== null) lagSince = Math.min(lagSince ?? Infinity, record.lagSince);
  }
  return { app, current: { revision: desired.revision, hosts, lagSince } };
}
