import type { DatabaseSync } from "node:sqlite";
import { FssyncError } from "../../model/errors.ts";
import { initial } from "./0001-initial.ts";
import { suspension } from "./0002-suspension.ts";
import { fallback } from "./0003-fallback.ts";

/** In order; number n brings `user_version` from n-1 to n. A released one is never edited. */
const MIGRATIONS: readonly string[] = [initial, suspension, fallback];

export const SCHEMA_VERSION = MIGRATIONS.length;

/** Brings the schema to the newest version, each step in a transaction. Throws StoreTooNew for a newer one. */
export function migrate(database: DatabaseSync, file: string): void {
  const version = schemaVersion(database);
  refuseNewer(version, file);
  for (const [index, sql] of MIGRATIONS.entries()) {
    if (index < version) continue;
    database.exec(`BEGIN IMMEDIATE; ${sql}; PRAGMA user_version = ${index + 1}; COMMIT;`);
  }
}

export function schemaVersion(database: DatabaseSync): number {
  return Number(database.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
}

/** An older fssync would misread, or lose, what a newer one stored. */
export function refuseNewer(version: number, file: string): void {
  if (version <= SCHEMA_VERSION) return;
  throw new FssyncError(
    "StoreTooNew",
    `${file} was written by a newer fssync: its schema is ${version}, this one knows up to ${SCHEMA_VERSION}`,
  );
}
