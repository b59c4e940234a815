import { appId, type AppKey } from "../model/app.ts";
import type { Drift, DriftChange } from "../model/drift.ts";
import type { Reason } from "../model/errors.ts";
import type { HostKey } from "../model/host.ts";
import type { AppRecord, DesiredRecord, Problem } from "../model/record.ts";
import type { Revision } from "../model/revision.ts";
import { worst, type State } from "../model/state.ts";
import type { RepoStatus } from "../ports/status-store.ts";
import { stateOf, type DesiredDigest } from "./state.ts";

/** The design's JSON of `status`; times are ISO 8601. */
export interface StatusReport {
  readonly repos: readonly RepoReport[];
}

export interface RepoReport {
  readonly name: string;
  readonly revision: Revision | null;
  /** Only while people have stopped all work on it. */
  readonly suspended?: true;
  /** Only while something is wrong with Git or the inventory. */
  readonly problems?: readonly ProblemReport[];
  readonly apps: readonly AppReport[];
  readonly hosts: readonly HostReport[];
}

export interface ProblemReport {
  readonly reason: Reason;
  readonly message: string;
  readonly since: string;
}

export interface AppReport {
  readonly mod: string;
  readonly env: string;
  readonly app: string;
  readonly revision: Revision;
  readonly digest: string;
  readonly state: State;
  readonly hosts: Record<"total" | "synced" | "pending" | "failed" | "unreachable" | "drifted", number>;
  readonly reason?: Reason;
  readonly message?: string;
}

export interface HostReport {
  readonly address: string;
  readonly port: number;
  readonly state: State;
  /** Why its last sync came by plain rsync, where most hosts get a batch; absent when it did not. */
  readonly fallback?: string;
  readonly apps: readonly AppOnHostReport[];
}

export interface AppOnHostReport {
  readonly app: AppKey;
  readonly state: State;
  readonly revision: Revision | null;
  readonly digest: string | null;
  readonly syncedAt: string | null;
  /** Since when the host lags behind Git; absent while it does not. */
  readonly lagSince?: string;
  readonly reason?: Reason;
  readonly message?: string;
  readonly failedAt?: string;
  readonly attempts?: number;
  /** Only of `verify`: its files, or some of them, were not compared; `reason` says why where that is known. */
  readonly notCompared?: true;
  /** Files that somebody else changed. `verify` says all of them, `status` the first ones, when there are any. */
  readonly files?: readonly FileReport[];
  /** How many they are in all, where not all are said. */
  readonly fileCount?: number;
  /** What of such files fssync laid its own over within the last day. */
  readonly replaced?: readonly ReplacedReport[];
}

export interface FileReport {
  /** Below the host's root, `/etc/nginx/nginx.conf`. */
  readonly path: string;
  readonly change: DriftChange;
  /** When it was first seen. */
  readonly since?: string;
  /** Its content is for nobody else: `.gitattributes` say so, or others may not read it. */
  readonly secret?: true;
  /** Where that was asked for and may be shown, the key of what Git and the host have. For the one who asks, not printed. */
  readonly contents?: string;
  /** Only of `verify --diff`: from Git's content to the host's, in the unified format; null when it is not shown. */
  readonly diff?: string | null;
  /** Why it is not. */
  readonly notShown?: string;
}

export interface ReplacedReport {
  readonly path: string;
  readonly change: DriftChange;
  readonly at: string;
  /** Where on the host its version was kept. */
  readonly kept?: string;
}

export interface ReportOptions {
  readonly suspended?: (app: AppKey, host: HostKey) => boolean;
  /** Who suspended it and why, where that is known. */
  readonly suspendedMessage?: ((app: AppKey, host: HostKey) => string | undefined) | undefined;
  /** Whether the repo itself is. */
  readonly repoSuspended?: boolean;
  /** Only these; all when absent. */
  readonly apps?: ReadonlySet<AppKey> | undefined;
  readonly hosts?: ReadonlySet<HostKey> | undefined;
}

/** What is wanted of an app, as the store or Git has it. */
export type DesiredOfApp = Pick<DesiredRecord, "key" | "revision"> & DesiredDigest;

/** How an app's hosts are counted: `pending` is whatever is under way or waits, `failed` includes conflicts. */
export const COUNTED_AS = {
  Failed: "failed",
  Conflict: "failed",
  Unreachable: "unreachable",
  Drifted: "drifted",
  Syncing: "pending",
  Pending: "pending",
  Suspended: "pending",
  Synced: "synced",
} as const satisfies Record<State, keyof AppReport["hosts"]>;

export function reportRepo(name: string, status: RepoStatus, options: ReportOptions = {}): RepoReport {
  const { suspended = () => false } = options;
  const states = new Map<AppKey, State[]>();
  const hosts: HostReport[] = [];
  for (const host of status.hosts.values()) {
    if (options.hosts && !options.hosts.has(host.key)) continue;
    const apps: AppOnHostReport[] = [];
    for (const [app, record] of host.apps) {
      const desired = status.apps.get(app);
      if (!desired || (options.apps && !options.apps.has(app))) continue;
      const state = stateOf(record, desired, suspended(app, host.key));
      apps.push(reportAppOnHost({ app, state, record, desired, why: options.suspendedMessage?.(app, host.key) }));
      const known = states.get(app);
      if (known) known.push(state);
      else states.set(app, [state]);
    }
    if (apps.length === 0) continue;
    const { address, port, fallback } = host;
    const state = worst(apps.map((app) => app.state));
    hosts.push({ address, port, state, ...(fallback === undefined ? {} : { fallback }), apps });
  }
  const apps = [...status.apps.values()]
    .filter(({ key }) => (!options.apps || options.apps.has(key)) && (!options.hosts || states.has(key)))
    .map((desired) => reportApp(desired, states.get(desired.key) ?? []));
  const { revision } = status.repo;
  const problems = status.repo.problems.map(reportProblem);
  return {
    name,
    revision,
    ...(options.repoSuspended ? { suspended: true } : {}),
    ...(problems.length > 0 ? { problems } : {}),
    apps,
    hosts,
  };
}

/** An app by the states that it has on its hosts. */
export function reportApp({ key, revision, digest, refused }: DesiredOfApp, states: readonly State[]): AppReport {
  const state = refused ? "Failed" : worst(states);
  return { ...appId(key), revision, digest, state, hosts: countStates(states), ...refused };
}

/** The states that an app has on its hosts, counted. */
export function countStates(states: readonly State[]): AppReport["hosts"] {
  const hosts = { total: states.length, synced: 0, pending: 0, failed: 0, unreachable: 0, drifted: 0 };
  for (const state of states) hosts[COUNTED_AS[state]] += 1;
  return hosts;
}

export interface AppOnHost {
  readonly app: AppKey;
  readonly state: State;
  readonly record: AppRecord;
  readonly desired: DesiredDigest;
  /** Who suspended it and why, where it is suspended and that is known. */
  readonly why: string | undefined;
}

export function reportAppOnHost({ app, state, record, desired, why }: AppOnHost): AppOnHostReport {
  const { revision, digest, syncedAt, lagSince, failure } = record;
  const common = {
    app,
    state,
    revision,
    digest,
    syncedAt: syncedAt === null ? null : isoTime(syncedAt),
    ...(lagSince === null ? {} : { lagSince: isoTime(lagSince) }),
    ...(record.drift ? reportDrift(record.drift) : {}),
  };
  if (desired.refused) return { ...common, ...desired.refused };
  if (!failure) return state === "Suspended" && why !== undefined ? { ...common, message: why } : common;
  const { reason, message, at, attempts } = failure;
  return { ...common, reason, message, failedAt: isoTime(at), attempts };
}

function reportDrift({ files, count, replaced }: Drift): Pick<AppOnHostReport, "files" | "fileCount" | "replaced"> {
  const drifted = files.map(({ path, change, since }) => ({ path: `/${path}`, change, since: isoTime(since) }));
  const laid = replaced.map(({ path, at, ...file }) => ({ ...file, path: `/${path}`, at: isoTime(at) }));
  return {
    ...(drifted.length > 0 ? { files: drifted } : {}),
    ...(count > drifted.length ? { fileCount: count } : {}),
    ...(laid.length > 0 ? { replaced: laid } : {}),
  };
}

export function reportProblem({ reason, message, since }: Problem): ProblemReport {
  return { reason, message, since: isoTime(since) };
}

export function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
