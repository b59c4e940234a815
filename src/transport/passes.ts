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
  /**
   * `top//rest` where a folder `top` holds the file and shall be something else: a symlink at `top`, or
   * between, is what came of an unfinished sync, and what it leads to is not ours.
   */
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
  const gone = new Set(change.apps.flatMap((app) => app.delete)).difference(sent);
  const goneParents = new Set([...gone].flatMap(parentFolders));
  // Sent or gone: where a path stands above another one, only one of the two can be on the host.
  const tops = sent.union(gone);
  for (const { app, delete: paths } of change.apps) {
    // A path that another app sends now has only changed hands.
    const mine = paths.filter((path) => gone.has(path));
    const inTheWay = mine.filter(
      (path) => sentParents.has(path) || goneParents.has(path) || topOf(path, tops) !== undefined,
    );
    const others = new Set(mine).difference(new Set(inTheWay));
    if (inTheWay.length > 0) clear.set(app, clearing(inTheWay, tops));
    if (others.size > 0) deletes.set(app, [...others]);
  }
  return { clear, sends: sendClasses(change, snapshotMode), deletes, emptyFolders: change.emptyFolders };
}

/** The outermost of these paths that stands above `path`. */
export function topOf(path: string, tops: ReadonlySet<string>): string | undefined {
  return parentFolders(path).findLast((folder) => tops.has(folder));
}

/** With the folders that hold these files, up to and including the one that becomes something else. */
function clearing(paths: readonly string[], tops: ReadonlySet<string>): Clearing {
  const folders = new Set<string>();
  const files = paths.map((path) => {
    const top = topOf(path, tops);
    if (top === undefined) return path;
    for (const folder of parentFolders(path)) if (folder.length >= top.length) folders.add(folder);
    return `${top}//${path.slice(top.length + 1)}`;
  });
  return { files, folders: [...folders].toSorted((a, b) => depth(b) - depth(a)) };
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
  // Where an account may be missing on the host, that is found out before anything else is sent.
  return [...classes.values()].toSorted((a, b) => Number(needsNoAccount(a)) - Number(needsNoAccount(b)));
}

function needsNoAccount({ ownership: { owner, group } }: Send): boolean {
  return [owner, group].every((name) => name === "root" || /^\d+$/.test(name));
}
