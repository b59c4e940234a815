import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";

export type HostsByApp = ReadonlyMap<AppKey, ReadonlySet<HostKey>>;

/** Apps whose new hosts are not to be believed, and why. */
export interface Suspicion {
  readonly apps: readonly AppKey[];
  readonly text: string;
}

/**
 * What is not to be believed. `scopes` are the apps that one query answered: a scope is held when it
 * lost more than `maxShrinkPercent` of its hosts, or all; an app is held alone when it lost all of its
 * hosts and they did not move. What was never known cannot shrink. 100 percent believes everything.
 *
 * A host has moved, and is not lost, when another app has it now that did not have it before.
 */
export function suspicions(
  scopes: readonly (readonly AppKey[])[],
  { earlier, now, maxShrinkPercent }: { earlier: HostsByApp; now: HostsByApp; maxShrinkPercent: number },
): Suspicion[] {
  if (maxShrinkPercent >= 100) return [];
  const moved = movedHosts(earlier, now);
  return scopes.flatMap((scope) => {
    const known = scope.filter((app) => earlier.has(app));
    const whole = lossOf(known, earlier, now, moved);
    if (whole.percent > maxShrinkPercent) return [{ apps: known, text: whole.text }];
    return known.flatMap((app) => {
      const own = lossOf([app], earlier, now, moved);
      return own.percent === 100 ? [{ apps: [app], text: own.text }] : [];
    });
  });
}

interface Loss {
  readonly percent: number;
  readonly text: string;
}

function lossOf(apps: readonly AppKey[], earlier: HostsByApp, now: HostsByApp, moved: ReadonlySet<HostKey>): Loss {
  const before = union(apps, earlier);
  const after = union(apps, now);
  const remaining = new Set([...after, ...before.intersection(moved)]).size;
  const lost = Math.max(0, before.size - remaining);
  const percent = before.size === 0 ? 0 : (100 * lost) / before.size;
  return { percent, text: `${before.size} hosts became ${after.size}` };
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
