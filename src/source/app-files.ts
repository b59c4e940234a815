import type { FileEntry, Refusal } from "../model/manifest.ts";
import { comparePaths, displayPath, encodePath, parentFolders } from "../model/path.ts";
import { type Attributes, type Ownership, ownership } from "./attributes.ts";
import { isNeverSent } from "./excluded.ts";
import type { AppFolder, Folder } from "./layout.ts";
import type { TreeEntry } from "./ls-tree.ts";

/** A file that counts: one that no other file of the app hides. */
export interface AppFile {
  /** On the host, without the leading slash. */
  readonly path: string;
  readonly entry: TreeEntry;
  readonly from: Folder;
}

export interface ResolvedFiles {
  /** Sorted by path. */
  readonly files: readonly FileEntry[];
  /** The first thing found that keeps the app from being sent. */
  readonly refused: (Refusal & { readonly path: string }) | null;
}

const NO_ATTRIBUTES: Attributes = {};
const NAME_MAX = 255;

/**
 * The app's own files over those of the overlay. Where a file of the one stands in the way of a
 * folder of the other, the app wins as well.
 */
export function appFiles(app: AppFolder): AppFile[] {
  const own = filesOf(app);
  if (app.overlay === null) return own.sort(byPath);
  const files = new Set(own.map((file) => file.path));
  const folders = new Set(own.flatMap((file) => parentFolders(file.path)));
  const hidden = ({ path }: AppFile) =>
    files.has(path) || folders.has(path) || parentFolders(path).some((folder) => files.has(folder));
  return [...own, ...filesOf(app.overlay).filter((file) => !hidden(file))].sort(byPath);
}

/**
 * Files with kind, owner, group and mode. A refused app keeps its list as far as it can be told, so
 * that whoever compares lists sees files and not deletes.
 */
export function resolveFiles(
  files: readonly AppFile[],
  attributes: ReadonlyMap<string, Attributes>,
  defaults: { owner: string; group: string },
): ResolvedFiles {
  let refused: ResolvedFiles["refused"] = null;
  const refuse = (reason: Refusal["reason"], { entry }: AppFile, why: string) => {
    refused ??= { reason, message: `${displayPath(entry.path)}: ${why}`, path: entry.path };
  };
  const entries: FileEntry[] = [];
  for (const file of files) {
    if (file.entry.type === "commit") {
      refuse("UnsupportedFile", file, "a submodule cannot be sent");
      continue;
    }
    const wrong = wrongPath(file.path);
    if (wrong !== undefined) {
      refuse("InvalidPath", file, wrong);
      continue;
    }
    const said = attributes.get(file.entry.path) ?? NO_ATTRIBUTES;
    if (said.filter === "lfs") refuse("LfsPointer", file, "is a Git LFS pointer, not the file's content");
    let owned = ownership(said, defaults);
    if (typeof owned === "string") {
      refuse("InvalidAttributes", file, owned);
      owned = { ...defaults, mode: undefined };
    }
    entries.push(fileEntry(file, owned, said.secret !== undefined));
  }
  return { files: entries, refused };
}

function fileEntry({ path, entry, from }: AppFile, { owner, group, mode }: Ownership, secret: boolean): FileEntry {
  const kind = entry.mode === "120000" ? "symlink" : "file";
  const fromGit = entry.mode === "100755" ? 0o755 : 0o644;
  return {
    path,
    kind,
    blob: entry.id,
    tree: from.tree,
    from: from.path,
    owner,
    group,
    mode: kind === "symlink" ? 0o777 : (mode ?? fromGit),
    ...(secret && { secret }),
  };
}

function filesOf(folder: Folder): AppFile[] {
  const files: AppFile[] = [];
  for (const entry of folder.entries) {
    const path = entry.path.slice(folder.path.length + 1);
    if (!isNeverSent(path)) files.push({ path, entry, from: folder });
  }
  return files;
}

function wrongPath(path: string): string | undefined {
  for (const name of path.split("/")) {
    if (name === "" || name === "." || name === "..") return "a part of the path is empty, `.` or `..`";
    // A UTF-16 unit is three bytes at most: short names need no counting.
    if (name.length > NAME_MAX / 3 && encodePath(name).length > NAME_MAX) return "a name in the path is too long";
  }
  return undefined;
}

function byPath(a: AppFile, b: AppFile): number {
  return comparePaths(a.path, b.path);
}
