import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from "node:fs";
import { decodePath, encodePath } from "../../src/model/path.ts";

const STAMP = /\.\d{8}T\d{6}\.\d{3}Z$/;

/** All that lies below a folder, without its times: a line for each path, which are in order. */
export function treeFacts(dir: string): string[] {
  const named = withoutStamps();
  return pathsBelow(dir).map((path) => `${named(path)} ${fact(encodePath(`${dir}/${path}`))}`);
}

/** Relative to the folder, in order. */
export function pathsBelow(dir: string, below = ""): string[] {
  const names = readdirSync(encodePath(`${dir}/${below}`), { encoding: "buffer" }).map(decodePath);
  return names.toSorted().flatMap((name) => {
    const path = `${below}${name}`;
    const isFolder = lstatSync(encodePath(`${dir}/${path}`)).isDirectory();
    return isFolder ? [path, ...pathsBelow(dir, `${path}/`)] : [path];
  });
}

function fact(path: Buffer): string {
  const found = lstatSync(path);
  const owner = `${found.uid}:${found.gid}`;
  if (found.isSymbolicLink()) return `symlink ${owner} ${readlinkSync(path)}`;
  return `${kind(found)} ${owner} ${(found.mode & 0o7777).toString(8)} ${found.isFile() ? sum(path) : ""}`;
}

function kind(found: Stats): string {
  if (found.isFile()) return "file";
  return found.isDirectory() ? "folder" : "other";
}

function sum(path: Buffer): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex").slice(0, 12);
}

/** Versions that were kept at other moments are the same: the first, the second and so on of their file. */
function withoutStamps(): (path: string) => string {
  const counts = new Map<string, number>();
  return (path) => {
    if (!STAMP.test(path)) return path;
    const name = path.replace(STAMP, "");
    counts.set(name, (counts.get(name) ?? 0) + 1);
    return `${name}.${counts.get(name)}`;
  };
}
