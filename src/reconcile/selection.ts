import { appId, type AppKey } from "../model/app.ts";
import { FssyncError } from "../model/errors.ts";
import { parseHostText, type HostKey } from "../model/host.ts";
import type { Fleet } from "./fleet.ts";
import type { Selection } from "./requests.ts";

/** Apps (`mod/env/app`) and hosts (address, or address and port) as a person names them; none means all. */
export interface Named {
  readonly apps: readonly string[];
  readonly hosts: readonly string[];
  /** Narrows it to the apps that have all of these; of one repo when it is named. */
  readonly scope?: Scope;
}

export interface Scope {
  readonly repo?: string;
  readonly mod?: string;
  readonly env?: string;
  readonly app?: string;
}

/** What the names mean in each of the fleets. Throws UnknownName for a name that none of them knows. */
export function select<Repo extends { readonly repo: string; readonly fleet: Fleet }>(
  all: readonly Repo[],
  { apps: named, hosts, scope = {} }: Named,
): { readonly repo: Repo; readonly selection: Selection }[] {
  const repos = inScope(all, scope);
  const known = new Set(repos.flatMap(({ fleet }) => [...fleet.desired.keys()]));
  for (const app of named) if (!known.has(app as AppKey)) throw unknownApp(app, known);
  const apps = narrowed(named, known, scope);
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

/** The same, where each host that is named has an app that is, if any is. Throws UnknownName also where one has not. */
export function requireNamed(
  all: readonly { readonly repo: string; readonly fleet: Fleet }[],
  { apps, hosts, scope = {} }: Named,
): void {
  const found = select(all, { apps, hosts, scope });
  const wanted = found[0]?.selection.apps;
  if (!wanted) return;
  for (const name of hosts) {
    const runs = found.some(({ repo: { fleet } }) =>
      [...hostKeys(fleet, [name]).values()]
        .flat()
        .some((key) => fleet.hosts.get(key)!.apps.some((app) => wanted.has(app) && fleet.desired.has(app))),
    );
    if (!runs) throw new FssyncError("UnknownName", `host ${name} does not have ${appsText(wanted)} in the inventory`);
  }
}

/** `app nginx/prod/web`, or some of many. */
function appsText(apps: ReadonlySet<AppKey>): string {
  const [only] = apps;
  if (apps.size === 1) return `app ${only}`;
  const more = apps.size > 5 ? `, … (${apps.size})` : "";
  return `any of the apps ${[...apps].slice(0, 5).join(", ")}${more}`;
}

/** The repos that the scope names. Throws UnknownName when there is none of that name. */
export function inScope<Repo extends { readonly repo: string }>(all: readonly Repo[], { repo: name }: Scope): Repo[] {
  const repos = all.filter(({ repo }) => name === undefined || repo === name);
  if (repos.length > 0 || name === undefined) return repos;
  throw new FssyncError("UnknownName", `no repo ${name}; there are ${all.map(({ repo }) => repo).join(", ")}`);
}

/** Of the apps that were named, or of all, those in the scope; none only when none was named and the scope says nothing. */
function narrowed(named: readonly string[], known: ReadonlySet<string>, scope: Scope): readonly string[] {
  const parts = (["mod", "env", "app"] as const).filter((part) => scope[part] !== undefined);
  if (parts.length === 0) return named;
  const apps = (named.length > 0 ? named : [...known]).filter((key) => {
    const id = appId(key as AppKey);
    return parts.every((part) => id[part] === scope[part]);
  });
  if (apps.length > 0) return apps;
  throw new FssyncError("UnknownName", `no app with ${parts.map((part) => `${part} ${scope[part]}`).join(", ")}`);
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

export function unknownApp(name: string, known: ReadonlySet<string>): FssyncError {
  const last = name.split("/").at(-1)!;
  const near = [...known].filter((app) => app.includes(last) || app.split("/").some((part) => name.includes(part)));
  const hint = near.length > 0 ? `; there are ${near.slice(0, 5).join(", ")}` : "";
  return new FssyncError("UnknownName", `no app ${name} (expected mod/env/app)${hint}`);
}

export function unknownHost(name: string): FssyncError {
  return new FssyncError("UnknownName", `no host ${name} in the inventory (expected address or address:port)`);
}
