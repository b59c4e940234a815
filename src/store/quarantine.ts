import { existsSync, renameSync } from "node:fs";

/** Renames a damaged database and its side files; returns the new name. Nothing is deleted: people may want to look. */
export function quarantine(file: string, now: number): string {
  const stamp = new Date(now).toISOString().replaceAll(/[-:]/g, "").replace(/\.\d+/, "");
  const aside = freeName(`${file}.corrupt-${stamp}`);
  // The side files first: a -wal left beside a new database would be replayed into it.
  for (const suffix of ["-wal", "-shm", ""]) {
    if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix);
  }
  return aside;
}

function freeName(name: string): string {
  let free = name;
  for (let count = 2; existsSync(free); count += 1) free = `${name}-${count}`;
  return free;
}
