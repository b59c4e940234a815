import { appId, type AppKey } from "../model/app.ts";
import { FssyncError } from "../model/errors.ts";
import { hostKey, parseHostText, type HostKey } from "../model/host.ts";
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

interface Chosen<Repo> {
  readonly repo: Repo;
  readonly selection: Selection;
  /** The hosts that each name means. */
  readonly named: ReadonlyMap<string, readonly HostKey[]>;
}

/**
 * What the names mean in each of the fleets. Throws UnknownName for a name that none of them knows, SourceUnavailable
 * where one that was not read yet may. Costs no more than what is named and there is, together.
 */
export function select<Repo extends { readonly repo: string; readonly fleet: Fleet }>(
  all: readonly Repo[],
  { apps: named, hosts, scope = {} }: Named,
): Chosen<Repo>[] {
  const repos = inScope(all, scope);
  const known = new Set(repos.flatMap(({ fleet }) => [...fleet.desired.keys()]));
  for (const app of named) if (!known.has(app as AppKey)) throw unreadOr(repos, unknownApp(app, known));
  const apps = narrowed(named, known, scope);
  if (apps === null) throw unreadOr(repos, unknownScope(scope));
  const wanted = new Set(apps as readonly AppKey[]);
  const names = new Set(hosts);
  const chosen = repos.map((repo) => ({ repo, named: hostKeys(repo.fleet, names) }));
  for (const host of names) {
    if (!chosen.some((one) => one.named.has(host))) throw unreadOr(repos, unknownHost(host));
  }
  return chosen.map((one) => ({
    ...one,
    selection: {
      ...(apps.length > 0 ? { apps: wanted } : {}),
      ...(hosts.length > 0 ? { hosts: new Set([...one.named.values()].flat()) } : {}),
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
  for (const name of new Set(hosts)) {
    const runs = found.some(({ repo: { fleet }, named }) =>
      named
        .get(name)
        ?.some((key) => fleet.hosts.get(key)!.apps.some((app) => wanted.has(app) && fleet.desired.has(app))),
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

/** Of the apps that were named, or of all, those in the scope; null when it has none, none when it and nobody names any. */
function narrowed(named: readonly string[], known: ReadonlySet<string>, scope: Scope): readonly string[] | null {
  const parts = partsOf(scope);
  if (parts.length === 0) return named;
  const apps = (named.length > 0 ? named : [...known]).filter((key) => {
    const id = appId(key as AppKey);
    return parts.every((part) => id[part] === scope[part]);
  });
  return apps.length > 0 ? apps : null;
}

function partsOf(scope: Scope): ("mod" | "env" | "app")[] {
  return (["mod", "env", "app"] as const).filter((part) => scope[part] !== undefined);
}

function hostKeys({ hosts }: Fleet, names: ReadonlySet<string>): Map<string, HostKey[]> {
  const found = new Map<string, HostKey[]>();
  const byAddress = new Map<string, string[]>();
  for (const name of names) {
    const { address, port } = parseHostText(name) ?? {};
    if (address === undefined) continue;
    if (port === undefined) add(byAddress, address, name);
    else if (hosts.has(hostKey(address, port))) add(found, name, hostKey(address, port));
  }
  if (byAddress.size === 0) return found;
  for (const { key, host } of hosts.values()) {
    for (const name of byAddress.get(host.address) ?? []) add(found, name, key);
  }
  return found;
}

function add(map: Map<string, string[]>, key: string, value: string): void {
  const values = map.get(key);
  if (values) values.push(value);
  else map.set(key, [value]);
}

/** What is unknown may be there all the same while Git was not read. */
function unreadOr(repos: readonly { readonly repo: string; readonly fleet: Fleet }[], error: FssyncError): FssyncError {
  const unread = repos.find(({ fleet }) => !fleet.wasRead);
  if (!unread) return error;
  return new FssyncError(
    "SourceUnavailable",
    `the Git repo of ${unread.repo} was not read yet, and elsewhere there is ${error.message}`,
  );
}

function unknownScope(scope: Scope): FssyncError {
  const parts = partsOf(scope).map((part) => `${part} ${scope[part]}`);
  return new FssyncError("UnknownName", `no app with ${parts.join(", ")}`);
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
