import { createHash } from "node:crypto";
import { lstat, readFile, readlink } from "node:fs/promises";
import type { FileEntry } from "../../model/manifest.ts";
import { encodePath } from "../../model/path.ts";
import type { HostChange } from "../../ports/transport.ts";

/** What a file of a snapshot holds. */
export interface Content {
  /** Bytes. */
  readonly size: number;
  /** SHA-256 in hex; of a symlink that of its target. */
  readonly checksum: string;
  /** Permission bits. */
  readonly mode: number;
}

export type Contents = ReadonlyMap<FileEntry, Content>;

const AT_ONCE = 16;

/** Of all that a change sends; undefined when that is more than `limit` bytes. Throws what the disk throws. */
export async function readContents({ snapshotRoot, apps }: HostChange, limit: number): Promise<Contents | undefined> {
  const contents = new Map<FileEntry, Content>();
  let size = 0;
  const files = apps.flatMap(({ send }) => send).values();
  const workers = Array.from({ length: AT_ONCE }, async () => {
    for (const file of files) {
      const path = encodePath(`${snapshotRoot}/${file.tree}/${file.path}`);
      const found = await lstat(path);
      size += found.size;
      if (size > limit) return;
      const bytes = file.kind === "symlink" ? await readlink(path, { encoding: "buffer" }) : await readFile(path);
      const checksum = createHash("sha256").update(bytes).digest("hex");
      contents.set(file, { size: bytes.length, checksum, mode: found.mode & 0o7777 });
    }
  });
  await Promise.all(workers);
  return size > limit ? undefined : contents;
}
