import { appId, type AppKey } from "../../model/app.ts";
import { parseHostText } from "../../model/host.ts";
import type { ReportedApp } from "../../reconcile/fleet-report.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import type { AppItem, HostItem } from "../../reconcile/report-items.ts";
import { HttpProblem } from "../problem.ts";
import type { AppQuery } from "../schemas/app.ts";
import type { HostQuery } from "../schemas/host.ts";

/** Which items a list was asked for. */

type AppFilter = Pick<AppQuery, "repo" | "mod" | "env" | "app" | "state">;
type HostFilter = AppFilter & Pick<HostQuery, "address">;

const PARTS = ["mod", "env", "app"] as const;

export function appMatcher(filter: AppFilter): (item: AppItem) => boolean {
  const { repo, state } = filter;
  return (item) =>
    (repo === undefined || item.repo === repo) &&
    PARTS.every((part) => filter[part] === undefined || item[part] === filter[part]) &&
    (state === undefined || state.includes(item.state));
}

/**
 * With a part of the name of an app: hosts with such an app, and with a state those where one of them is in it;
 * without, the state is the host's. Throws 400 for what is no address.
 */
export function hostMatcher(filter: HostFilter): (item: HostItem) => boolean {
  const { repo, state } = filter;
  const isThere = addressMatcher(filter.address);
  const isNamed = appNameMatcher(filter);
  return (item) => {
    if ((repo !== undefined && item.repo !== repo) || !isThere(item)) return false;
    if (!isNamed) return state === undefined || state.includes(item.state);
    return item.apps.some((one) => isNamed(one.app) && (state === undefined || state.includes(one.state)));
  };
}

/** The apps of a repo; with an address those that a host there has or shall have. Throws 400 for what is no address. */
export function appsAt(address: string | undefined): (repo: Pick<RepoController, "reports">) => readonly ReportedApp[] {
  const isThere = addressMatcher(address);
  return ({ reports }) => {
    if (address === undefined) return reports.apps;
    const there = reports.hosts.values().filter(({ item }) => isThere(item));
    const named = new Set(there.flatMap(({ item }) => item.apps.map(({ app }) => app)));
    return reports.apps.filter(({ key }) => named.has(key));
  };
}

function addressMatcher(text: string | undefined): (item: Pick<HostItem, "address" | "port">) => boolean {
  if (text === undefined) return () => true;
  const named = parseHostText(text);
  if (!named) throw new HttpProblem(400, `address ${text}: expected ADDRESS, ADDRESS:PORT or [V6]:PORT`);
  return ({ address, port }) => address === named.address && port === (named.port ?? port);
}

/** Undefined when no part is asked for. Each name is looked at once, on however many hosts it is. */
function appNameMatcher(filter: AppFilter): ((app: AppKey) => boolean) | undefined {
  const parts = PARTS.filter((part) => filter[part] !== undefined);
  if (parts.length === 0) return undefined;
  const known = new Map<AppKey, boolean>();
  return (app) => {
    let matches = known.get(app);
    if (matches === undefined) {
      const id = appId(app);
      known.set(app, (matches = parts.every((part) => id[part] === filter[part])));
    }
    return matches;
  };
}
