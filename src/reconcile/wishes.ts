import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import { needsReconcile } from "../plan/state.ts";
import type { Fleet, FleetHost } from "./fleet.ts";
import type { AppWish, Selection, Wish } from "./requests.ts";
import type { AskedOf, Suspension } from "./suspension.ts";

/** What a request means for each host: of the selected apps those that lag, or all of them when all is wished for. */
export function wishesFor(
  fleet: Fleet,
  suspension: Suspension,
  { selection, wish, askedOf }: { selection: Selection; wish: Wish; askedOf: AskedOf | undefined },
): Map<HostKey, Map<AppKey, AppWish>> {
  const wishes = new Map<HostKey, Map<AppKey, AppWish>>();
  for (const { key, apps, records } of selectedHosts(fleet, selection)) {
    const meant = new Map<AppKey, AppWish>();
    for (const app of apps) {
      const desired = fleet.desired.get(app);
      if (!desired || selection.apps?.has(app) === false || suspension.holdsRequest(app, key, askedOf)) continue;
      if (!wish.full && !needsReconcile(records.get(app), desired)) continue;
      const allowPrune = wish.allowPrune ? desired.digest : null;
      meant.set(app, { full: wish.full, allowPrune, ...(askedOf && { askedOf }) });
    }
    if (meant.size > 0) wishes.set(key, meant);
  }
  return wishes;
}

/** Of those named that are there; costs no more than what is named. They need not have an app that is named. */
export function* selectedHosts(fleet: Fleet, { apps, hosts }: Selection): Iterable<FleetHost> {
  const named = hosts ?? (apps && new Set([...apps].flatMap((app) => [...fleet.hostsOf(app)])));
  for (const key of named ?? fleet.hosts.keys()) {
    const host = fleet.hosts.get(key);
    if (host) yield host;
  }
}
