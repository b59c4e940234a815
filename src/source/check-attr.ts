import { createHash } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { encodePath } from "../model/path.ts";
import { ATTRIBUTES, type Attributes, parseCheckAttr } from "./attributes.ts";
import type { Git } from "./git.ts";
import type { TreeEntry } from "./ls-tree.ts";
import { Lru } from "../model/lru.ts";

const INDEX_FILES = 64;
const NONE: ReadonlyMap<string, Attributes> = new Map();

/**
 * Asks git for the attributes of files at a commit. Git 2.39 can read .gitattributes from an index but
 * not from a tree, so an index is made that holds nothing but the commit's .gitattributes files: it is
 * small, and the same for all commits that do not touch them.
 */
export class AttributeReader {
  readonly #git: Git;
  readonly #dir: string;
  readonly #indexes = new Lru<string, Promise<string>>(INDEX_FILES);

  constructor(git: Git, dir: string) {
    this.#git = git;
    this.#dir = dir;
  }

  /** Removes what an earlier process left. */
  async open(): Promise<void> {
    for (const name of await readdir(this.#dir)) {
      if (name.startsWith("attributes-")) await rm(join(this.#dir, name), { force: true });
    }
  }

  /** By path from the root of the repo; files without attributes are absent. Throws GitFailure. */
  async read(attributeFiles: readonly TreeEntry[], paths: readonly string[]): Promise<ReadonlyMap<string, Attributes>> {
    if (attributeFiles.length === 0 || paths.length === 0) return NONE;
    const index = await this.#index(attributeFiles);
    const output = await this.#git.run(["check-attr", "--cached", "-z", "--stdin", ...ATTRIBUTES], {
      stdin: encodePath(paths.join("\0") + "\0"),
      environment: { GIT_INDEX_FILE: index },
    });
    return parseCheckAttr(output);
  }

  #index(attributeFiles: readonly TreeEntry[]): Promise<string> {
    const content = encodePath(attributeFiles.map(({ id, path }) => `100644 ${id}\t${path}\0`).join(""));
    const key = createHash("sha256").update(content).digest("hex");
    const known = this.#indexes.get(key);
    if (known !== undefined) return known;
    const made = this.#make(join(this.#dir, `attributes-${key.slice(0, 32)}.index`), content);
    const evicted = this.#indexes.set(key, made);
    for (const index of evicted) void index.then((file) => rm(file, { force: true })).catch(() => undefined);
    made.catch(() => this.#indexes.delete(key));
    return made;
  }

  async #make(file: string, content: Buffer): Promise<string> {
    // --verbose makes git say a word: simple-git waits 50 ms longer for a process that is silent.
    await this.#git.run(["update-index", "--verbose", "-z", "--index-info"], {
      stdin: content,
      environment: { GIT_INDEX_FILE: file },
    });
    return file;
  }
}
