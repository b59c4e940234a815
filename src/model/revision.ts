/** A commit as people read it: `main@sha1:<40 hex>` (Flux's notation). */
export type Revision = `${string}@sha1:${string}`;

export function revision(branch: string, commit: string): Revision {
  return `${branch}@sha1:${commit}`;
}

export function revisionCommit(text: Revision): string {
  return text.slice(text.lastIndexOf(":") + 1);
}

/** `main@sha1:1a2b3c4d`: short enough for a table. */
export function shortRevision(text: Revision): string {
  return text.slice(0, text.lastIndexOf(":") + 9);
}
