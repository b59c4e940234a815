import type { Logger } from "pino";
import type { Git } from "./git.ts";
import { GitFailure } from "./git-failure.ts";
import { isObjectId } from "./ref-name.ts";

const PREFIX = "refs/fssync/bases/";
/** Pins that nobody needs are removed so many at a time, or more: each costs a small file, and writing refs a git process. */
const REMOVED_AT_ONCE = 16;

/** Refs that keep commits through any force-push and gc. What is known to be pinned costs nothing. */
export class Pins {
  readonly #git: Git;
  readonly #log: Logger;
  #pinned = new Set<string>();
  /** Those of them that nobody needs any more. */
  #spare = new Set<string>();
  #isSure = true;

  constructor(git: Git, log: Logger) {
    this.#git = git;
    this.#log = log;
  }

  /** Those that somebody needs. */
  get commits(): ReadonlySet<string> {
    return this.#pinned.difference(this.#spare);
  }

  /** False after a write that failed: it may have been done in part. */
  get isSure(): boolean {
    return this.#isSure;
  }

  /** Takes over the refs that the mirror holds. */
  load(refs: Iterable<string>): void {
    this.#isSure = true;
    this.#spare.clear();
    this.#pinned = new Set([...refs].filter((ref) => ref.startsWith(PREFIX)).map((ref) => ref.slice(PREFIX.length)));
  }

  /** Throws GitFailure. A commit that is not in the mirror is left out: nothing of it is left to keep. */
  async pin(commits: Iterable<string>): Promise<void> {
    const needed = new Set(commits);
    this.#spare = this.#spare.difference(needed);
    const wanted = [...needed].filter((commit) => isObjectId(commit) && !this.#pinned.has(commit));
    if (wanted.length === 0) return;
    try {
      await this.#update(wanted.map((commit) => `update ${PREFIX}${commit} ${commit}`));
      for (const commit of wanted) this.#pinned.add(commit);
    } catch (error) {
      if (!(error instanceof GitFailure) || error.end !== "exit") throw error;
      // One missing commit fails the whole transaction: find out which are there.
      const present = await presentCommits(this.#git, wanted);
      if (present.length === wanted.length) throw error;
      this.#log.warn({ missing: wanted.length - present.length }, "some base commits are not in the mirror any more");
      await this.pin(present);
    }
  }

  /** The others are removed, once there are enough of them. Throws GitFailure. */
  async keepOnly(commits: ReadonlySet<string>): Promise<void> {
    this.#spare = this.#pinned.difference(commits);
    if (this.#spare.size < REMOVED_AT_ONCE) return;
    const gone = [...this.#spare];
    await this.#update(gone.map((commit) => `delete ${PREFIX}${commit}`));
    for (const commit of gone) this.#pinned.delete(commit);
    this.#spare.clear();
  }

  async #update(lines: readonly string[]): Promise<void> {
    try {
      await this.#git.run(["update-ref", "--stdin"], { stdin: `${lines.join("\n")}\n` });
    } catch (error) {
      this.#isSure = false;
      throw error;
    }
  }
}

/** Those of some commits that a repo holds. */
export async function presentCommits(
  git: Git,
  commits: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<string[]> {
  if (commits.length === 0) return [];
  const output = await git.run(["cat-file", "--batch-check=%(objectname) %(objecttype)"], {
    stdin: `${commits.join("\n")}\n`,
    environment,
  });
  const lines = new Set(output.toString("utf8").split("\n"));
  return commits.filter((commit) => lines.has(`${commit} commit`));
}
