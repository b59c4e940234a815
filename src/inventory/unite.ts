import type { AppKey } from "../model/app.ts";
import type { Host, HostKey } from "../model/host.ts";
import type { InventoryProblem } from "../ports/inventory.ts";

export interface United {
  readonly hosts: ReadonlyMap<AppKey, readonly Host[]>;
  readonly problems: readonly InventoryProblem[];
}

/**
 * Each host once an app, sorted by key, and one description for one key everywhere: the host is worked on
 * as one. Where entries disagree about user or root, the first in the order of the apps holds. What is
 * said of a host by an app of `outranked` holds only where no other app says anything, and contradicts nobody.
 */
export function uniteHosts(
  hosts: ReadonlyMap<AppKey, readonly Host[]>,
  outranked: ReadonlySet<AppKey> = new Set(),
): United {
  const first = new Map<HostKey, { host: Host; app: AppKey }>();
  const problems: InventoryProblem[] = [];
  const united = new Map<AppKey, readonly Host[]>();
  const apps = new Set([...hosts.keys()].sort());
  for (const app of [...apps.difference(outranked), ...apps.intersection(outranked)]) {
    const once = new Map<HostKey, Host>();
    for (const host of hosts.get(app)!) {
      const known = first.get(host.key);
      if (known === undefined) first.set(host.key, { host, app });
      else if (!outranked.has(app) && (known.host.user !== host.user || known.host.root !== host.root))
        problems.push({ reason: "InvalidHost", app, message: contradiction(known.host, host, known.app) });
      once.set(host.key, known?.host ?? host);
    }
    united.set(app, [...once.values()].sort(byKey));
  }
  return { hosts: united, problems };
}

function contradiction(known: Host, other: Host, app: AppKey): string {
  return (
    `host ${known.key} is named with user ${other.user} and root ${other.root}, ` +
    `but ${app} has it with user ${known.user} and root ${known.root}, which holds`
  );
}

function byKey(a: Host, b: Host): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}
