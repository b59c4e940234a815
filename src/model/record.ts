import type { AppKey } from "./app.ts";
import type { Drift } from "./drift.ts";
import type { Reason } from "./errors.ts";
import type { HostKey } from "./host.ts";
import type { Digest, Refusal } from "./manifest.ts";
import type { Revision } from "./revision.ts";
import type { State } from "./state.ts";

/** What the status store keeps. Times are milliseconds since the epoch. */

/** One app on one host. */
export interface AppRecord {
  /** What the host last synced: the base of the next change. Null when it never did. */
  readonly digest: Digest | null;
  /** The revision `digest` was sent from. */
  readonly revision: Revision | null;
  readonly syncedAt: number | null;
  /**
   * Revisions whose sync was begun since `digest` and not finished: written before the first byte is
   * sent, so that a partial transfer is never forgotten, whatever Git says by the next attempt. Oldest first.
   */
  readonly unfinished: readonly Revision[];
  /**
   * Revisions whose sync may have been begun, and may not: a store that notes attempts once for all
   * hosts of an app cannot tell after a crash. They count as `unfinished` for what is sent; nothing is
   * deleted on their account. Oldest first.
   */
  readonly suspected?: readonly Revision[];
  /** Since when the host lags behind Git for this app; null while it does not, or when nothing was written since. */
  readonly lagSince: number | null;
  /** The last attempt's failure; null after a success. */
  readonly failure: Failure | null;
  /** When a sync that takes long began; null when none runs. Never trusted across a restart. */
  readonly syncingSince: number | null;
  /** What somebody else changed of what was synced; absent when nothing of that is known. */
  readonly drift?: Drift;
}

export interface Failure {
  readonly state: Extract<State, "Failed" | "Unreachable" | "Conflict">;
  readonly reason: Reason;
  /** The first useful line, without secrets and control characters. */
  readonly message: string;
  readonly at: number;
  /** Attempts in a row that failed. */
  readonly attempts: number;
  /** Set when it was a look at what was synced that failed, and no sync: only another look can tell that it is over. */
  readonly verifying?: true;
}

export interface HostRecord {
  readonly key: HostKey;
  readonly address: string;
  readonly port: number;
  /** Where the records hold: under another root the host has nothing. */
  readonly root: string;
  /**
   * Login as the inventory said last. A store that is read by processes without a disk in common keeps it:
   * to them its hosts are the last good answer of the inventory.
   */
  readonly user?: string;
  /** Why the host got its last sync by plain rsync, where most get a batch; absent when it did not. */
  readonly fallback?: string;
  readonly apps: ReadonlyMap<AppKey, AppRecord>;
}

/** The desired side as it was last seen, so that `status` needs nothing but the store. */
export interface DesiredRecord {
  readonly key: AppKey;
  readonly digest: Digest;
  /** The revision at which this digest was first seen. */
  readonly revision: Revision;
  readonly seenAt: number;
  readonly refused: Refusal | null;
}

export interface RepoRecord {
  readonly revision: Revision | null;
  /** What is wrong with the repo's Git or inventory now; empty when nothing is. */
  readonly problems: readonly Problem[];
}

export interface Problem {
  readonly reason: Reason;
  readonly message: string;
  readonly since: number;
}
