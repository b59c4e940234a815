import type { AppKey } from "../model/app.ts";
import type { DesiredApp, Digest, Manifest, Refusal } from "../model/manifest.ts";
import type { Revision } from "../model/revision.ts";

/** Desired state: one branch of one repo. All errors thrown are `FssyncError`. */
export interface GitSource extends AsyncDisposable {
  /**
   * Asks the remote for the branch (one ls-remote round trip) and fetches only when it moved.
   * Returns the newest commit now in the mirror. Throws FetchFailed, BranchMissing, SecretInvalid,
   * ControllerNoSpace; a damaged mirror is cloned again aside and swapped.
   */
  poll(signal: AbortSignal): Promise<string>;
  /** The newest commit fetched in this or an earlier run; null when there is none. Asks nobody. */
  head(): Promise<string | null>;
  /** Every app at one commit. Throws EmptyTree when there is none. */
  discover(commit: string): Promise<Discovery>;
  /** One app as it was at an earlier commit; null when the commit, or the app in it, is not there any more. */
  appAt(app: AppKey, commit: string): Promise<BaseApp | null>;
  /** The files of a folder `mod/env/name` by themselves, be it an app or an overlay; null when there is none. */
  folderAt(folder: AppKey, commit: string): Promise<Manifest | null>;
  /** Folder in which `<tree id>/<path>` lies for every snapshot. */
  readonly snapshotRoot: string;
  /**
   * Makes sure that the snapshots of these trees lie in `snapshotRoot`. They stay until `collect`
   * is told that nobody needs them. Throws LfsPointer, SourceUnavailable, ControllerNoSpace.
   */
  materialize(trees: Iterable<string>): Promise<void>;
  /**
   * SHA-256 in hex of the content of each blob, which is what `sha256sum` says of the file; of a symlink it
   * is that of its target. Throws SourceUnavailable.
   */
  checksums(blobs: Iterable<string>): Promise<ReadonlyMap<string, string>>;
  /** Bytes of each of these blobs. Throws as `checksums` does, and costs nothing after it. */
  sizes(blobs: Iterable<string>): Promise<ReadonlyMap<string, number>>;
  /** The content of a blob; null when it has more than `limit` bytes. Throws SourceUnavailable. */
  content(blob: string, limit: number): Promise<Buffer | null>;
  /**
   * The contents of these blobs one after the other, in pieces of which none spans two. Each is read when it is asked
   * for; whoever stops asking ends the reading. Throws SourceUnavailable.
   */
  read(blobs: Iterable<string>): AsyncGenerator<Buffer, void, undefined>;
  /** Whether the commit is the newest one or below it: what was force-pushed away is not. Asks nobody. */
  contains(commit: string): Promise<boolean>;
  /**
   * The commits that changed files of the app or what is said of them (overlay, .gitattributes), newest first:
   * from the newest commit downwards, or from another that is in the mirror. At most 100. Throws SourceUnavailable.
   */
  history(app: AppKey, limit: number, from?: string): Promise<readonly CommitInfo[]>;
  /** Keeps the objects of these commits through any force-push and `git gc`. */
  pin(commits: Iterable<string>): Promise<void>;
  /** Removes the snapshots that are not listed, and so the pins, once there are enough of those. */
  collect(keep: { trees: ReadonlySet<string>; commits: ReadonlySet<string> }): Promise<void>;
}

export interface Discovery {
  readonly commit: string;
  readonly revision: Revision;
  readonly apps: ReadonlyMap<AppKey, DesiredApp>;
  /** What is in the tree but belongs to no app, or is refused; for `validate` and the log. */
  readonly warnings: readonly (Refusal & { readonly path: string })[];
}

export interface BaseApp {
  readonly digest: Digest;
  readonly manifest: Manifest;
  /** Set when it could not be sent as it was. */
  readonly refused?: Refusal;
}

export interface CommitInfo {
  readonly commit: string;
  readonly revision: Revision;
  /** The author's name; no e-mail address. */
  readonly author: string;
  /** When it was committed. Milliseconds since the epoch. */
  readonly at: number;
  /** First line of the message, cut, without control characters. */
  readonly subject: string;
}
