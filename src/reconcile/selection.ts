import type { AppKey } from "../model/app.ts";
import { FssyncError } from "../model/errors.ts";
import { parseHostText, type HostKey } from "../model/host.ts";
import type { Fleet } from "./fleet.ts";
import type { Selection } from "./requests.ts";

/** Apps (`mod/env/app`) and hosts (address, or address and port) as a person names them; none means all. */
export interface Named {
  readonly apps: readonly string[];
  readonly hosts: readonly string[];
}

/** What the names mean in each of the fleets. Throws UnknownName for a name that none of them knows. */
export function select<Repo extends { readonly fleet: Fleet }>(
  repos: readonly Repo[],
  { apps, hosts }: Named,
): { readonly repo: Repo; readonly selection: Selection }[] {
  const known = new Set(repos.flatMap(({ fleet }) => [...fleet.desired.keys()]));
  for (const app of apps) if (!known.has(app as AppKey)) throw unknownApp(app, known);
  const wanted = new Set(apps as readonly AppKey[]);
  const chosen = repos.map((repo) => ({ repo, keys: hostKeys(repo.fleet, hosts) }));
  for (const host of hosts) {
    if (!chosen.some(({ keys }) => keys.has(host))) throw unknownHost(host);
  }
  return chosen.map(({ repo, keys }) => ({
    repo,
    selection: {
      ...(apps.length > 0 ? { apps: wanted } : {}),
      ...(hosts.length > 0 ? { hosts: new Set([...keys.values()].flat()) } : {}),
    },
  }));
}

function hostKeys(fleet: Fleet, names: readonly string[]): Map<string, HostKey[]> {
  const found = new Map<string, HostKey[]>();
  if (names.length === 0) return found;
  const wanted = names.map((name) => ({ name, parsed: parseHostText(name) }));
  for (const { key, host } of fleet.hosts.values()) {
    for (const { name, parsed } of wanted) {
      if (parsed?.address !== host.address || (parsed.port ?? host.port) !== host.port) continue;
      found.set(name, [...(found.get(name) ?? []), key]);
    }
  }
  return found;
}

function unknownApp(name: string, known: ReadonlySet<string>): FssyncError {
  const last = name.split("/").at(-1)!;
  const near = [...known].filter((app) => app.includes(last) || app.split("/").some((part) => name.includes(part)));
  const hint = near.length > 0 ? `; there are ${near.slice(0, 5).join(", ")}` : "";
  return new FssyncError("UnknownName", `no app ${name} (expected mod/env/app)${hint}`);
}

function unknownHost(name: string): FssyncError {
  return new FssyncError("UnknownName", `no host ${name} in the inventory (expected address or address:port)`);
}
