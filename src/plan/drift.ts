import { DRIFT_CHANGES, type DriftChange } from "../model/drift.ts";
import type { FileEntry, Manifest } from "../model/manifest.ts";
import type { FileFact } from "../ports/transport.ts";
import { sameFile } from "./change.ts";

/** What an app's files on a host are held against. */
export interface Expectation {
  /** What fssync put there, or would put there were it the first time. */
  readonly files: Manifest;
  /** What Git wants there now; absent when that is the same. */
  readonly desired?: Manifest;
  /** SHA-256 of every blob named in either. */
  readonly checksums: ReadonlyMap<string, string>;
  /** Whether fssync can give files away there; a login that cannot leaves them to itself. */
  readonly givesAway: boolean;
}

/** Whether the login could not see what would tell if the file is as it should be. */
export function isHidden(fact: FileFact): boolean {
  return fact.kind === "unseen" || (fact.kind === "file" && fact.checksum === null);
}

/** A file that is not as it should be. */
export interface FoundDrift {
  /** As fssync put it there. */
  readonly entry: FileEntry;
  /** As Git wants it now; null when it is gone from Git. */
  readonly desired: FileEntry | null;
  readonly change: DriftChange;
  readonly fact: FileFact;
}

/** Holds facts (in the order of `files`) against what should be there. A file that is as Git wants it now is right too. */
export function findDrift({ files, desired, ...rules }: Expectation, facts: readonly FileFact[]): FoundDrift[] {
  const wanted = desired && new Map(desired.map((entry) => [entry.path, entry]));
  const found: FoundDrift[] = [];
  for (const [index, entry] of files.entries()) {
    const fact = facts[index]!;
    const change = difference(entry, fact, rules);
    if (change === null) continue;
    const next = wanted ? wanted.get(entry.path) : entry;
    if (wanted && (next ? difference(next, fact, rules) === null : fact.kind === "missing")) continue;
    const conflict = next === undefined || !sameFile(next, entry);
    found.push({ entry, desired: next ?? null, fact, change: conflict ? "conflict" : change });
  }
  return found;
}

/** Worst first, then in the order of paths. */
export function byChange(a: { readonly change: DriftChange }, b: { readonly change: DriftChange }): number {
  return DRIFT_CHANGES.indexOf(a.change) - DRIFT_CHANGES.indexOf(b.change);
}

const READABLE_BY_OTHERS = 0o004;

/** Whether nobody may see its content: `.gitattributes` call it secret, or others may not read it on the host, or are not meant to. */
export function isSecret({ entry, desired, fact }: FoundDrift): boolean {
  const versions = desired ? [entry, desired] : [entry];
  if (versions.some(({ secret, mode }) => secret === true || (mode & READABLE_BY_OTHERS) === 0)) return true;
  return fact.kind === "file" && (fact.mode & READABLE_BY_OTHERS) === 0;
}

type Rules = Pick<Expectation, "checksums" | "givesAway">;

/** The first of the verdicts that holds; null when the file is as it should be, or nobody can tell. */
function difference(entry: FileEntry, fact: FileFact, { checksums, givesAway }: Rules): DriftChange | null {
  if (fact.kind === "missing") return "missing";
  if (fact.kind === "unseen") return null;
  if (fact.kind !== entry.kind) return "type";
  // What cannot be read may be right; who made it so may show in its owner or mode.
  if (fact.checksum !== null && fact.checksum !== checksums.get(entry.blob)) return "content";
  if (!isAccount(entry.owner, fact.owner, fact.uid, givesAway)) return "owner";
  if (!isAccount(entry.group, fact.group, fact.gid, givesAway)) return "owner";
  // A symlink has no mode of its own.
  return fact.kind === "file" && fact.mode !== entry.mode ? "mode" : null;
}

/**
 * A number is held against the number. A login that is not root keeps what is meant for root, or for a
 * number, to itself: see the transport's account checks.
 */
function isAccount(wanted: string, name: string, id: number, givesAway: boolean): boolean {
  const isNumber = /^\d+$/.test(wanted);
  if (!givesAway && (isNumber || wanted === "root")) return true;
  return isNumber ? Number(wanted) === id : wanted === name;
}
