import { DatabaseSync } from "node:sqlite";
import type { Logger } from "pino";
import type { Clock } from "../ports/clock.ts";
import { FssyncError } from "../model/errors.ts";
import { migrate } from "./migrations/migrate.ts";
import { makePrivateFile } from "./private-file.ts";
import { quarantine } from "./quarantine.ts";
import { isCorruption, storeError } from "./sqlite-error.ts";

/** How long a statement waits for another connection, ms. It blocks the process: nobody else writes for long. */
const BUSY_TIMEOUT = 2000;

/** Opens the store for writing. A damaged file is set aside and an empty one takes its place: unknown is not synced. */
export function openForWriting(file: string, { clock, log }: { clock: Clock; log: Logger }): DatabaseSync {
  try {
    makePrivateFile(file);
    return openChecked(file);
  } catch (error) {
    if (!isCorruption(error)) throw storeError(error, `the status store ${file} cannot be opened`);
    const aside = quarantine(file, clock.now());
    log.error(
      { file, aside, err: error },
      "the status store is damaged and was set aside; every host is synced anew, and what was suspended over the API is not any more",
    );
  }
  try {
    makePrivateFile(file);
    return openChecked(file);
  } catch (error) {
    throw storeError(error, `the status store ${file} cannot be opened`);
  }
}

/** Opens the store beside a running controller. It must exist. */
export function openForReading(file: string): DatabaseSync {
  try {
    return new DatabaseSync(file, { readOnly: true, timeout: BUSY_TIMEOUT });
  } catch (error) {
    throw storeError(error, `the status store ${file} cannot be read`);
  }
}

function openChecked(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT, enableForeignKeyConstraints: true });
  try {
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    check(database);
    migrate(database, file);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Throws what `isCorruption` knows when the file is damaged in a way that opening does not show. */
function check(database: DatabaseSync): void {
  const findings = database.prepare("PRAGMA quick_check(1)").all();
  const finding = findings[0]?.["quick_check"];
  if (finding !== "ok") throw new FssyncError("StoreCorrupt", `quick_check says: ${String(finding)}`);
}
