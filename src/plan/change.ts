import type { DesiredApp, Digest, FileEntry, Manifest } from "../model/manifest.ts";

/** What lies between two versions of an app. */
export interface Change {
  readonly send: readonly FileEntry[];
  readonly delete: readonly string[];
  /** Files that fssync may have put there before: what a limit on deletes is a part of. */
  readonly baseFiles: number;
  /** Of the paths sent and deleted, those that the base holds; see `takenOver` for those of other apps' bases. */
  readonly replaces: readonly Replaced[];
}

/** A path that a change lays something else over, or removes. */
export interface Replaced {
  readonly path: string;
  /** Every blob that fssync may have put there, and the one that is sent. */
  readonly blobs: readonly string[];
  /** Whether it was Git that changed it. */
  readonly changed: boolean;
}

export interface Base {
  readonly digest: Digest;
  readonly manifest: Manifest;
}

/**
 * The exact change list from what a host has to what it shall have, over any number of commits.
 *
 * Without a base everything is sent; only what an unfinished sync may have put there can be deleted:
 * deletes are never guessed. After an unfinished sync a path may be as in the base or as in that sync,
 * so it is sent unless it is right in all of them. A sync that may have been begun counts for that too,
 * and for no delete. When the base's ownership cannot be told any more
 * (its digest, computed again, differs from the recorded one: the defaults of the configuration
 * changed since), its paths still hold, so everything is sent and the deletes stay exact.
 */
export function changeBetween(options: {
  readonly recorded: Digest | null;
  readonly base: Base | null;
  /** The syncs begun since the base; null for one whose commit is lost. */
  readonly unfinished?: readonly (Base | null)[];
  /** The syncs that may have been begun: they tell what to send, and nothing to delete. */
  readonly suspected?: readonly (Base | null)[];
  readonly desired: DesiredApp;
  readonly full: boolean;
}): Change {
  const { recorded, base, unfinished = [], suspected = [], desired, full } = options;
  const sendAll = full || !base || base.digest !== recorded || unfinished.includes(null) || suspected.includes(null);
  const sent = [base, ...unfinished].filter((version) => version !== null).map(byPath);
  const maybe = suspected.filter((version) => version !== null).map(byPath);
  const wanted = new Set(desired.manifest.map(({ path }) => path));
  const paths = new Set(sent.flatMap((version) => [...version.keys()]));
  const versions = [...sent, ...maybe];
  const send = sendAll ? desired.manifest : desired.manifest.filter((entry) => !versions.every(has(entry)));
  const gone = [...paths].filter((path) => !wanted.has(path));
  return { send, delete: gone, baseFiles: paths.size, replaces: base ? replaced(send, gone, versions) : [] };
}

/** `versions`: the base first, then those that may lie over it. */
function replaced(
  send: readonly FileEntry[],
  gone: readonly string[],
  versions: readonly ReadonlyMap<string, FileEntry>[],
): Replaced[] {
  const sent = new Map(send.map((entry) => [entry.path, entry]));
  const paths = [...sent.keys(), ...gone].filter((path) => versions[0]!.has(path));
  return paths.map((path) => {
    const next = sent.get(path);
    const known = versions.map((version) => version.get(path)).filter((entry) => entry !== undefined);
    const blobs = new Set([...known, ...(next ? [next] : [])].map(({ blob }) => blob));
    return { path, blobs: [...blobs], changed: next === undefined || !sameFile(known[0]!, next) };
  });
}

/** The versions of one app that may lie on a host. */
export interface Versions {
  readonly base: Base | null;
  readonly unfinished: readonly (Base | null)[];
  readonly suspected?: readonly (Base | null)[];
}

/** Of what is sent and lies over nothing of its own app, what another app put there that does not want it any more. */
export function takenOver(send: readonly FileEntry[], givers: readonly Versions[]): Replaced[] {
  const versions = givers
    .flatMap(({ base, unfinished, suspected = [] }) => (base ? [base, ...unfinished, ...suspected] : []))
    .filter((version) => version !== null)
    .map(byPath);
  return send.flatMap(({ path, blob }) => {
    const known = versions.flatMap((version) => version.get(path)?.blob ?? []);
    return known.length > 0 ? [{ path, blobs: [...new Set([...known, blob])], changed: true }] : [];
  });
}

function byPath({ manifest }: Base): ReadonlyMap<string, FileEntry> {
  return new Map(manifest.map((entry) => [entry.path, entry]));
}

function has(entry: FileEntry): (version: ReadonlyMap<string, FileEntry>) => boolean {
  return (version) => {
    const before = version.get(entry.path);
    return before !== undefined && sameFile(before, entry);
  };
}

/** Whether the two need nothing sent between them. */
export function sameFile(a: FileEntry, b: FileEntry): boolean {
  return a.blob === b.blob && a.kind === b.kind && a.mode === b.mode && a.owner === b.owner && a.group === b.group;
}

/**
 * How many files one change may delete: `percent` of the app's files, rounded up, so that one file of
 * a small app can always go. A change that leaves the app with no file at all needs 100 %: see `planHost`.
 */
export function deletesAllowed(baseFiles: number, percent: number): number {
  if (percent >= 100) return baseFiles;
  return Math.ceil((baseFiles * percent) / 100);
}
