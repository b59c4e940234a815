import { createHash } from "node:crypto";
import type { Digest, FileEntry } from "../model/manifest.ts";
import { encodePath } from "../model/path.ts";

/** Change it when the meaning of a digest changes: every host is then synced once. */
const VERSION = "fssync digest 1";

/** Same trees and same owners, groups and modes: same digest. `files` are sorted by path. */
export function appDigest(
  tree: string,
  overlay: string | null,
  files: readonly Pick<FileEntry, "path" | "owner" | "group" | "mode">[],
): Digest {
  // NUL ends each field: no path, name or id can hold one, so no two inputs run together.
  const parts = [VERSION, tree, overlay ?? "-"];
  for (const { path, owner, group, mode } of files) parts.push(path, owner, group, mode.toString(8));
  parts.push("");
  return createHash("sha256")
    .update(encodePath(parts.join("\0")))
    .digest("hex");
}
