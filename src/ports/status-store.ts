import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import type { DesiredRecord, HostRecord, RepoRecord } from "../model/record.ts";

/** Observed state, durable. Keys of different repos never meet. */
export interface StatusStore extends AsyncDisposable {
  /** Everything known of a repo; empty for one never seen. */
  load(repo: string): Promise<RepoStatus>;
  /** Names of the repos that have anything stored. */
  repos(): Promise<string[]>;
  /**
   * Applies one change as a whole; resolves when it is durable, or when the store has taken it upon
   * itself to write it as soon as its server answers again. Changes are applied in the order of the
   * calls. When it rejects, nothing of the change was stored.
   */
  save(repo: string, change: StatusChange): Promise<void>;
  /**
   * Notes that the newest revision in `unfinished` of these apps is about to be sent to the host: called
   * before the first byte, resolves when it is durable. `load` then gives the revision among the host's
   * `unfinished`, or `suspected`, until a later record of the host is saved. Another host of the app may
   * show it among its `suspected` too: a store may note it once for all.
   */
  begin(repo: string, host: HostRecord, apps: ReadonlySet<AppKey>): Promise<void>;
  /** Forgets a repo. */
  remove(repo: string): Promise<void>;
}

export interface RepoStatus {
  readonly repo: RepoRecord;
  readonly apps: ReadonlyMap<AppKey, DesiredRecord>;
  readonly hosts: ReadonlyMap<HostKey, HostRecord>;
}

/** Each part is optional; what is not named stays as it is. */
export interface StatusChange {
  readonly repo?: RepoRecord;
  /** A record to put, or null to remove. */
  readonly apps?: ReadonlyMap<AppKey, DesiredRecord | null>;
  /** A host's record replaces the one before as a whole, all its apps; null removes the host. */
  readonly hosts?: ReadonlyMap<HostKey, HostRecord | null>;
}
