import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import type { AppRecord, HostRecord } from "../model/record.ts";
import { worst, type State } from "../model/state.ts";
import {
  isoTime,
  reportApp,
  reportAppOnHost,
  type AppReport,
  type DesiredOfApp,
  type HostReport,
} from "../plan/status-report.ts";
import { stateOf } from "../plan/state.ts";
import type { Fleet } from "./fleet.ts";
import type { Suspension } from "./suspension.ts";

/** What `status` says of an app, and what more there is to say while the controller is asked. */
export interface AppItem extends AppReport {
  readonly repo: string;
  /** Whether people have stopped work on it, or on its repo. */
  readonly suspended: boolean;
  /** Since when the host that lags the longest lags, of those that nobody holds back. */
  readonly lagSince?: string;
  /** Hosts that failed, were not reached or are held, by reason. */
  readonly reasons: Readonly<Record<string, number>>;
}

export interface HostItem extends HostReport {
  readonly repo: string;
  readonly suspended: boolean;
}

export interface ItemParts {
  readonly repo: string;
  readonly fleet: Fleet;
  readonly suspension: Suspension;
}

export function appItem({ repo, fleet, suspension }: ItemParts, desired: DesiredOfApp): AppItem {
  const app = desired.key;
  const states: State[] = [];
  const reasons: Record<string, number> = {};
  let lagSince = Infinity;
  for (const key of fleet.hostsOf(app)) {
    const record = recordOn(fleet, key, app);
    if (!record) continue;
    const held = suspension.holds(app, key);
    states.push(stateOf(record, desired, held));
    // What people hold back is not late.
    if (record.lagSince !== null && !held) lagSince = Math.min(lagSince, record.lagSince);
    const reason = desired.refused?.reason ?? record.failure?.reason;
    if (reason) reasons[reason] = (reasons[reason] ?? 0) + 1;
  }
  const { now } = suspension;
  return {
    repo,
    suspended: now.repo || now.apps.has(app),
    ...(lagSince === Infinity ? {} : { lagSince: isoTime(lagSince) }),
    reasons,
    ...reportApp(desired, states),
  };
}

/** The host's apps by name; null when it has none that Git, or the store before it, knows of. */
export function hostItem({ repo, fleet, suspension }: ItemParts, record: HostRecord): HostItem | null {
  const { key, address, port, fallback } = record;
  const names = [...record.apps.keys()].sort();
  const apps = names.flatMap((app) => {
    const [desired, known] = [fleet.known.get(app), record.apps.get(app)!];
    if (!desired) return [];
    const state = stateOf(known, desired, suspension.holds(app, key));
    return [reportAppOnHost({ app, state, record: known, desired, why: suspension.message(app, key) })];
  });
  if (apps.length === 0) return null;
  const { now } = suspension;
  const suspended = now.repo || now.hosts.has(key);
  const state = worst(apps.map((app) => app.state));
  return { repo, suspended, address, port, state, ...(fallback === undefined ? {} : { fallback }), apps };
}

function recordOn(fleet: Fleet, host: HostKey, app: AppKey): AppRecord | undefined {
  return fleet.hosts.get(host)?.records.get(app) ?? fleet.recordOf(host)?.apps.get(app);
}
