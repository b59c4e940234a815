import type { AppKey } from "../model/app.ts";
import type { FssyncError } from "../model/errors.ts";
import type { Host } from "../model/host.ts";
import type { FileEntry } from "../model/manifest.ts";

/** Brings changes to hosts. It knows hosts and prepared changes; how they travel is its own matter. */
export interface Transport extends AsyncDisposable {
  /** To hosts, that are open or being opened. */
  readonly connections: number;
  /** Does once what all hosts of a group share. Throws ControllerNoSpace. Dispose it when the last host is done. */
  prepare(change: HostChange): Promise<PreparedChange>;
  /**
   * Brings one prepared change to one host. Resolves with the outcome of every app in the change:
   * null when its files are on the host as they should be, else why not. It never rejects: what
   * goes wrong on the controller is an outcome too. When the signal aborts, or after `timeout`
   * milliseconds, everything it started has ended before it resolves.
   */
  apply(host: Host, change: PreparedChange, options: WorkOptions): Promise<Applied>;
  /**
   * What lies on the host at these paths, in their order; one remote command that writes nothing and moves
   * no content. The same list object may be given for many hosts: what can be made once is. Throws what
   * concerns the host as a whole, and ProtocolError when its answer cannot be understood.
   */
  inspect(host: Host, files: readonly InspectedFile[], options: WorkOptions): Promise<readonly FileFact[]>;
  /**
   * The content of these files, in their order; null for what is no plain file, is larger than `limit`
   * bytes, or cannot be read. Throws as `inspect` does.
   */
  read(
    host: Host,
    paths: readonly string[],
    options: WorkOptions & { limit: number },
  ): Promise<readonly (Buffer | null)[]>;
  /**
   * It may work for so long from now on, unless allowed again; then everything that it started is
   * ended, even if this process is stopped, and `apply` is Interrupted. Never called: no limit.
   */
  allow?(milliseconds: number): void;
}

export interface WorkOptions {
  /** Milliseconds. */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

export type Outcome = ReadonlyMap<AppKey, FssyncError | null>;

export interface Applied {
  readonly outcome: Outcome;
  /** What of `AppChange.replaces` had been changed by somebody else, also when the app failed then. */
  readonly replaced: ReadonlyMap<AppKey, readonly FoundReplaced[]>;
  /** In a few words, why this host did not get it the way that is meant for all; absent when it did. */
  readonly fallback?: string;
}

export interface FoundReplaced {
  readonly path: string;
  /**
   * Absolute path on the host where its version is now; absent when it was not to be kept, or is a folder or a
   * device. A change that fails again and again finds the same file each time: the path is the same then.
   */
  readonly kept?: string;
}

/** A path to look at. */
export interface InspectedFile extends Pick<FileEntry, "path"> {
  /** Bytes: a larger file is another one, and is not read for its checksum. */
  readonly maxSize?: number;
}

/** What lies at a path. `other`: a folder, a device and the like. `unseen`: the login may not look there. */
export type FileFact =
  | { readonly kind: "missing" }
  | { readonly kind: "unseen" }
  | { readonly kind: "other" }
  | (Attributes & {
      readonly kind: "file";
      /** Permission bits. */
      readonly mode: number;
      /** SHA-256 in hex; null when the login may not read the file; empty, as no content has it, when it is larger than `maxSize`. */
      readonly checksum: string | null;
    })
  | (Attributes & {
      readonly kind: "symlink";
      /** SHA-256 in hex of its target. */
      readonly checksum: string;
    });

/** Names as the host knows them; a number that has no name there is written as that number. */
interface Attributes {
  readonly owner: string;
  readonly group: string;
  readonly uid: number;
  readonly gid: number;
}

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
  /** How many versions of a file that somebody else had changed are kept on the host; 0 when absent. */
  readonly keepVersions?: number;
}

export interface AppChange {
  readonly app: AppKey;
  readonly send: readonly FileEntry[];
  /** Paths that an earlier sync put there. A path that is gone already is no error. */
  readonly delete: readonly string[];
  /**
   * Of what is sent and deleted, the files that earlier syncs put there. One that is none of the versions
   * named was changed by somebody else: before anything is sent it is kept and told. What is missing is not.
   */
  readonly replaces?: readonly KnownFile[];
}

export interface KnownFile {
  readonly path: string;
  /** SHA-256 in hex of every content (of every target, of a symlink) that it may have; that of the last sync first. */
  readonly checksums: readonly string[];
  /** Bytes of the largest of them: a larger file is another one, and is not read for its checksum. */
  readonly maxSize?: number;
}

/** Made by `prepare`, understood only by the transport that made it. */
export interface PreparedChange extends AsyncDisposable {
  readonly change: HostChange;
}
