import { HttpProblem } from "../problem.ts";

/** Where a part of a list ended: what follows it is what comes after this name, whatever has come or gone meanwhile. */
export interface Place {
  readonly repo: string;
  /** What the items of a repo are sorted by. */
  readonly order: string;
}

export interface Part<Entry> {
  readonly entries: readonly Entry[];
  /** Absent when there is nothing more. */
  readonly next?: string;
}

interface PartOptions<Entry> {
  /** Which list it is: a place in another one says nothing here. */
  readonly of: string;
  readonly after: Place | null;
  readonly limit: number;
  readonly matches: (entry: Entry) => boolean;
}

/** The first `limit` of the entries that come after the place and match; they are sorted by repo and order. */
export function partOf<Entry extends { readonly order: string }>(
  repos: Iterable<{ readonly repo: string; readonly entries: readonly Entry[] }>,
  { of, after, limit, matches }: PartOptions<Entry>,
): Part<Entry> {
  const entries: Entry[] = [];
  let last: Place | undefined;
  for (const { repo, entries: all } of repos) {
    if (after && repo < after.repo) continue;
    for (const entry of all) {
      if ((after?.repo === repo && entry.order <= after.order) || !matches(entry)) continue;
      if (entries.length === limit) return { entries, next: cursorOf(of, last!) };
      entries.push(entry);
      last = { repo, order: entry.order };
    }
  }
  return { entries };
}

function cursorOf(of: string, { repo, order }: Place): string {
  return Buffer.from(JSON.stringify([of, repo, order])).toString("base64url");
}

/** Throws 400 for what no answer of this list gave. */
export function placeOf(of: string, cursor: string | undefined): Place | null {
  if (cursor === undefined) return null;
  try {
    const [list, repo, order, ...rest] = JSON.parse(Buffer.from(cursor, "base64url").toString()) as unknown[];
    if (list === of && typeof repo === "string" && typeof order === "string" && rest.length === 0)
      return { repo, order };
  } catch {
    // It is told below.
  }
  throw new HttpProblem(400, "cursor: expected what an answer of this list said as next");
}
