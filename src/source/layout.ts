import type { AppId } from "../model/app.ts";
import { displayPath } from "../model/path.ts";
import type { Discovery } from "../ports/git-source.ts";
import type { TreeEntry } from "./ls-tree.ts";

export type Warning = Discovery["warnings"][number];

/** A folder of the repo that is laid on hosts: an app or an overlay. */
export interface Folder {
  readonly path: string;
  readonly tree: string;
  /** Everything in it that is no folder. */
  readonly entries: TreeEntry[];
}

export interface AppFolder extends Folder, AppId {
  readonly overlay: Folder | null;
}

export interface Layout {
  readonly apps: readonly AppFolder[];
  /** Every `.gitattributes` file of the listing. */
  readonly attributeFiles: readonly TreeEntry[];
  readonly warnings: readonly Warning[];
}

const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;
/** Files that people keep beside the apps. */
const BESIDE = new Set([".gitattributes", ".gitignore", ".gitkeep"]);
const APP_DEPTH = 3;

/** Finds apps (`mod/env/app`) and overlays (`mod/env/<common>`) in a listing of `ls-tree -r -t`. */
export function layOut(listing: readonly TreeEntry[], common: string | undefined): Layout {
  const folders = new Map<string, Folder>();
  const sane = new Set<string>([""]);
  const attributeFiles: TreeEntry[] = [];
  const warnings: Warning[] = [];

  for (const entry of listing) {
    const top = appPrefix(entry.path);
    if (top !== undefined) {
      if (entry.type !== "tree") folders.get(top)?.entries.push(entry);
    } else if (entry.type !== "tree") {
      warnings.push(...besideApps(entry));
    } else if (sane.has(parent(entry.path))) {
      if (!isFolderName(lastName(entry.path))) warnings.push(badName(entry));
      else if (depth(entry.path) < APP_DEPTH) sane.add(entry.path);
      else folders.set(entry.path, { path: entry.path, tree: entry.id, entries: [] });
    }
    if (entry.type === "blob" && lastName(entry.path) === ".gitattributes") attributeFiles.push(entry);
  }
  return { apps: appsOf(folders, common), attributeFiles, warnings };
}

/** Whether a mod, env or app can be called so. */
export function isFolderName(text: string): boolean {
  return NAME.test(text);
}

function appsOf(folders: ReadonlyMap<string, Folder>, common: string | undefined): AppFolder[] {
  const apps: AppFolder[] = [];
  for (const folder of folders.values()) {
    const [mod, env, app] = folder.path.split("/") as [string, string, string];
    if (app === common) continue;
    const overlay = common === undefined ? null : (folders.get(`${mod}/${env}/${common}`) ?? null);
    apps.push({ ...folder, mod, env, app, overlay });
  }
  return apps;
}

/** `mod/env/app` of a path below an app's folder. */
function appPrefix(path: string): string | undefined {
  let at = -1;
  for (let level = 0; level < APP_DEPTH; level++) {
    at = path.indexOf("/", at + 1);
    if (at < 0) return undefined;
  }
  return path.slice(0, at);
}

/** A README at the root is nobody's mistake; a file between the levels of apps may be one. */
function besideApps(entry: TreeEntry): Warning[] {
  if (entry.type === "blob" && (depth(entry.path) === 1 || BESIDE.has(lastName(entry.path)))) return [];
  const what = entry.type === "commit" ? "is a submodule and is not followed" : "lies outside every mod/env/app folder";
  return [
    {
      reason: entry.type === "commit" ? "UnsupportedFile" : "InvalidPath",
      message: `${displayPath(entry.path)} ${what}`,
      path: entry.path,
    },
  ];
}

function badName(entry: TreeEntry): Warning {
  const level = ["mod", "env", "app"][depth(entry.path) - 1];
  const message = `${displayPath(entry.path)} is skipped: the name of a ${level} holds letters, digits, \`.\`, \`_\` and \`-\` only, and begins with none of \`.\` and \`-\``;
  return { reason: "InvalidPath", message, path: entry.path };
}

function depth(path: string): number {
  return path.split("/").length;
}

function parent(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

function lastName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
