import type { AppKey } from "../model/app.ts";
import type { FileEntry } from "../model/manifest.ts";
import { parentFolders } from "../model/path.ts";
import type { HostChange } from "../ports/transport.ts";
import type { Ownership } from "./rsync-args.ts";

/** The runs that bring a change to a host, in this order. Empty ones are not made. */
export interface Passes {
  /** Paths that stand in the way of what is sent: a folder becomes a file, or a file a folder. */
  readonly clear: ReadonlyMap<AppKey, Clearing>;
  /** One run per ownership. */
  readonly sends: readonly Send[];
  /** All other deletes: after everything of the app has arrived. */
  readonly deletes: ReadonlyMap<AppKey, readonly string[]>;
  /** Deepest first; removed at the end when they are empty. */
  readonly emptyFolders: readonly string[];
}

export interface Clearing {
  readonly files: readonly string[];
  /** Deepest first; removed when they are empty then. */
  readonly folders: readonly string[];
}

export interface Send {
  readonly ownership: Ownership;
  readonly files: ReadonlyMap<AppKey, readonly FileEntry[]>;
}

/** `snapshotMode` tells the permission bits of a file in its snapshot; undefined when they are unknown. */
export function planPasses(change: HostChange, snapshotMode: (file: FileEntry) => number | undefined): Passes {
  const sent = new Set(change.apps.flatMap(({ send }) => send.map(({ path }) => path)));
  const sentParents = new Set([...sent].flatMap(parentFolders));
  const clear = new Map<AppKey, Clearing>();
  const deletes = new Map<AppKey, readonly string[]>();
  for (const { app, delete: paths } of change.apps) {
    // A path that another app sends now has only changed hands.
    const gone = paths.filter((path) => !sent.has(path));
    const inTheWay = gone.filter((path) => sentParents.has(path) || parentFolders(path).some((each) => sent.has(each)));
    const others = new Set(gone).difference(new Set(inTheWay));
    if (inTheWay.length > 0) clear.set(app, { files: inTheWay, folders: foldersInTheWay(inTheWay, sent) });
    if (others.size > 0) deletes.set(app, [...others]);
  }
  return { clear, sends: sendClasses(change, snapshotMode), deletes, emptyFolders: change.emptyFolders };
}

/** The folders that hold these files, up to and including the one that becomes a file. */
function foldersInTheWay(files: readonly string[], sent: ReadonlySet<string>): string[] {
  const folders = new Set<string>();
  for (const file of files) {
    const parents = parentFolders(file);
    const last = parents.findLastIndex((each) => sent.has(each));
    for (const folder of parents.slice(0, last + 1)) folders.add(folder);
  }
  return [...folders].toSorted((a, b) => depth(b) - depth(a));
}

function depth(path: string): number {
  return path.split("/").length;
}

function sendClasses(change: HostChange, snapshotMode: (file: FileEntry) => number | undefined): Send[] {
  const classes = new Map<string, { ownership: Ownership; files: Map<AppKey, FileEntry[]> }>();
  for (const { app, send } of change.apps) {
    for (const file of send) {
      const mode = file.kind === "symlink" || snapshotMode(file) === file.mode ? null : file.mode;
      const { owner, group } = file;
      const name = `${owner}:${group}:${mode}`;
      const found = classes.get(name) ?? { ownership: { owner, group, mode }, files: new Map<AppKey, FileEntry[]>() };
      classes.set(name, found);
      const files = found.files.get(app);
      if (files) files.push(file);
      else found.files.set(app, [file]);
    }
  }
  return [...classes.values()];
}
