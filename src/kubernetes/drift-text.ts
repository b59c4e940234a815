import type { Drift } from "../model/drift.ts";
import { displayPath } from "../model/path.ts";
import { byChange } from "../plan/drift.ts";

/** `/etc/a.conf missing, /etc/b.conf content, and 5 more`: the worst first, so many by name. */
export function changedFiles({ files, count }: Pick<Drift, "files" | "count">, named: number): string {
  const told = files.toSorted(byChange).slice(0, named);
  if (told.length === 0) return countedFiles(count);
  const more = count > told.length ? `, and ${count - told.length} more` : "";
  return told.map(({ path, change }) => `/${displayPath(path)} ${change}`).join(", ") + more;
}

export function countedFiles(count: number): string {
  return count === 1 ? "1 file" : `${count} files`;
}
