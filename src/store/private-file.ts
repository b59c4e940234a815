import { chmodSync, closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Makes sure that a file is there and that only its owner can read it; SQLite gives its -wal and -shm
 * the same mode. A folder that was there before keeps its mode: it may be somebody's /tmp.
 * A file that is there is not opened: closing it again would drop every POSIX lock that this process
 * holds on it, SQLite's too.
 */
export function makePrivateFile(file: string): void {
  makePrivateFolder(dirname(file));
  if (!existsSync(file)) closeSync(openSync(file, "a", 0o600));
  chmodSync(file, 0o600);
}

function makePrivateFolder(folder: string): void {
  if (!existsSync(folder)) mkdirSync(folder, { recursive: true, mode: 0o700 });
}
