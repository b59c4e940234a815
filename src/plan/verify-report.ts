import type { AppKey } from "../model/app.ts";
import { REASONS, type FssyncError } from "../model/errors.ts";
import { hostKey, type HostKey } from "../model/host.ts";
import { worst } from "../model/state.ts";
import { byChange, type FoundDrift } from "./drift.ts";
import type { AppOnHostReport, FileReport, RepoReport } from "./status-report.ts";

/** What was seen of one app on one host. */
export interface Seen {
  readonly files: readonly (FoundDrift & { readonly contents?: { readonly git: Buffer; readonly host: Buffer } })[];
  /** Why it could not be looked at. */
  readonly error: FssyncError | null;
}

export type SeenOnHosts = ReadonlyMap<HostKey, { readonly apps: ReadonlyMap<AppKey, Seen> }>;

/** The report of what was looked at, with every file that is not as it should be; of hosts that nobody looked at nothing. */
export function reportVerified(report: RepoReport, seen: SeenOnHosts): RepoReport {
  const hosts = report.hosts.flatMap((host) => {
    const found = seen.get(hostKey(host.address, host.port));
    if (!found) return [];
    const apps = host.apps.map((app) => reportApp(app, found.apps.get(app.app)));
    return [{ ...host, state: worst(apps.map(({ state }) => state)), apps }];
  });
  return { ...report, hosts };
}

function reportApp(app: AppOnHostReport, seen: Seen | undefined): AppOnHostReport {
  if (!seen) return { ...app, files: [] };
  const known = new Map(app.files?.map((file) => [file.path, file.since]));
  const files = seen.files.toSorted(byChange).map(({ entry, change, contents }): FileReport => {
    const path = `/${entry.path}`;
    const since = known.get(path);
    return {
      path,
      change,
      ...(since === undefined ? {} : { since }),
      ...(contents && {
        contents: { git: contents.git.toString("base64"), host: contents.host.toString("base64") },
      }),
    };
  });
  // An app that was never synced has no record that says why it could not be looked at.
  if (!seen.error || app.reason) return { ...app, files };
  const { reason, message } = seen.error;
  return { ...app, state: REASONS[reason].state, reason, message, files };
}
