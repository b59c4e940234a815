import type { AppKey } from "../model/app.ts";
import type { AppRecord, DesiredRecord, HostRecord, Problem, RepoRecord } from "../model/record.ts";
import type { Refusal } from "../model/manifest.ts";
import type { Revision } from "../model/revision.ts";

/** How records lie in rows, both ways. What a row holds was written by this file. */

export interface RepoRow {
  readonly revision: string | null;
  readonly problems: string;
}

export interface AppRow {
  readonly key: string;
  readonly digest: string;
  readonly revision: string;
  readonly seen_at: number;
  readonly refused: string | null;
}

export interface HostRow {
  readonly key: string;
  readonly address: string;
  readonly root: string;
  readonly port: number;
  readonly fallback: string | null;
  readonly apps: string;
}

/** Keeps one copy of each text: 100,000 records share a few digests, revisions and app names. */
export type Intern = (text: string) => string;

export function interning(): Intern {
  const known = new Map<string, string>();
  return (text) => {
    const held = known.get(text);
    if (held !== undefined) return held;
    known.set(text, text);
    return text;
  };
}

/**
 * SQLite's text is UTF-8, but a path that is not (a lone surrogate, see model/path.ts) must not turn
 * into another path: such keys lie there as JSON, which begins with a quote.
 */
export function keyText(key: string): string {
  return key.isWellFormed() && !key.startsWith('"') ? key : JSON.stringify(key);
}

export function textKey<K extends string>(text: string): K {
  return (text.startsWith('"') ? JSON.parse(text) : text) as K;
}

export function repoFromRow(row: RepoRow | undefined): RepoRecord {
  if (row === undefined) return { revision: null, problems: [] };
  return { revision: row.revision as Revision | null, problems: JSON.parse(row.problems) as Problem[] };
}

export function desiredFromRow(row: AppRow, intern: Intern): DesiredRecord {
  return {
    key: intern(textKey(row.key)) as AppKey,
    digest: intern(row.digest),
    revision: intern(row.revision) as Revision,
    seenAt: row.seen_at,
    refused: row.refused === null ? null : (JSON.parse(row.refused) as Refusal),
  };
}

export function hostFromRow(row: HostRow, intern: Intern): HostRecord {
  const stored = JSON.parse(row.apps) as Record<AppKey, AppRecord>;
  const apps = new Map<AppKey, AppRecord>();
  for (const key of Object.keys(stored) as AppKey[]) apps.set(intern(key) as AppKey, shared(stored[key]!, intern));
  const { address, port, root, fallback } = row;
  return { key: textKey(row.key), address, port, root, ...(fallback === null ? {} : { fallback }), apps };
}

export function hostAppsText(host: HostRecord): string {
  return JSON.stringify(Object.fromEntries(host.apps));
}

/** Whatever a record holds is stored; only what many records have in common is shared. */
function shared(record: AppRecord, intern: Intern): AppRecord {
  return {
    ...record,
    digest: record.digest === null ? null : intern(record.digest),
    revision: record.revision === null ? null : (intern(record.revision) as Revision),
  };
}
