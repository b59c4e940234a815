import { buffer } from "node:stream/consumers";
import type { FileEntry, Manifest } from "../../model/manifest.ts";
import { displayPath } from "../../model/path.ts";
import type { GitSource } from "../../ports/git-source.ts";
import { HttpProblem } from "../problem.ts";
import { contentOf } from "./content-of.ts";
import { ACCOUNT_MAX } from "./tar.ts";

/** Of one file. git holds a whole one in memory while it reads it. */
const LARGEST_FILE = 128 * 1024 * 1024;
/** Of the text that a symlink is. */
const LONGEST_TARGET = 4095;
const LFS = Buffer.from("version https://git-lfs.github.com/spec/");
const LFS_MAX = 1024;

type Reader = Pick<GitSource, "read" | "sizes">;

/** Sizes by blob of what can be served, and would be sent to a host as well. Throws 409, or 413, that names the file. */
export async function sizesOf(source: Reader, files: Manifest): Promise<ReadonlyMap<string, number>> {
  const sizes = await source.sizes(files.map(({ blob }) => blob));
  for (const file of files) checkSize(file, sizes.get(file.blob)!);
  await checkPointers(source, files, sizes);
  return sizes;
}

/** Archives that can be made: what is too long for tar is said before the first byte. */
export class Archivable {
  /** A manifest never changes. */
  readonly #checked = new WeakMap<Manifest, ReadonlyMap<string, number>>();

  /** As `sizesOf`; costs nothing the second time. */
  async sizes(source: Reader, manifest: Manifest): Promise<ReadonlyMap<string, number>> {
    const known = this.#checked.get(manifest);
    if (known) return known;
    for (const file of manifest) checkAccounts(file);
    const sizes = await sizesOf(source, manifest);
    this.#checked.set(manifest, sizes);
    return sizes;
  }
}

function checkSize(file: FileEntry, size: number): void {
  if (file.kind === "symlink" && size > LONGEST_TARGET) {
    throw new HttpProblem(409, `${displayPath(file.path)}: the target of the symlink is not valid`, {
      reason: "InvalidPath",
    });
  }
  if (size <= LARGEST_FILE) return;
  const detail = `${displayPath(file.path)} has ${size} bytes; files of up to ${LARGEST_FILE} bytes are served`;
  throw new HttpProblem(413, detail);
}

function checkAccounts({ path, owner, group }: FileEntry): void {
  for (const name of [owner, group]) {
    if (name.length <= ACCOUNT_MAX) continue;
    const detail = `${displayPath(path)} belongs to ${name}, and tar has room for names of ${ACCOUNT_MAX} characters`;
    throw new HttpProblem(409, detail, { reason: "InvalidAttributes" });
  }
}

/** Nobody is served what stands in Git for a file that is elsewhere; hosts are not sent it either. */
async function checkPointers(source: Reader, files: Manifest, sizes: ReadonlyMap<string, number>): Promise<void> {
  const small = files.filter(({ kind, blob }) => {
    const size = sizes.get(blob)!;
    return kind === "file" && size >= LFS.length && size < LFS_MAX;
  });
  if (small.length === 0) return;
  const contents = source.read(small.map(({ blob }) => blob));
  try {
    for (const { path, blob } of small) {
      const content = await buffer(contentOf(contents, sizes.get(blob)!));
      if (!content.subarray(0, LFS.length).equals(LFS)) continue;
      const detail = `${displayPath(path)}: is a Git LFS pointer, not the file's content`;
      throw new HttpProblem(409, detail, { reason: "LfsPointer" });
    }
  } finally {
    await contents.return();
  }
}
