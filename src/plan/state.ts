import { REASONS, type Reason } from "../model/errors.ts";
import type { Digest, Refusal } from "../model/manifest.ts";
import type { AppRecord } from "../model/record.ts";
import type { State } from "../model/state.ts";

/** What counts of an app's desired side for the state of a host. */
export interface DesiredDigest {
  readonly digest: Digest;
  readonly refused?: Refusal | null;
}

/**
 * Whether the host does not have what Git has. The one comparison everything rests on. A host on which
 * a sync was begun and not finished may have some files of it, so it lags too.
 */
export function lags(record: AppRecord | undefined, desired: DesiredDigest): boolean {
  return record?.digest !== desired.digest || isUnfinished(record);
}

/** Whether somebody was seen to have changed files there since they were synced. */
export function isDrifted({ drift }: AppRecord): boolean {
  return (drift?.count ?? 0) > 0;
}

/** Whether a sync was begun there, or may have been, and not finished. */
export function isUnfinished({ unfinished, suspected = [] }: AppRecord): boolean {
  return unfinished.length + suspected.length > 0;
}

/** Whether a look at the host can be of use: it lags, or shows a failure that may be over. */
export function needsReconcile(record: AppRecord | undefined, desired: DesiredDigest): boolean {
  return lags(record, desired) || (record !== undefined && record.failure !== null);
}

/** Of these, whether a sync can be. */
export function needsSync(record: AppRecord | undefined, desired: DesiredDigest): boolean {
  return lags(record, desired) || (needsReconcile(record, desired) && !needsLook(record));
}

/** Whether nothing but a look at what was synced can tell if its failure is over. */
export function needsLook(record: AppRecord | undefined): boolean {
  return record?.failure?.verifying === true;
}

/** Whether it says that the host did not answer, or not in time: the next attempt takes long too. */
export function isDown(reason: Reason): boolean {
  return REASONS[reason].state === "Unreachable" || reason === "SyncTimeout";
}

/** The state of one app on one host, derived: only facts are stored. */
export function stateOf(record: AppRecord | undefined, desired: DesiredDigest, suspended = false): State {
  if (desired.refused) return "Failed";
  if (record?.failure) return record.failure.state;
  if (!lags(record, desired)) return record && isDrifted(record) ? "Drifted" : "Synced";
  if (suspended) return "Suspended";
  return record?.syncingSince ? "Syncing" : "Pending";
}
