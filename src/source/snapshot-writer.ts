import { chmod, mkdir, open, symlink, writeFile } from "node:fs/promises";
import { FssyncError } from "../model/errors.ts";
import { displayPath, encodePath } from "../model/path.ts";
import { isNeverSent } from "./excluded.ts";
import type { LaidBlob, LaidBlobs } from "./laid-blobs.ts";
import type { ObjectHeader, ObjectReader } from "./object-reader.ts";
import { parseTreeObject } from "./tree-object.ts";

const WHOLE_MAX = 1024 * 1024;
const WRITES = 16;
const LFS = Buffer.from("version https://git-lfs.github.com/spec/");
const LFS_MAX = 1024;

/** A tree or a file; the path of the root is empty. */
type Pending = LaidBlob;

/**
 * Writes the files of a tree into `folder`, which does not exist yet, those that lie elsewhere as links; returns them. At
 * most some megabytes are held in memory. Throws LfsPointer, InvalidPath, GitFailure, and what the file system throws;
 * after that neither the folder nor the reader is good for anything.
 */
export async function writeSnapshot(
  reader: ObjectReader,
  tree: string,
  folder: Buffer,
  laid: LaidBlobs,
): Promise<LaidBlob[]> {
  const files: LaidBlob[] = [];
  const writes: Promise<void>[] = [];
  const later = (write: Promise<void>) => {
    // Its error is met by the Promise.all that comes.
    write.catch(() => undefined);
    writes.push(write);
  };
  // Answers come in the order of the requests, so the queue always tells what the next one is.
  const pending: Pending[] = [{ kind: "tree", id: tree, path: "" }];
  reader.request([tree]);
  try {
    for (let at = 0; at < pending.length; at++) {
      const item = pending[at]!;
      const header = await reader.next();
      if (item.kind === "tree") {
        const children = await readFolder(reader, header, item.path);
        await mkdir(onDisk(folder, item.path));
        later(openToAll(onDisk(folder, item.path)));
        const [trees, blobs] = [children.filter(isTree), children.filter((child) => !isTree(child))];
        const unlaid = [...trees, ...(await laid.link(blobs, (blob) => onDisk(folder, blob.path)))];
        reader.request(unlaid.map(({ id }) => id));
        for (const child of unlaid) pending.push(child);
        for (const blob of blobs) files.push(blob);
      } else {
        const start = await readBlob(reader, header, item, onDisk(folder, item.path));
        later(start());
      }
      if (writes.length >= WRITES) await Promise.all(writes.splice(0));
    }
    await Promise.all(writes);
    return files;
  } finally {
    await Promise.allSettled(writes);
  }
}

async function readFolder(reader: ObjectReader, header: ObjectHeader, folder: string): Promise<Pending[]> {
  if (header.type !== "tree")
    throw new FssyncError("SourceUnavailable", `${header.id} is a ${header.type}, not a tree`);
  const children: Pending[] = [];
  for (const { kind, name, id } of parseTreeObject(await reader.content(header), header.id.length / 2)) {
    const path = folder === "" ? name : `${folder}/${name}`;
    if (name === "" || name === "." || name === ".." || name.includes("/")) {
      throw new FssyncError("InvalidPath", `${displayPath(path)}: a part of the path is empty, \`.\` or \`..\``);
    }
    if (kind !== "submodule" && (kind === "tree" || !isNeverSent(path))) children.push({ kind, path, id });
  }
  return children;
}

/** Reads a blob. What it returns writes it, which may go on while the next one is read. */
async function readBlob(
  reader: ObjectReader,
  header: ObjectHeader,
  { kind, path }: Pending,
  target: Buffer,
): Promise<() => Promise<void>> {
  const mode = kind === "executable" ? 0o755 : 0o644;
  if (header.size > WHOLE_MAX) {
    await stream(reader, header, target, mode);
    return async () => undefined;
  }
  const content = await reader.content(header);
  if (kind === "symlink") return () => symlink(content, target).catch((error: unknown) => badLink(error, path));
  if (header.size < LFS_MAX && content.subarray(0, LFS.length).equals(LFS)) {
    throw new FssyncError("LfsPointer", `${displayPath(path)}: is a Git LFS pointer, not the file's content`);
  }
  return () => writeFile(target, content, { mode, flag: "wx" });
}

async function stream(reader: ObjectReader, header: ObjectHeader, target: Buffer, mode: number): Promise<void> {
  await using file = await open(target, "wx", mode);
  for await (const piece of reader.pieces(header)) await file.writeFile(piece);
}

/** Folders that rsync makes on a host take their mode from here: our umask must not show there. */
function openToAll(folder: Buffer): Promise<void> {
  return chmod(folder, 0o755);
}

function isTree({ kind }: Pending): boolean {
  return kind === "tree";
}

function onDisk(folder: Buffer, path: string): Buffer {
  return path === "" ? folder : Buffer.concat([folder, Buffer.from("/"), encodePath(path)]);
}

function badLink(error: unknown, path: string): never {
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== "ENOENT" && code !== "ENAMETOOLONG" && code !== "ERR_INVALID_ARG_VALUE") throw error;
  throw new FssyncError("InvalidPath", `${displayPath(path)}: the target of the symlink is not valid`, {
    cause: error,
  });
}
