import type { AppKey } from "../model/app.ts";
import { laggingApps } from "../plan/lagging.ts";
import { needsSync } from "../plan/state.ts";
import { planHost, type HostPlan, type PruneOptions } from "../plan/host-plan.ts";
import type { Clock } from "../ports/clock.ts";
import type { GitSource } from "../ports/git-source.ts";
import { Turns } from "../ports/turns.ts";
import type { Fleet, FleetHost } from "./fleet.ts";
import { groupKey } from "./groups.ts";
import { lagOf } from "./lag.ts";
import type { Selection } from "./requests.ts";

export interface PlannedHost {
  readonly host: FleetHost;
  readonly plan: HostPlan;
}

export interface PlanOptions {
  readonly source: GitSource;
  readonly prune: PruneOptions;
  readonly clock: Clock;
}

/**
 * What a sync of these hosts and apps would do; touches no host. Hosts that need the same share one
 * plan object. Hosts without work are left out.
 */
export async function planFleet(
  fleet: Fleet,
  { source, prune, clock }: PlanOptions,
  { apps, hosts }: Selection = {},
): Promise<PlannedHost[]> {
  const turns = new Turns(clock);
  const plans = new Map<string, HostPlan>();
  const planned: PlannedHost[] = [];
  for (const host of fleet.hosts.values()) {
    if (hosts && !hosts.has(host.key)) continue;
    await turns.pause();
    const isWanted = (app: AppKey) => !apps || apps.has(app);
    const needs = (app: AppKey) => needsSync(host.records.get(app), fleet.desired.get(app)!);
    const wanted = laggingApps(host, fleet.desired).filter((app) => isWanted(app) && needs(app));
    if (wanted.length === 0) continue;
    const all = host.apps.map((app) => fleet.desired.get(app)).filter((app) => app !== undefined);
    const lags = await Promise.all(wanted.map((app) => lagOf(source, host, fleet.desired.get(app)!, undefined)));
    const key = groupKey(all, lags);
    const plan = plans.get(key) ?? planHost(all, lags, prune);
    plans.set(key, plan);
    planned.push({ host, plan });
  }
  return planned;
}
