import type { AppKey } from "../model/app.ts";
import type { FssyncError } from "../model/errors.ts";
import type { Host } from "../model/host.ts";
import type { FileEntry } from "../model/manifest.ts";

/** Brings changes to hosts. It knows hosts and prepared changes; how they travel is its own matter. */
export interface Transport extends AsyncDisposable {
  /** Does once what all hosts of a group share. Throws ControllerNoSpace. Dispose it when the last host is done. */
  prepare(change: HostChange): Promise<PreparedChange>;
  /**
   * Brings one prepared change to one host. Resolves with the outcome of every app in the change:
   * null when its files are on the host as they should be, else why not. It never rejects: what
   * goes wrong on the controller is an outcome too. When the signal aborts, or after `timeout`
   * milliseconds, everything it started has ended before it resolves.
   */
  apply(host: Host, change: PreparedChange, options: { timeout: number; signal: AbortSignal }): Promise<Outcome>;
  /**
   * It may work for so long from now on, unless allowed again; then everything that it started is
   * ended, even if this process is stopped, and `apply` is Interrupted. Never called: no limit.
   */
  allow?(milliseconds: number): void;
}

export type Outcome = ReadonlyMap<AppKey, FssyncError | null>;

/** What a group of hosts needs: the same bytes, whoever they are. */
export interface HostChange {
  /** Folder in which `<tree id>/<path>` lies for every file to send. */
  readonly snapshotRoot: string;
  readonly apps: readonly AppChange[];
  /**
   * Folders, deepest first, that no app claims any more: removed when they are empty after the deletes,
   * left alone when not.
   */
  readonly emptyFolders: readonly string[];
}

export interface AppChange {
  readonly app: AppKey;
  readonly send: readonly FileEntry[];
  /** Paths that an earlier sync put there. A path that is gone already is no error. */
  readonly delete: readonly string[];
}

/** Made by `prepare`, understood only by the transport that made it. */
export interface PreparedChange extends AsyncDisposable {
  readonly change: HostChange;
}
