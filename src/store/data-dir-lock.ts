import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { FssyncError, asFssyncError } from "../model/errors.ts";
import { makePrivateFile } from "./private-file.ts";

const BUSY = 5;

/** Who holds a data dir, for the message to the second one. */
interface Holder {
  readonly pid: number;
  readonly command: string;
  readonly startedAt: string;
}

/**
 * Makes this process the only one that works on a data dir, until disposed. The lock is SQLite's own
 * file lock on `lock.db`: the kernel drops it however the process ends, so it is never stale.
 * `controller.json` only names the holder. Throws DataDirInUse. Not for network file systems
 * without locks.
 */
export async function lockDataDir(folder: string): Promise<AsyncDisposable> {
  const nameFile = join(folder, "controller.json");
  const database = takeLock(join(folder, "lock.db"), folder, nameFile);
  try {
    writeHolder(nameFile);
  } catch (error) {
    database.close();
    throw unusable(folder, error);
  }
  let held = true;
  return {
    async [Symbol.asyncDispose]() {
      if (!held) return;
      held = false;
      rmSync(nameFile, { force: true });
      database.close();
    },
  };
}

/** The open transaction is the lock; it ends with the connection. */
function takeLock(file: string, folder: string, nameFile: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    makePrivateFile(file);
    database = new DatabaseSync(file, { timeout: 0 });
    database.exec("BEGIN EXCLUSIVE");
    return database;
  } catch (error) {
    database?.close();
    const busy = ((error as { errcode?: number }).errcode ?? 0) % 256 === BUSY;
    throw busy ? new FssyncError("DataDirInUse", inUse(folder, nameFile), { cause: error }) : unusable(folder, error);
  }
}

function inUse(folder: string, nameFile: string): string {
  const holder = readHolder(nameFile);
  if (holder === undefined) return `${folder} is used by another fssync`;
  return `${folder} is used by process ${holder.pid} (${holder.command}), started ${holder.startedAt}`;
}

function unusable(folder: string, error: unknown): FssyncError {
  const { reason, message } = asFssyncError(error, "InvalidSpec");
  return new FssyncError(reason, `the data dir ${folder} cannot be used: ${message}`, { cause: error });
}

function writeHolder(file: string): void {
  const startedAt = new Date(Date.now() - process.uptime() * 1000).toISOString();
  const holder: Holder = { pid: process.pid, command: process.argv.join(" "), startedAt };
  writeFileSync(`${file}.new`, JSON.stringify(holder), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** Undefined when there is none, or one that a killed process left behind. */
function readHolder(file: string): Holder | undefined {
  try {
    const holder = JSON.parse(readFileSync(file, "utf8")) as Holder;
    return isAlive(holder.pid) ? holder : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
