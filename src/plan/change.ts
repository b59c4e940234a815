import type { DesiredApp, Digest, FileEntry, Manifest } from "../model/manifest.ts";

/** What lies between two versions of an app. */
export interface Change {
  readonly send: readonly FileEntry[];
  readonly delete: readonly string[];
  /** Files of the base; 0 without one. */
  readonly baseFiles: number;
}

export interface Base {
  readonly digest: Digest;
  readonly manifest: Manifest;
}

/**
 * The exact change list from what a host has to what it shall have, over any number of commits.
 *
 * Without a base everything is sent and nothing deleted: deletes are never guessed. When the base's
 * ownership cannot be told any more (its digest, computed again, differs from the recorded one: the
 * defaults of the configuration changed since), its paths still hold, so everything is sent and the
 * deletes stay exact.
 */
export function changeBetween(options: {
  readonly recorded: Digest | null;
  readonly base: Base | null;
  readonly desired: DesiredApp;
  readonly full: boolean;
}): Change {
  const { recorded, base, desired, full } = options;
  if (!base) return { send: desired.manifest, delete: [], baseFiles: 0 };
  const sendAll = full || base.digest !== recorded;
  const gone = new Map(base.manifest.map((entry) => [entry.path, entry]));
  const send: FileEntry[] = [];
  for (const entry of desired.manifest) {
    const before = gone.get(entry.path);
    gone.delete(entry.path);
    if (sendAll || !before || !sameFile(before, entry)) send.push(entry);
  }
  return { send, delete: [...gone.keys()], baseFiles: base.manifest.length };
}

function sameFile(a: FileEntry, b: FileEntry): boolean {
  return a.blob === b.blob && a.kind === b.kind && a.mode === b.mode && a.owner === b.owner && a.group === b.group;
}

/**
 * How many files one change may delete: `percent` of the app's files, rounded up, so that one file of
 * a small app can always go; all of them only when the limit is 100 %.
 */
export function deletesAllowed(baseFiles: number, percent: number): number {
  if (percent >= 100) return baseFiles;
  return Math.ceil((baseFiles * percent) / 100);
}
