import type { AppKey } from "../model/app.ts";
import { REASONS, type FssyncError } from "../model/errors.ts";
import { hostKey, type HostKey } from "../model/host.ts";
import { worst } from "../model/state.ts";
import { byChange, isSecret, type FoundDrift } from "./drift.ts";
import {
  countStates,
  type AppOnHostReport,
  type AppReport,
  type FileReport,
  type RepoReport,
} from "./status-report.ts";

/** What was seen of one app on one host. */
export interface Seen {
  readonly files: readonly SeenFile[];
  /** Why it, or some of it, could not be looked at. */
  readonly error: FssyncError | null;
}

export interface SeenFile extends FoundDrift {
  readonly contents?: string;
}

/** What Git and a host have of one file. */
export interface ContentPair {
  readonly git: Buffer;
  readonly host: Buffer;
}

/** The same in base64. */
export interface ContentReport {
  readonly git: string;
  readonly host: string;
}

/** What files of reports name, by their keys. */
export type ContentReports = Readonly<Record<string, ContentReport>>;

export function reportContents(contents: Iterable<readonly [key: string, pair: ContentPair]>): ContentReports {
  return Object.fromEntries(
    [...contents].map(([key, { git, host }]) => [key, { git: git.toString("base64"), host: host.toString("base64") }]),
  );
}

export type SeenOnHosts = ReadonlyMap<HostKey, { readonly apps: ReadonlyMap<AppKey, Seen> }>;

/**
 * The report with every file that is not as it should be, and with what the look says now instead of what the
 * last attempt said. What nobody looked at is never told as equal.
 */
export function reportVerified(report: RepoReport, seen: SeenOnHosts): RepoReport {
  const hosts = report.hosts.map((host) => {
    const found = seen.get(hostKey(host.address, host.port));
    const apps = host.apps.map((app) => reportSeen(app, found?.apps.get(app.app)));
    return { ...host, state: worst(apps.map(({ state }) => state)), apps };
  });
  const onHosts = Map.groupBy(
    hosts.flatMap(({ apps }) => apps),
    ({ app }) => app,
  );
  return { ...report, apps: report.apps.map((app) => recount(app, onHosts)), hosts };
}

function recount(app: AppReport, onHosts: ReadonlyMap<AppKey, readonly AppOnHostReport[]>): AppReport {
  const states = (onHosts.get(`${app.mod}/${app.env}/${app.app}`) ?? []).map(({ state }) => state);
  return { ...app, state: app.reason ? app.state : worst(states), hosts: countStates(states) };
}

function reportSeen({ files: known = [], ...app }: AppOnHostReport, seen: Seen | undefined): AppOnHostReport {
  const now = without(app, "fileCount");
  if (!seen) return { ...now, files: [], notCompared: true };
  const since = new Map(known.map((file) => [file.path, file.since]));
  const files = seen.files.toSorted(byChange).map((file) => reportFile(file, since.get(`/${file.entry.path}`)));
  if (seen.error) return { ...withError(now, seen.error), files, notCompared: true };
  return { ...withoutError(now, files.length > 0), files };
}

/** Why it cannot be looked at now is newer than whatever the last attempt met. */
function withError(app: AppOnHostReport, { reason, message }: FssyncError): AppOnHostReport {
  const known = app.reason === reason ? app : without(app, "failedAt", "attempts");
  return { ...known, state: REASONS[reason].state, reason, message };
}

/** A host that answered is not unreachable any more, whatever the last attempt met. */
function withoutError(app: AppOnHostReport, drifted: boolean): AppOnHostReport {
  const state = drifted ? "Drifted" : "Synced";
  if (app.state === "Synced" || app.state === "Drifted") return { ...app, state };
  if (app.state !== "Unreachable") return app;
  return { ...without(app, "reason", "message", "failedAt", "attempts"), state: app.lagSince ? "Pending" : state };
}

function without(app: AppOnHostReport, ...fields: readonly Absent[]): AppOnHostReport {
  const next: { -readonly [Field in keyof AppOnHostReport]: AppOnHostReport[Field] } = { ...app };
  for (const field of fields) delete next[field];
  return next;
}

type Absent = "fileCount" | "reason" | "message" | "failedAt" | "attempts";

function reportFile(file: SeenFile, since: string | undefined): FileReport {
  const { entry, change, contents } = file;
  return {
    path: `/${entry.path}`,
    change,
    ...(since === undefined ? {} : { since }),
    ...(isSecret(file) ? { secret: true } : {}),
    ...(contents === undefined ? {} : { contents }),
  };
}
