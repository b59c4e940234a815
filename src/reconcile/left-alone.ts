import type { HostKey } from "../model/host.ts";
import type { SuspendedTarget } from "../ports/suspender.ts";
import type { Fleet } from "./fleet.ts";
import type { Selection, Wish } from "./requests.ts";
import { Suspension } from "./suspension.ts";
import { wishesFor } from "./wishes.ts";

/** What people have suspended, that keeps hosts from a sync. */
export interface LeftAlone extends SuspendedTarget {
  /** On how many hosts there would have been something to do. */
  readonly hosts: number;
}

export interface HeldBack {
  /** Each host on which something was held back, by the first thing that does. */
  readonly hosts: ReadonlyMap<HostKey, SuspendedTarget>;
  /** The repo, or of it apps and then hosts. A repo that is suspended is named also where nothing lags. */
  readonly leftAlone: readonly LeftAlone[];
}

/** What a sync of these would do if nothing of them were suspended. */
export function heldBack(
  { repo, fleet, suspension }: { readonly repo: string; readonly fleet: Fleet; readonly suspension: Suspension },
  selection: Selection,
  wish: Wish,
): HeldBack {
  const hosts = new Map<HostKey, SuspendedTarget>();
  const { repo: whole, apps, hosts: some } = suspension.now;
  if (!whole && apps.size + some.size === 0) return { hosts, leftAlone: [] };
  const found = new Map<string, { target: SuspendedTarget; hosts: Set<HostKey> }>();
  const note = (target: SuspendedTarget) => {
    const id = JSON.stringify([target.app ?? null, target.host ?? null]);
    const known = found.get(id) ?? { target, hosts: new Set() };
    found.set(id, known);
    return known.hosts;
  };
  if (whole) note(suspension.ofRepo(repo));
  const all = wishesFor(fleet, new Suspension(false), { selection, wish, askedOf: undefined });
  for (const [host, wishes] of all) {
    for (const app of wishes.keys()) {
      const target = suspension.whatHolds(repo, app, host);
      if (!target) continue;
      if (!hosts.has(host)) hosts.set(host, target);
      note(target).add(host);
    }
  }
  const leftAlone = [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
  return { hosts, leftAlone: leftAlone.map(({ target, hosts: on }) => ({ ...target, hosts: on.size })) };
}
