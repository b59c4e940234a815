import { randomUUID } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { FssyncError } from "../model/errors.ts";
import { displayPath, encodePath, parentFolders } from "../model/path.ts";
import { sleep, type Clock } from "../ports/clock.ts";
import type { FileChange, GitEditor } from "../ports/git-editor.ts";
import { readBlob } from "./blob.ts";
import type { AttributeReader } from "./check-attr.ts";
import type { Git } from "./git.ts";
import { explain, GitFailure, refusalWords, saysDamage } from "./git-failure.ts";
import { Limit } from "./limit.ts";
import { parseListing, type TreeEntry } from "./ls-tree.ts";
import type { Mirror } from "./mirror.ts";

/** Of a file that is edited. */
const MOST_BYTES = 1024 * 1024;
/** How often a branch may move under one change. */
const ATTEMPTS = 10;
/** Pauses between them, milliseconds: others push too, and each shall find a gap. */
const PAUSE = { base: 20, max: 1000 };
/** Wall clock for one change once its turn has come, milliseconds. */
const DEADLINE = 120_000;
/** Of paths, in characters and in names: git is told them, and the folders above, as arguments. */
const LONGEST = 4096;
const DEEPEST = 128;
const PLAIN: ReadonlySet<string> = new Set(["100644", "100755"]);
const INDEX = /^edit-.*\.index/;

export interface Author {
  readonly name: string;
  readonly email: string;
}

export interface MirrorEditorOptions {
  readonly git: Git;
  readonly mirror: Mirror;
  readonly attributes: AttributeReader;
  readonly author: Author;
  /** Holds the index of a change while it is made. */
  readonly dir: string;
  /** Resolves when the mirror's folder is ready. */
  readonly opened: () => Promise<void>;
  /** Whether the newest commit is this one or lies above it. */
  readonly contains: (commit: string) => Promise<boolean>;
  /** The remote and its branch, for messages. */
  readonly where: string;
  readonly clock: Clock;
}

interface Found {
  readonly entry: TreeEntry | null;
  /** Whether .gitattributes say so. */
  readonly secret: boolean;
}

/**
 * Commits to the branch by way of the bare mirror: no work tree, no hooks, nothing of it is left but objects, which
 * `git gc` keeps for two weeks and which are of use once the branch has them.
 */
export class MirrorEditor implements GitEditor {
  readonly #options: MirrorEditorOptions;
  readonly #turns = new Limit(1);

  constructor(options: MirrorEditorOptions) {
    this.#options = options;
  }

  /** Removes what an earlier process left. */
  async open(): Promise<void> {
    const { dir } = this.#options;
    for (const name of await readdir(dir)) if (INDEX.test(name)) await rm(join(dir, name), { force: true });
  }

  commit(change: FileChange, signal: AbortSignal): Promise<string | null> {
    return this.#turns.run(async () => {
      const late = new AbortController();
      using _ = this.#options.clock.after(DEADLINE, () => late.abort());
      try {
        return await this.#commit(change, AbortSignal.any([signal, late.signal]));
      } catch (error) {
        if (!late.signal.aborted || signal.aborted) throw error;
        throw this.#pushFailed(`it was not done within ${DEADLINE / 1000} s`, error);
      }
    });
  }

  async #commit(change: FileChange, signal: AbortSignal): Promise<string | null> {
    const { mirror, clock, opened } = this.#options;
    await opened();
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const parent = await mirror.poll(signal);
      const commit = await this.#make(change, parent, signal);
      if (commit === null || (await this.#push(commit, parent, signal))) return commit;
      await sleep(clock, clock.random() * Math.min(PAUSE.max, PAUSE.base * 2 ** attempt), signal);
    }
    throw this.#pushFailed(`the branch moved ${ATTEMPTS} times meanwhile`);
  }

  /** Whether the branch has the commit now; false when others were faster. Throws PushFailed when it was refused. */
  async #push(commit: string, parent: string, signal: AbortSignal): Promise<boolean> {
    const { mirror, contains } = this.#options;
    try {
      await mirror.push(commit, parent, signal);
      return true;
    } catch (error) {
      if (!(error instanceof GitFailure)) throw error;
      if (error.end === "aborted") throw explain(error, "PushFailed", "Pushing");
      // What git says of it depends on its version and on the server: where the branch is now does not.
      const head = await mirror.poll(signal).catch((unknown: unknown) => {
        throw this.#pushFailed(`${whyNot(error)}; whether it was taken is not known`, unknown);
      });
      if (await contains(commit)) return true;
      if (head === parent) throw this.#pushFailed(whyNot(error), error);
      return false;
    }
  }

  /** The commit with the change on `parent`; null when it changes nothing. */
  async #make(change: FileChange, parent: string, signal: AbortSignal): Promise<string | null> {
    const read = await this.#onMirror("Reading a file", () => this.#read(change.path, parent, signal));
    const { entry, content, secret } = read;
    const after = change.edit(content, { secret });
    if (after === content || (after && content?.equals(after))) return null;
    return await this.#onMirror("Making a commit", async () => {
      const tree = await this.#tree(parent, await this.#indexLine(change.path, entry, after, signal), signal);
      return await this.#run(["commit-tree", tree, "-p", parent], signal, change.message, this.#identity());
    });
  }

  async #onMirror<T>(what: string, work: () => Promise<T>): Promise<T> {
    const { mirror } = this.#options;
    const { generation } = mirror;
    try {
      return await work();
    } catch (error) {
      if (saysDamage(error)) mirror.reportDamage(generation, error);
      throw explain(error, "SourceUnavailable", what);
    }
  }

  async #read(path: string, commit: string, signal: AbortSignal) {
    const { entry, secret } = await this.#entryAt(commit, path, signal);
    const content = entry && (await readBlob(this.#options.git, entry.id, MOST_BYTES));
    if (entry && content === null) throw notEditable(path, `is larger than ${MOST_BYTES} bytes`);
    return { entry, content, secret };
  }

  /** The file, null when nothing is there. Throws NotEditable for anything else at its path or above it. */
  async #entryAt(commit: string, path: string, signal: AbortSignal): Promise<Found> {
    const names = path.split("/");
    // What git's own file systems would take for `.git` is no file either.
    const wrong = path.includes("\0") || names.some((name) => /^(?:\.{0,2}|\.git|git~\d+)$/i.test(name));
    if (wrong || path.length > LONGEST || names.length > DEEPEST) throw notEditable(path, "is no path of a file");
    const above = parentFolders(path);
    const attributeFiles = [".gitattributes", ...above.map((folder) => `${folder}/.gitattributes`)];
    const args = ["ls-tree", "-t", "-z", "--full-tree", "--end-of-options", commit, path, ...above, ...attributeFiles];
    // Of a folder on the way all that lies in it is listed too.
    const listed = parseListing(await this.#options.git.run(args, { signal }));
    const entry = listed.find((one) => one.path === path);
    const inTheWay = listed.find((one) => above.includes(one.path) && one.type !== "tree");
    if (inTheWay) throw notEditable(inTheWay.path, "is no folder");
    if (entry && !PLAIN.has(entry.mode)) throw notEditable(path, "is no plain file");
    const said = listed.filter((one) => one.type === "blob" && attributeFiles.includes(one.path));
    const attributes = (await this.#options.attributes.read(said, [path])).get(path);
    return { entry: entry ?? null, secret: attributes?.secret !== undefined };
  }

  /** As `update-index --index-info` takes it. A file keeps its mode. */
  async #indexLine(path: string, entry: TreeEntry | null, after: Buffer | null, signal: AbortSignal): Promise<Buffer> {
    if (after === null) return encodePath(`0 ${"0".repeat(entry!.id.length)}\t${path}\0`);
    const blob = await this.#run(["hash-object", "-w", "--stdin", "--no-filters"], signal, after);
    return encodePath(`${entry?.mode ?? "100644"} ${blob}\t${path}\0`);
  }

  /** The tree of a commit with one line of the index replaced. */
  async #tree(commit: string, line: Buffer, signal: AbortSignal): Promise<string> {
    const index = join(this.#options.dir, `edit-${randomUUID()}.index`);
    const environment = { GIT_INDEX_FILE: index };
    try {
      await this.#run(["read-tree", "--end-of-options", commit], signal, "", environment);
      await this.#run(["update-index", "--verbose", "-z", "--index-info"], signal, line, environment);
      return await this.#run(["write-tree"], signal, "", environment);
    } finally {
      for (const file of [index, `${index}.lock`]) await rm(file, { force: true });
    }
  }

  #identity(): Record<string, string> {
    const { name, email } = this.#options.author;
    return { GIT_AUTHOR_NAME: name, GIT_AUTHOR_EMAIL: email, GIT_COMMITTER_NAME: name, GIT_COMMITTER_EMAIL: email };
  }

  /** A command on the mirror; its output without the end of the line. */
  async #run(
    args: readonly string[],
    signal: AbortSignal,
    stdin: Buffer | string,
    environment: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    const output = await this.#options.git.run(args, { signal, stdin, environment });
    return output.toString("utf8").trim();
  }

  #pushFailed(why: string, cause?: unknown): FssyncError {
    return new FssyncError("PushFailed", `Pushing to ${this.#options.where}: ${why}`, { cause });
  }
}

function whyNot({ end, stderr, message }: GitFailure): string {
  return end === "timeout" ? "no answer within git.timeout" : refusalWords(stderr) || message;
}

function notEditable(path: string, why: string): FssyncError {
  return new FssyncError("NotEditable", `${displayPath(path)} ${why}`);
}
