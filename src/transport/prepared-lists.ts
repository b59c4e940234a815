import { lstat, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AppKey } from "../model/app.ts";
import { asFssyncError, FssyncError } from "../model/errors.ts";
import type { FileEntry } from "../model/manifest.ts";
import { encodePath, parentFolders } from "../model/path.ts";
import type { HostChange, PreparedChange } from "../ports/transport.ts";
import { makeGuard, type Guard } from "./guard.ts";
import { planPasses, type Passes, type Send } from "./passes.ts";
import { nulList } from "./removal.ts";
import type { FileList } from "./rsync-args.ts";

const AT_ONCE = 64;

/** A change with its lists on disk, written once for all hosts of the group. */
export class PreparedLists implements PreparedChange {
  readonly change: HostChange;
  readonly passes: Passes;
  /** Undefined when the change replaces nothing. */
  readonly guard: Guard | undefined;
  readonly #dir: string;
  readonly #lists = new Map<string, Promise<FileList>>();
  readonly #ends: (() => Promise<void>)[] = [];
  #disposed = false;

  /** `dir` is a folder of its own, absolute; it exists. */
  constructor(change: HostChange, passes: Passes, dir: string) {
    this.change = change;
    this.passes = passes;
    this.guard = makeGuard(change);
    this.#dir = dir;
  }

  /** Throws ControllerNoSpace. */
  static async make(change: HostChange, dir: string): Promise<PreparedLists> {
    try {
      const modes = await snapshotModes(change);
      await mkdir(dir, { mode: 0o700 });
      const prepared = new PreparedLists(
        change,
        planPasses(change, (file) => modes.get(file)),
        dir,
      );
      await Promise.all(prepared.passes.sends.map((send) => prepared.sendList(send, [...send.files.keys()])));
      const deletes = [...prepared.passes.deletes.keys()];
      if (deletes.length > 0) await prepared.deleteList(deletes);
      return prepared;
    } catch (error) {
      await rm(dir, { recursive: true, force: true }).catch(() => undefined);
      throw asFssyncError(error);
    }
  }

  /** The files of these apps in one run. */
  sendList(send: Send, apps: readonly AppKey[]): Promise<FileList> {
    const name = `send-${this.passes.sends.indexOf(send)}`;
    return this.#list(name, send.files, apps, async (list) => {
      const files = apps.flatMap((app) => send.files.get(app) ?? []);
      const { snapshotRoot } = this.change;
      const [tree, ...others] = new Set(files.map((file) => file.tree));
      // Whatever stands in front keeps an entry from beginning with `#` or `;`, which rsync would take
      // for a comment. The part before `/./` is not sent: snapshots of several trees go to one root.
      // That costs rsync 40 µs a file, so it is spared where all files are of one tree.
      const entries = files.map((file) => (others.length === 0 ? `/${file.path}` : `${file.tree}/./${file.path}`));
      await writeFile(list, nulList(entries));
      return { list, source: others.length === 0 ? `${snapshotRoot}/${tree}` : snapshotRoot };
    });
  }

  /** The paths that these apps delete, and a folder that holds only their parents. */
  deleteList(apps: readonly AppKey[]): Promise<FileList> {
    return this.#list("delete", this.passes.deletes, apps, async (list) => {
      const paths = apps.flatMap((app) => this.passes.deletes.get(app) ?? []);
      const source = `${list}.source`;
      await mkdir(source);
      const parents = new Set(paths.flatMap((path) => parentFolders(path)));
      for (const parent of [...parents].toSorted())
        await mkdir(Buffer.concat([Buffer.from(`${source}/`), encodePath(parent)]));
      await writeFile(list, nulList(paths.map((path) => `./${path}`)));
      return { list, source };
    });
  }

  /** Throws Internal when it was disposed. */
  check(): void {
    if (this.#disposed) throw new FssyncError("Internal", "a prepared change was used after it was disposed");
  }

  /** What else was made for this change goes with it; at once when that is gone already. */
  onDispose(end: () => Promise<void>): void {
    if (this.#disposed) void end().catch(() => undefined);
    else this.#ends.push(end);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await Promise.allSettled([...this.#lists.values(), ...this.#ends.splice(0).map((end) => end())]);
    // What stays is removed at the next start: no outcome is lost for it.
    await rm(this.#dir, { recursive: true, force: true }).catch(() => undefined);
  }

  /** A list is written when it is first wanted: those of single apps only after a shared run failed. */
  async #list(
    name: string,
    work: ReadonlyMap<AppKey, unknown>,
    apps: readonly AppKey[],
    write: (file: string) => Promise<FileList>,
  ): Promise<FileList> {
    this.check();
    const file =
      apps.length === work.size ? name : `${name}.${apps.map((app) => [...work.keys()].indexOf(app)).join("-")}`;
    const found = this.#lists.get(file) ?? write(join(this.#dir, file));
    this.#lists.set(file, found);
    return found;
  }
}

/** Permission bits of the snapshot's files, so that only files that want others need a run of their own. */
async function snapshotModes({ snapshotRoot, apps }: HostChange): Promise<ReadonlyMap<FileEntry, number>> {
  const modes = new Map<FileEntry, number>();
  const files = apps
    .flatMap(({ send }) => send)
    .filter(({ kind }) => kind === "file")
    .values();
  const workers = Array.from({ length: AT_ONCE }, async () => {
    for (const file of files) {
      const path = Buffer.concat([Buffer.from(`${snapshotRoot}/`), encodePath(`${file.tree}/${file.path}`)]);
      // A file that is missing is rsync's to report, for the app that it belongs to.
      const found = await lstat(path).catch(() => undefined);
      if (found) modes.set(file, found.mode & 0o7777);
    }
  });
  await Promise.all(workers);
  return modes;
}
