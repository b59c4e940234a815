import { type AppId, type AppKey, appKey } from "../model/app.ts";
import { type HostEntry, type Labels, type LabelledHost, decodeHost } from "./host-entry.ts";
import { show } from "./show.ts";
import type { QueryResult } from "./source.ts";

export interface Assigned {
  readonly hosts: ReadonlyMap<AppKey, readonly HostEntry[]>;
  /** Entries that are no valid hosts, each named. */
  readonly refused: readonly string[];
}

/**
 * Which entries of one answer belong to which of its apps. A label that is absent fits every app, but
 * where one query answers for all apps an entry must at least say its `app`. A bad entry is refused by
 * name and its siblings go on.
 */
export function assignHosts(
  { apps, whole }: Pick<QueryResult, "apps" | "whole">,
  entries: readonly unknown[],
  { envAliases, strictKeys }: { envAliases: Readonly<Record<string, string>>; strictKeys: boolean },
): Assigned {
  const refused: string[] = [];
  const byApp = new Map<string | undefined, LabelledHost[]>();
  for (const raw of entries) {
    const decoded = decodeHost(raw, { strictKeys });
    if (typeof decoded === "string") refused.push(decoded);
    else if (whole && decoded.labels.app === undefined)
      refused.push(`host ${show(decoded.host.address)} does not say which app it belongs to`);
    else append(byApp, decoded.labels.app, decoded);
  }
  const hosts = new Map<AppKey, readonly HostEntry[]>();
  for (const id of apps) {
    const candidates = [...(byApp.get(id.app) ?? []), ...(byApp.get(undefined) ?? [])];
    const fitting = candidates.filter(({ labels }) => fits(labels, id, envAliases));
    hosts.set(
      appKey(id),
      fitting.map(({ host }) => host),
    );
  }
  return { hosts, refused };
}

/** The env as the CMDB calls it. */
export function aliasedEnv(env: string, envAliases: Readonly<Record<string, string>>): string {
  return Object.hasOwn(envAliases, env) ? envAliases[env]! : env;
}

function fits({ mod, env }: Labels, id: AppId, envAliases: Readonly<Record<string, string>>): boolean {
  return (mod === undefined || mod === id.mod) && (env === undefined || env === aliasedEnv(id.env, envAliases));
}

function append<K, V>(into: Map<K, V[]>, key: K, value: V): void {
  const list = into.get(key);
  if (list === undefined) into.set(key, [value]);
  else list.push(value);
}
