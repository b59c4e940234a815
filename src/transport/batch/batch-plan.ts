import { createHash } from "node:crypto";
import type { FileEntry } from "../../model/manifest.ts";
import { encodePath, parentFolders } from "../../model/path.ts";
import type { HostChange, KnownFile } from "../../ports/transport.ts";
import { hiddenPaths } from "../hidden-paths.ts";
import type { Passes, Send } from "../passes.ts";
import type { Ownership } from "../rsync-args.ts";
import { writeOptions } from "./batch-args.ts";
import type { Content, Contents } from "./contents.ts";

/** What a host is asked to do: the same for all hosts of a group. Paths begin with `./`. */
export interface BatchPlan {
  readonly replaced: Replaced;
  readonly classes: readonly BatchClass[];
  readonly deletes: readonly string[];
  /** Deepest first. */
  readonly emptyFolders: readonly string[];
  /** Folders that lead to any of the paths. */
  readonly parents: readonly string[];
  /** Bytes of files that a host may have already, for all that is known of it. */
  readonly maybeThere: number;
  /** Whether it has checksums that not everybody on the host may read. */
  readonly isHidden: boolean;
}

/** Files that earlier syncs put there. What is said of them has the form of sha256sum's lines, in the order of the paths. */
export interface Replaced {
  readonly paths: readonly string[];
  readonly synced: string;
  /** As they shall be; no line of it is true of a file that is to be deleted. */
  readonly desired: string;
  /** Lines of other versions that are nobody's change either. */
  readonly others: string;
}

/** The files of one batch: plain ones in the order of their modes, then symlinks. */
export interface BatchClass {
  readonly ownership: Ownership;
  readonly plain: readonly string[];
  readonly links: readonly string[];
  /** What sha256sum shall say of them; of a symlink that of its target. */
  readonly sums: string;
  /** `%f` of stat, as they follow each other, each with the number of files. */
  readonly modes: readonly (readonly [string, number])[];
  /** The same for all batches that hold the same. */
  readonly key: string;
  readonly compress: boolean;
}

/** Bytes below which it does not pay to compress. */
const WORTH_COMPRESSING = 16 * 1024;

const LINK_MODE = (0o120777).toString(16);

export function planBatch(change: HostChange, passes: Passes, contents: Contents): BatchPlan {
  const deletes = [...passes.deletes.values()].flat();
  const sent = change.apps.flatMap(({ send }) => send);
  const paths = [...sent.map(({ path }) => path), ...deletes];
  const classes = passes.sends.map((send) => classOf(send, contents));
  return {
    replaced: replacedOf(change, classes, new Map(sent.map((file) => [file.path, contents.get(file)!.checksum]))),
    classes,
    deletes: deletes.map(dotted),
    emptyFolders: passes.emptyFolders.map(dotted),
    parents: [...new Set(paths.flatMap(parentFolders))].map(dotted),
    maybeThere: maybeThere(change, contents),
    isHidden: hiddenPaths(change).size > 0,
  };
}

/** What earlier syncs laid otherwise is not. */
function maybeThere({ apps }: HostChange, contents: Contents): number {
  const synced = new Map(
    apps.flatMap(({ replaces = [] }) => replaces.map(({ path, checksums }) => [path, checksums[0]])),
  );
  const isChanged = (path: string, { checksum }: Content) => synced.has(path) && synced.get(path) !== checksum;
  return [...contents].reduce((sum, [{ path }, content]) => sum + (isChanged(path, content) ? 0 : content.size), 0);
}

function classOf({ ownership, files }: Send, contents: Contents): BatchClass {
  const modeOf = (file: FileEntry) => ownership.mode ?? contents.get(file)!.mode;
  const all = [...files.values()].flat();
  const plain = all.filter(({ kind }) => kind === "file").toSorted((a, b) => modeOf(a) - modeOf(b));
  const links = all.filter(({ kind }) => kind === "symlink");
  const compress = all.reduce((sum, file) => sum + contents.get(file)!.size, 0) >= WORTH_COMPRESSING;
  const modes = [...plain.map((file) => (0o100000 | modeOf(file)).toString(16)), ...links.map(() => LINK_MODE)];
  const sums = [...plain, ...links].map((file) => line(contents.get(file)!.checksum, file.path)).join("");
  return {
    ownership,
    plain: plain.map(({ path }) => dotted(path)),
    links: links.map(({ path }) => dotted(path)),
    sums,
    modes: runs(modes),
    key: keyOf(writeOptions({ mode: ownership.mode, compress }), sums, modes),
    compress,
  };
}

/** Where it is what is sent anyway, in the same order: then it needs to be said only once. */
function replacedOf(
  { apps }: HostChange,
  classes: readonly BatchClass[],
  sent: ReadonlyMap<string, Content["checksum"]>,
): Replaced {
  const known = new Map(apps.flatMap(({ replaces = [] }) => replaces.map((file) => [dotted(file.path), file])));
  const inOrder = classes.flatMap(({ plain, links }) => [...plain, ...links]).filter((path) => known.has(path));
  const files = [...new Set([...inOrder, ...known.keys()])].map((path) => known.get(path)!);
  const lines = (of: (file: KnownFile) => string) => files.map((file) => line(of(file), file.path)).join("");
  return {
    paths: files.map(({ path }) => dotted(path)),
    synced: lines(({ checksums }) => checksums[0] ?? "unknown"),
    desired: lines(({ path }) => sent.get(path) ?? "deleted"),
    others: files
      .flatMap(({ path, checksums }) => earlier(checksums, sent.get(path)).map((each) => line(each, path)))
      .join(""),
  };
}

/** What is neither as last synced nor as it shall be. */
function earlier(checksums: readonly string[], desired: string | undefined): string[] {
  return checksums.slice(1).filter((checksum) => checksum !== desired);
}

function line(checksum: string, path: string): string {
  return `${checksum}  ${dotted(path)}\n`;
}

function dotted(path: string): string {
  return `./${path}`;
}

/** `aab` as `a` twice, `b` once. */
function runs(all: readonly string[]): [string, number][] {
  const found: [string, number][] = [];
  for (const each of all) {
    const last = found.at(-1);
    if (last?.[0] === each) last[1] += 1;
    else found.push([each, 1]);
  }
  return found;
}

function keyOf(options: readonly string[], sums: string, modes: readonly string[]): string {
  const hash = createHash("sha256").update([...options, ...modes].join(" "));
  return hash.update("\0").update(encodePath(sums)).digest("hex");
}
