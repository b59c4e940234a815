import type { AppId, AppKey } from "./app.ts";
import type { Revision } from "./revision.ts";
import type { Reason } from "./errors.ts";

/** One file of an app as it must be on a host. */
export interface FileEntry {
  /** Relative to the host's root, without a leading slash; see `decodePath`. */
  readonly path: string;
  readonly kind: "file" | "symlink";
  /** Git blob id. */
  readonly blob: string;
  /** Id of the tree whose snapshot holds the file at `path`: the app's or the overlay's. */
  readonly tree: string;
  /** Folder of the repo the file comes from: `mod/env/app` or `mod/env/<overlay>`. */
  readonly from: string;
  readonly owner: string;
  readonly group: string;
  /** Permission bits. */
  readonly mode: number;
  /** Set by the attribute `secret`: its content is shown to nobody. It does not count for the digest. */
  readonly secret?: true;
}

/** The files of an app, overlay included, sorted by path, each path once. */
export type Manifest = readonly FileEntry[];

/** SHA-256 in hex over tree, overlay and resolved attributes of an app. Same content, same digest. */
export type Digest = string;

/** What one app shall look like at one commit. */
export interface DesiredApp extends AppId {
  readonly key: AppKey;
  readonly tree: string;
  readonly overlay: string | null;
  readonly digest: Digest;
  /** The revision this was read at. */
  readonly revision: Revision;
  readonly manifest: Manifest;
  /** Set when the app cannot be sent as it is in Git: nothing of it is. */
  readonly refused?: Refusal;
  /** Set when Git no longer holds the app and hosts still do: its manifest is empty. */
  readonly retired?: true;
}

export interface Refusal {
  readonly reason: Reason;
  readonly message: string;
}
