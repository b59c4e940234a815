import { createHash } from "node:crypto";
import { lstat, readFile, readlink, mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { FileEntry } from "../../model/manifest.ts";
import { encodePath, parentFolders } from "../../model/path.ts";
import type { PreparedLists } from "../prepared-lists.ts";
import type { Send } from "../passes.ts";
import type { BatchClass, BatchScript } from "./batch-script.ts";
import { writeArgs } from "./batch-args.ts";

/** Bytes of files beyond which rsync itself is cheaper. */
const LARGEST = 4 * 1024 * 1024;

export interface Batch {
  readonly script: BatchScript;
  /** What goes to the standard input of every host. */
  input(): Promise<Buffer>;
}

/** Why a change cannot go as a batch. */
export class NotBatchable {
  readonly why: string;
  constructor(why: string) {
    this.why = why;
  }
}

type RunRsync = (args: readonly string[]) => Promise<void>;

/** Writes the batches of a change. Throws what rsync or the disk throws. */
export async function writeBatch(lists: PreparedLists, dir: string, rsync: RunRsync): Promise<Batch | NotBatchable> {
  const { change, passes } = lists;
  if (passes.clear.size > 0) return new NotBatchable("a folder becomes a file, or a file a folder");
  const sends = change.apps.flatMap(({ send }) => send);
  const deletes = [...passes.deletes.values()].flat();
  const paths = [...sends.map(({ path }) => path), ...deletes];
  if (paths.some((path) => /[\n\r\\]/.test(path))) return new NotBatchable("a name with a line end or a backslash");
  const contents = new Map<FileEntry, Content>();
  await Promise.all(sends.map(async (file) => contents.set(file, await contentOf(change.snapshotRoot, file))));
  const size = [...contents.values()].reduce((sum, content) => sum + content.size, 0);
  if (size > LARGEST) return new NotBatchable("too large");
  await mkdir(dir, { mode: 0o700, recursive: true });
  const nowhere = join(dir, "nowhere");
  await mkdir(nowhere, { recursive: true });
  const files: string[] = [];
  const classes = await Promise.all(
    passes.sends.map(async (send, index): Promise<BatchClass> => {
      const list = await lists.sendList(send, [...send.files.keys()]);
      const file = join(dir, `batch-${index}`);
      files.push(file);
      await rsync(writeArgs(list, send.ownership.mode, file, nowhere));
      return classOf(send, contents, (await stat(file)).size);
    }),
  );
  const script: BatchScript = {
    replaced: replacedOf(lists, contents),
    classes,
    deletes: deletes.map(dotted),
    emptyFolders: passes.emptyFolders.map(dotted),
    parents: [...new Set(paths.flatMap(parentFolders))].map(dotted),
  };
  return {
    script,
    input: async () => Buffer.concat(await Promise.all(files.toSorted().map((file) => readFile(file)))),
  };
}

interface Content {
  readonly size: number;
  readonly checksum: string;
  readonly mode: number;
}

async function contentOf(root: string, { tree, path, kind }: FileEntry): Promise<Content> {
  const file = Buffer.concat([Buffer.from(`${root}/`), encodePath(`${tree}/${path}`)]);
  const { mode } = await lstat(file);
  const bytes = kind === "symlink" ? await readlink(file, { encoding: "buffer" }) : await readFile(file);
  return { size: bytes.length, checksum: createHash("sha256").update(bytes).digest("hex"), mode: mode & 0o7777 };
}

function dotted(path: string): string {
  return `./${path}`;
}

function classOf(send: Send, contents: ReadonlyMap<FileEntry, Content>, size: number): BatchClass {
  const modeOf = (file: FileEntry) => send.ownership.mode ?? contents.get(file)!.mode;
  const all = [...send.files.values()].flat();
  const plain = all.filter(({ kind }) => kind === "file").toSorted((a, b) => modeOf(a) - modeOf(b));
  const links = all.filter(({ kind }) => kind === "symlink");
  const modes = new Set(plain.map((file) => (0o100000 | modeOf(file)).toString(16)));
  if (links.length > 0) modes.add((0o120777).toString(16));
  const sumOf = (file: FileEntry) => contents.get(file)!.checksum;
  return {
    ownership: send.ownership,
    plain: plain.map(({ path }) => dotted(path)),
    links: links.map(({ path }) => dotted(path)),
    size,
    sums:
      plain.map((file) => said(sumOf(file), file.path)).join("") + links.map((file) => `${sumOf(file)}  -\n`).join(""),
    modes: [...modes],
  };
}

function said(checksum: string, path: string): string {
  return `${checksum}  ./${path}\n`;
}

/** Of what is deleted nobody knows whether it was a symlink; most are not. */
function replacedOf({ change }: PreparedLists, contents: ReadonlyMap<FileEntry, Content>): BatchScript["replaced"] {
  const sent = new Map(change.apps.flatMap(({ send }) => send.map((file) => [file.path, file] as const)));
  const known = change.apps.flatMap(({ replaces = [] }) => replaces);
  const isLink = ({ path }: { path: string }) => sent.get(path)?.kind === "symlink";
  const plain = known.filter((file) => !isLink(file));
  const links = known.filter(isLink);
  const sums = (of: (file: (typeof known)[number]) => string) =>
    plain.map((file) => said(of(file), file.path)).join("") + links.map((file) => `${of(file)}  -\n`).join("");
  return {
    plain: plain.map(({ path }) => dotted(path)),
    links: links.map(({ path }) => dotted(path)),
    synced: sums(({ checksums }) => checksums[0]!),
    // What is to be deleted is never as it shall be already: it is there.
    desired: sums(({ path }) => (sent.has(path) ? contents.get(sent.get(path)!)!.checksum : "deleted")),
  };
}
