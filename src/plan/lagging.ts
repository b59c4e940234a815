import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import type { AppRecord } from "../model/record.ts";
import { needsReconcile, type DesiredDigest } from "./state.ts";

/** One host as the planner sees it. */
export interface HostView {
  readonly key: HostKey;
  readonly apps: readonly AppKey[];
  readonly records: ReadonlyMap<AppKey, AppRecord>;
}

/** The apps of one host that a look at it can be of use for. */
export function laggingApps(host: HostView, desired: ReadonlyMap<AppKey, DesiredDigest>): AppKey[] {
  return host.apps.filter((app) => {
    const want = desired.get(app);
    return want !== undefined && needsReconcile(host.records.get(app), want);
  });
}

/** One pass over the fleet: the hosts with work, in the order given. Allocates nothing for the others. */
export function laggingHosts(hosts: Iterable<HostView>, desired: ReadonlyMap<AppKey, DesiredDigest>): HostKey[] {
  const found: HostKey[] = [];
  for (const host of hosts) if (hasWork(host, desired)) found.push(host.key);
  return found;
}

export function hasWork(host: HostView, desired: ReadonlyMap<AppKey, DesiredDigest>): boolean {
  for (const app of host.apps) {
    const want = desired.get(app);
    if (want !== undefined && needsReconcile(host.records.get(app), want)) return true;
  }
  return false;
}
