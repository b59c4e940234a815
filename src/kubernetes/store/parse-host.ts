import { z } from "zod";
import { AppOnHost, ConfigHostSpec, ConfigHostStatus, type Condition } from "../../config/resources.ts";
import type { AppKey } from "../../model/app.ts";
import { REASONS, type Reason } from "../../model/errors.ts";
import { hostKey } from "../../model/host.ts";
import type { AppRecord, Failure, HostRecord } from "../../model/record.ts";
import type { Revision } from "../../model/revision.ts";
import type { State } from "../../model/state.ts";
import { configHostName, type Resource } from "../objects.ts";
import { readDrift, StoredDrift } from "./stored-drift.ts";
import { textApp, textRevision, textTime } from "./text.ts";

// Keys that are not known are passed over: a newer fssync may have written them.
const StoredSpec = z.object(ConfigHostSpec.shape);
const StoredStatus = z.object({
  ...ConfigHostStatus.shape,
  apps: z.array(z.object({ ...AppOnHost.shape, drift: StoredDrift })).optional(),
});

export interface StoredHost {
  readonly record: HostRecord;
  /** What users see; the record holds for its own root. */
  readonly spec: Pick<ConfigHostSpec, "root" | "user">;
  /** Number of the last attempt that the record of each app covers. */
  readonly covered: ReadonlyMap<AppKey, number>;
  readonly conditions: readonly Condition[];
  readonly state: State | undefined;
  /** Entries that name no app: passed over. */
  readonly unreadable: readonly string[];
}

/** Reads a ConfigHost. Null when it holds no record yet; throws when it is not as the store writes them. */
export function parseHost({ metadata, spec, status }: Resource, repo: string, intern = same): StoredHost | null {
  const { address, port, root: specRoot, user } = StoredSpec.parse(spec);
  if (metadata?.name !== configHostName(repo, { address, port })) {
    throw new Error(`its name does not belong to ${address} port ${port}`);
  }
  const { apps, root = specRoot, fallback, conditions = [], state } = StoredStatus.parse(status ?? {});
  if (apps === undefined) return null;
  const unreadable: string[] = [];
  const records: (readonly [AppKey, AppOnHost])[] = [];
  for (const app of apps) {
    const key = appOrNull(app.app);
    if (key === null) unreadable.push(app.app);
    else records.push([intern(key) as AppKey, app]);
  }
  if (new Set(records.map(([key]) => key)).size < records.length) throw new Error("it names an app twice");
  return {
    record: {
      key: hostKey(address, port),
      address,
      port,
      root,
      ...(user === undefined ? {} : { user }),
      ...(fallback === undefined ? {} : { fallback }),
      apps: new Map(records.map(([key, app]) => [key, appRecord(app, intern)])),
    },
    spec: { root: specRoot, ...(user === undefined ? {} : { user }) },
    covered: new Map(records.map(([key, { attempt = 0 }]) => [key, attempt])),
    conditions,
    state,
    unreadable,
  };
}

function appRecord(app: AppOnHost, intern: (text: string) => string): AppRecord {
  const { digest, syncedAt, unfinished = [], lagSince, syncingSince } = app;
  const revision = textRevision(app.revision);
  const begun = unfinished.map(textRevision).filter((each) => each !== undefined);
  // What names no commit tells nothing of what lies on the host: never synced, so that everything is sent.
  const known = (revision !== undefined || app.revision === undefined) && begun.length === unfinished.length;
  const drift = app.drift && readDrift(app.drift);
  return {
    digest: digest === undefined || !known ? null : intern(digest),
    revision: revision === undefined || !known ? null : (intern(revision) as Revision),
    syncedAt: timeOrNull(syncedAt),
    unfinished: begun.map((each) => intern(each) as Revision),
    lagSince: timeOrNull(lagSince),
    failure: failureOf(app),
    syncingSince: timeOrNull(syncingSince),
    ...(drift && { drift }),
  };
}

function failureOf({ reason, message = "", failedState, ...rest }: AppOnHost): Failure | null {
  if (reason === undefined) return null;
  const { failedAt, attempts = 1, verifying } = rest;
  const known: Reason = Object.hasOwn(REASONS, reason) ? (reason as Reason) : "Internal";
  return {
    state: failedState ?? REASONS[known].state,
    reason: known,
    message,
    at: failedAt === undefined ? 0 : textTime(failedAt),
    attempts,
    ...(verifying && { verifying: true }),
  };
}

function appOrNull(text: string): AppKey | null {
  try {
    return textApp(text);
  } catch {
    return null;
  }
}

function timeOrNull(time: string | undefined): number | null {
  return time === undefined ? null : textTime(time);
}

function same(text: string): string {
  return text;
}
