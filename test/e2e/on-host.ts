import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { FleetHost } from "../support/fleet.ts";

interface Found {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly text?: string;
  readonly link?: string;
  readonly folder?: true;
}

/** What stands at a path of a host; undefined when nothing does. Paths are below the host's root. */
export function fileOn(host: FleetHost, path: string): Found | undefined {
  const full = join(host.dir, path);
  const stat = lstatSync(full, { throwIfNoEntry: false, bigint: true });
  if (!stat) return undefined;
  const common = { mode: Number(stat.mode & 0o7777n), uid: Number(stat.uid), gid: Number(stat.gid) };
  if (stat.isSymbolicLink()) return { ...common, link: readlinkSync(full) };
  if (stat.isDirectory()) return { ...common, folder: true };
  return { ...common, text: readFileSync(full, "utf8") };
}

/** The text of a file of a host; undefined when there is none. */
export function textOn(host: FleetHost, path: string): string | undefined {
  return fileOn(host, path)?.text;
}

/** Something that fssync did not put there. */
export function putOn(host: FleetHost, path: string, text: string): void {
  mkdirSync(dirname(join(host.dir, path)), { recursive: true });
  writeFileSync(join(host.dir, path), text);
}

/** Every path below a host's root. A folder that goes while one looks is looked past: rsync makes some for a moment. */
export function pathsOn(host: FleetHost): string[] {
  for (let tries = 0; ; tries += 1) {
    try {
      return readdirSync(host.dir, { recursive: true, encoding: "utf8" }).toSorted();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || tries === 100) throw error;
    }
  }
}

/** What changes when anything at all is done to a file: inode and time of last change, by path. */
export function touchesOn(host: FleetHost): Map<string, string> {
  return new Map(
    pathsOn(host).map((path) => {
      const { ino, ctimeNs, mtimeNs } = lstatSync(join(host.dir, path), { bigint: true });
      return [path, `${ino} ${ctimeNs} ${mtimeNs}`];
    }),
  );
}

/** The paths whose files or folders were touched between two looks, came or went. */
export function touchedBetween(before: Map<string, string>, after: Map<string, string>): string[] {
  const paths = new Set([...before.keys(), ...after.keys()]);
  return [...paths].filter((path) => before.get(path) !== after.get(path)).toSorted();
}
