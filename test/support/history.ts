import {
  appendFileSync,
  chmodSync,
  lstatSync,
  lchownSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  type Stats,
} from "node:fs";
import { basename, dirname } from "node:path/posix";
import type { AppKey } from "../../src/model/app.ts";
import { decodePath, encodePath, parentFolders } from "../../src/model/path.ts";
import type { FileSpec } from "./fleet-change.ts";
import { run } from "./fleet/processes.ts";
import type { Random } from "./random.ts";
import { pathsBelow } from "./tree-facts.ts";

const isRoot = process.getuid?.() === 0;

export const APPS = ["nginx/prod/web", "nginx/prod/api"] as const satisfies AppKey[];

/** Few, so that they meet. */
const PATHS = [
  "etc/a",
  "etc/b",
  "etc/c/x",
  "etc/c/y",
  "etc/d/e",
  "srv/g/h/i",
  "top",
  "-rf/odd 'n' $(x)",
  decodePath(Buffer.of(0x66, 0xff, 0xfe)),
] as const;
/** Where others are folders, or with a name that needs care. */
const ODD_PATHS = ["etc/c", "etc/c/x/deep", "srv/g", "etc/d/e", "etc/c/new\nline", "back\\slash"] as const;

const CONTENTS = ["", "one\n", "two\n", "0123456789".repeat(1500), Buffer.of(0, 255, 10)] as const;
const TARGETS = ["a", "../srv", "/no/such/file", "odd 'n' $(x)"] as const;
const MODES = [0o600, 0o644, 0o4755] as const;
const MINE = { owner: "root", group: "root", mode: 0o644 };
const OTHERS = isRoot
  ? ([{ owner: "daemon", group: "bin" }, { owner: "1234", group: "4321", mode: 0o4755 }, { mode: 0o600 }] as const)
  : ([{ mode: 0o4755 }, { mode: 0o600 }] as const);

/** Files by path. */
export type Files = Readonly<Record<string, FileSpec>>;
export type Desired = ReadonlyMap<AppKey, Files>;

/** One commit: some files of some apps become others. No path of it stands above another one. */
export function commit(before: Desired, random: Random): Desired {
  let desired = before;
  do desired = mutated(desired, random);
  while (random.percent(50));
  return desired;
}

function mutated(before: Desired, random: Random): Desired {
  const app = random.pick(APPS);
  const known = Object.keys(before.get(app) ?? {});
  const path = random.percent(50) ? (random.pick(known) ?? anyPath(random)) : anyPath(random);
  const old = before.get(app)?.[path];
  if (old && random.percent(25)) return without(before, (each, of) => of === app && each === path);
  if (old && random.percent(25))
    return laid(
      without(before, (each) => each === path),
      app,
      random.pick(PATHS),
      old,
    );
  if (old && random.percent(30)) return laid(before, app, path, { ...old, ...attributes(random) });
  return laid(before, app, path, { ...content(random), ...attributes(random) });
}

function anyPath(random: Random): string {
  return random.pick(random.percent(6) ? ODD_PATHS : PATHS);
}

function content(random: Random): FileSpec {
  return random.percent(15) ? { link: random.pick(TARGETS) } : { text: random.pick(CONTENTS) };
}

function attributes(random: Random): FileSpec {
  if (random.percent(20)) return { ...MINE, mode: 0o755 };
  // A run of rsync for each: most files are like most files.
  return random.percent(85) ? MINE : { ...MINE, ...random.pick<FileSpec>(OTHERS) };
}

/** What stands in the way, of whatever app, is gone. */
function laid(before: Desired, app: AppKey, path: string, spec: FileSpec): Desired {
  const above = new Set(parentFolders(path));
  const rest = without(before, (each) => each === path || above.has(each) || each.startsWith(`${path}/`));
  return new Map([...rest, [app, { ...rest.get(app), [path]: spec }]]);
}

function without(before: Desired, isGone: (path: string, app: AppKey) => boolean): Desired {
  return new Map(
    [...before].map(([app, files]) => [
      app,
      Object.fromEntries(Object.entries(files).filter(([path]) => !isGone(path, app))),
    ]),
  );
}

/** What somebody does on a host: the same on every host that looks the same. */
export interface Edit {
  readonly what: string;
  on(root: string): void;
}

/** What can be done to a file or a folder at an absolute path. */
type Act = readonly [what: string, act: (at: string) => void];

/** Something that can be done on a host that looks like this one. */
export function edit(root: string, random: Random): Edit {
  const paths = pathsBelow(root).filter((path) => !path.startsWith("var"));
  const [folders, files] = [true, false].map((wanted) =>
    paths.filter((path) => isFolder(`${root}/${path}`) === wanted),
  );
  const acts = [
    [files, onFile(random)],
    [files, onFile(random)],
    [folders, onFolder(random)],
  ] as const;
  const [from = [], act] = random.pick(acts) ?? [];
  const path = random.pick(from);
  if (path === undefined || !act || random.percent(10)) return appearance(anyPath(random));
  return { what: `${JSON.stringify(path)} ${act[0]}`, on: (host) => act[1](`${host}/${path}`) };
}

function onFile(random: Random): Act {
  const owner = random.pick([0, 1, 1234] as const);
  const mode = random.pick(MODES);
  const target = random.pick(TARGETS);
  const text = random.pick(CONTENTS);
  return random.pick<Act>([
    ["is removed", remove],
    ["has other bytes", (at) => write(at, text)],
    ["has bytes of nobody else", (at) => write(at, "by hand")],
    ["has more bytes, in place", (at) => isSymlink(at) || isFifo(at) || appendFileSync(encodePath(at), "more\n")],
    ["is a folder", (at) => replace(at, () => mkdirSync(encodePath(at)))],
    ["is a folder with a file", (at) => replace(at, () => write(`${at}/theirs`, "theirs"))],
    ["is a symlink", (at) => replace(at, () => symlinkSync(target, encodePath(at)))],
    ["is a FIFO", (at) => replace(at, () => run("mkfifo", ["--", encodePath(at).toString()]))],
    ["has another mode", (at) => isSymlink(at) || chmodSync(encodePath(at), mode)],
    ["has another owner", (at) => isRoot && lchownSync(encodePath(at), owner, owner)],
  ]);
}

function onFolder(random: Random): Act {
  return random.pick<Act>([
    ["is gone", remove],
    ["has a file of somebody else", (at) => write(`${at}/theirs`, "theirs")],
    ["has another mode", (at) => chmodSync(encodePath(at), 0o750)],
    ["is a symlink to where it is now", moved],
  ]);
}

/** A sync that was ended brought this much of an app. */
export function halfSynced(files: Files, random: Random): Edit {
  const some = Object.entries(files).filter(([, { text }]) => text !== undefined && random.percent(50));
  return {
    what: `a sync that was ended brought ${JSON.stringify(some.map(([path]) => path))}`,
    on: (root) => {
      for (const [path, { text }] of some) if (isFree(root, path)) write(`${root}/${path}`, text!);
    },
  };
}

function appearance(path: string): Edit {
  const on = (root: string) => isFree(root, path) && write(`${root}/${path}`, "was there before");
  return { what: `${JSON.stringify(path)} is there`, on };
}

/** Whether a file can be put there: the folders above are folders, or nothing, and it is none itself. */
function isFree(root: string, path: string): boolean {
  const areFolders = parentFolders(path).every((each) => found(`${root}/${each}`)?.isDirectory() ?? true);
  return areFolders && (found(`${root}/${path}`)?.isFile() ?? true);
}

function found(at: string): Stats | undefined {
  try {
    return lstatSync(encodePath(at), { throwIfNoEntry: false });
  } catch (error) {
    // What is above it is no folder: it is not there either.
    if ((error as NodeJS.ErrnoException).code === "ENOTDIR") return undefined;
    throw error;
  }
}

function isFolder(at: string): boolean {
  return found(at)?.isDirectory() ?? false;
}

function isSymlink(at: string): boolean {
  return found(at)?.isSymbolicLink() ?? false;
}

function isFifo(at: string): boolean {
  return found(at)?.isFIFO() ?? false;
}

function remove(at: string): void {
  rmSync(encodePath(at), { recursive: true, force: true });
}

function replace(at: string, make: () => void): void {
  remove(at);
  make();
}

function write(at: string, text: string | Buffer): void {
  remove(at);
  mkdirSync(encodePath(dirname(at)), { recursive: true });
  writeFileSync(encodePath(at), text);
}

function moved(at: string): void {
  const elsewhere = `${at}-elsewhere`;
  remove(elsewhere);
  renameSync(encodePath(at), encodePath(elsewhere));
  symlinkSync(encodePath(basename(elsewhere)), encodePath(at));
}
