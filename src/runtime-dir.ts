import { createHash } from "node:crypto";
import { lstat, mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FssyncError } from "./model/errors.ts";

/** A socket's path may have 107 bytes; ssh adds up to 67 to a repo's folder. */
const LONGEST = 38;

/** Folder for sockets: in the data dir when its path is short enough, else in the temp folder under a name of its own. */
export function runtimeDir(dataDir: string): string {
  const inside = join(dataDir, "run");
  if (Buffer.byteLength(inside) <= LONGEST) return inside;
  return join(tmpdir(), `fssync-${process.getuid?.() ?? 0}-${shortName(dataDir)}`);
}

/** Makes the folder with mode 0700. Throws InvalidSpec when it is somebody else's or others may enter it. */
export async function prepareRuntimeDir(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const found = await lstat(dir);
  if (found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o077) === 0) return;
  throw new FssyncError("InvalidSpec", `${dir} must be a folder of this user with mode 0700; remove it or mend it`);
}

/** Eight hex digits that stand for a long name. */
export function shortName(name: string): string {
  return createHash("sha256").update(name).digest("hex").slice(0, 8);
}
