import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";

export type HostsByApp = ReadonlyMap<AppKey, ReadonlySet<HostKey>>;

/**
 * Which apps' new hosts are not to be believed, and why. `scopes` are the apps that one query answered:
 * a scope is held when it lost more than `maxShrinkPercent` of its hosts, or all; an app is held alone
 * when it lost all of its hosts and they did not move. What was never known cannot shrink. 100 percent
 * believes everything.
 *
 * A host has moved, and is not lost, when another app has it now that did not have it before.
 */
export function suspiciousApps(
  scopes: readonly (readonly AppKey[])[],
  { earlier, now, maxShrinkPercent }: { earlier: HostsByApp; now: HostsByApp; maxShrinkPercent: number },
): Map<AppKey, string> {
  const held = new Map<AppKey, string>();
  if (maxShrinkPercent >= 100) return held;
  const moved = movedHosts(earlier, now);
  for (const scope of scopes) {
    const known = scope.filter((app) => earlier.has(app));
    const loss = lossOf(known, earlier, now, moved);
    if (loss.percent > maxShrinkPercent || loss.all) for (const app of known) held.set(app, loss.text);
    for (const app of known) {
      const own = lossOf([app], earlier, now, moved);
      if (own.all && !held.has(app)) held.set(app, own.text);
    }
  }
  return held;
}

interface Loss {
  readonly percent: number;
  readonly all: boolean;
  readonly text: string;
}

function lossOf(apps: readonly AppKey[], earlier: HostsByApp, now: HostsByApp, moved: ReadonlySet<HostKey>): Loss {
  const before = union(apps, earlier);
  const after = union(apps, now);
  const remaining = new Set([...after, ...before.intersection(moved)]).size;
  const lost = Math.max(0, before.size - remaining);
  const percent = before.size === 0 ? 0 : (100 * lost) / before.size;
  return { percent, all: before.size > 0 && remaining === 0, text: `${before.size} hosts became ${after.size}` };
}

function union(apps: readonly AppKey[], hosts: HostsByApp): Set<HostKey> {
  const all = new Set<HostKey>();
  for (const app of apps) for (const key of hosts.get(app) ?? []) all.add(key);
  return all;
}

function movedHosts(earlier: HostsByApp, now: HostsByApp): Set<HostKey> {
  const arrived = new Set<HostKey>();
  for (const [app, hosts] of now) {
    const before = earlier.get(app);
    for (const host of hosts) if (before === undefined || !before.has(host)) arrived.add(host);
  }
  return arrived;
}
