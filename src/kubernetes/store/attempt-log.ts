import type { Attempt } from "../../config/resources.ts";
import type { Digest } from "../../model/manifest.ts";
import type { Revision } from "../../model/revision.ts";
import { textRevision } from "./text.ts";

/** As many as reconcile tells apart; see MAX_UNFINISHED there. */
export const MAX_ATTEMPTS = 16;

/** The digest of an attempt whose content is not known any more; it equals no other. API servers refuse empty texts now and then. */
export const UNKNOWN_DIGEST = "unknown";

export interface Note {
  readonly revision: Revision;
  readonly digest: Digest;
  /** Number of the last attempt that the host's record covers. */
  readonly covered: number;
}

/**
 * What was about to be sent of one app, to whichever host: runs of numbers with one digest, newest last.
 * A host's record says up to which number it tells all; what has a larger one may have been begun there.
 */
export class AttemptLog {
  #entries: readonly Attempt[];
  /** The newest number of what an earlier process noted. */
  readonly loaded: number;
  /** Settles with the write that holds the newest entry. */
  durable: Promise<void> = Promise.resolve();

  constructor(entries: readonly Attempt[] = []) {
    this.#entries = [...entries].sort((a, b) => a.last - b.last);
    this.loaded = this.newest;
  }

  get entries(): readonly Attempt[] {
    return this.#entries;
  }

  get newest(): number {
    return this.#entries.at(-1)?.last ?? 0;
  }

  /** Makes sure that the newest entry says what is about to be sent, and lies beyond `covered`; true when it changed. */
  note({ revision, digest, covered }: Note): boolean {
    const newest = this.#entries.at(-1);
    const same = newest !== undefined && isSame(newest, { revision, digest });
    if (same && newest.last > covered) return false;
    const number = Math.max(this.newest, covered) + 1;
    this.#entries = same
      ? [...this.#entries.slice(0, -1), { ...newest, last: number }]
      : [...this.#entries, { first: number, last: number, revision, digest }].slice(-MAX_ATTEMPTS);
    return true;
  }

  /**
   * Revisions that may have been begun on a host since its record, oldest first. Where that cannot be told
   * (older entries were dropped, the notes that the record speaks of are lost, or one names no commit), so
   * many that everything is sent.
   */
  suspected({ digest, revision, covered }: Covered): Revision[] {
    const since = this.#entries.filter(({ last }) => last > covered);
    if (covered > this.newest || since.some((entry) => textRevision(entry.revision) === undefined)) {
      return revision === null ? [] : Array.from({ length: MAX_ATTEMPTS }, () => revision);
    }
    const oldest = this.#entries[0]?.first ?? 0;
    if (this.#entries.length >= MAX_ATTEMPTS && oldest > covered + 1) return revisionsOf(this.#entries);
    return [...new Set(revisionsOf(since.filter((entry) => entry.digest !== digest)))];
  }
}

/** What a host's record says of an app. */
export interface Covered {
  readonly digest: Digest | null;
  readonly revision: Revision | null;
  readonly covered: number;
}

function revisionsOf(entries: readonly Attempt[]): Revision[] {
  return entries.map(({ revision }) => revision as Revision);
}

/** One digest is one content, whatever the commit; one commit is one content where digests are not known. */
function isSame(a: Pick<Attempt, "revision" | "digest">, b: Pick<Note, "revision" | "digest">): boolean {
  if (a.digest === UNKNOWN_DIGEST || b.digest === UNKNOWN_DIGEST) return a.revision === b.revision;
  return a.digest === b.digest;
}
