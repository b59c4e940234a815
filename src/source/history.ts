import { excerpt } from "../model/excerpt.ts";
import { Lru } from "../model/lru.ts";
import { revision } from "../model/revision.ts";
import type { CommitInfo } from "../ports/git-source.ts";
import type { Git } from "./git.ts";
import { GitFailure } from "./git-failure.ts";
import { Limit } from "./limit.ts";
import { presentCommits } from "./pins.ts";
import { isObjectId } from "./ref-name.ts";

/** Most commits that one answer names. */
const MOST_COMMITS = 100;
const ANSWERS = 500;
const LOGS = 200;
/** Of a subject; of a name a half of it. */
const LONGEST = 200;
/** A hundred commits with the longest of names and subjects have a tenth of it. */
const MAX_OUTPUT = 1024 * 1024;
const FIELDS = 4;

/** One question: the commits that changed any of these paths, from a commit downwards. */
export interface HistoryQuery {
  readonly from: string;
  readonly branch: string;
  /** Files and folders, taken as they are. */
  readonly paths: readonly string[];
  readonly limit: number;
}

/**
 * What the mirror knows of the way to a commit. A commit never changes what is below it, so answers stay; one
 * that several wait for is asked once. People's questions have one process each for logs and for ancestors:
 * syncs do not wait for them.
 */
export class History {
  readonly #git: Git;
  readonly #logs = new Lru<string, Promise<readonly CommitInfo[]>>(LOGS);
  readonly #ancestors = new Lru<string, Promise<boolean>>(ANSWERS);
  readonly #logging = new Limit(1);
  readonly #comparing = new Limit(1);

  constructor(git: Git) {
    this.#git = git;
  }

  /** Whether `commit` is `head` or below it; false of one that the mirror does not hold. Throws GitFailure. */
  async contains(head: string, commit: string): Promise<boolean> {
    if (!isObjectId(commit)) return false;
    if (commit === head) return true;
    const compare = () => this.#comparing.run(() => isAncestor(this.#git, commit, head));
    return await remembered(this.#ancestors, `${head} ${commit}`, compare);
  }

  /** Newest first. Throws GitFailure, also when `from` is not there. */
  async log(query: HistoryQuery): Promise<readonly CommitInfo[]> {
    const limit = Math.min(MOST_COMMITS, Math.max(0, Math.floor(query.limit)));
    if (!isObjectId(query.from) || !(limit > 0)) return [];
    const key = JSON.stringify([query.from, limit, query.paths]);
    return await remembered(this.#logs, key, () => this.#logging.run(() => readLog(this.#git, { ...query, limit })));
  }
}

/** What failed is asked again. */
async function remembered<T>(answers: Lru<string, Promise<T>>, key: string, ask: () => Promise<T>): Promise<T> {
  const known = answers.get(key);
  if (known) return await known;
  const answer = ask();
  void answers.set(key, answer);
  try {
    return await answer;
  } catch (error) {
    if (answers.get(key) === answer) answers.delete(key);
    throw error;
  }
}

async function isAncestor(git: Git, commit: string, head: string): Promise<boolean> {
  try {
    await git.run(["merge-base", "--is-ancestor", "--end-of-options", commit, head]);
    return true;
  } catch (error) {
    if (!(error instanceof GitFailure) || error.end !== "exit") throw error;
    if (error.exitCode === 1) return false;
    const present = await presentCommits(git, [commit, head]);
    if (present.includes(head) && !present.includes(commit)) return false;
    throw error;
  }
}

async function readLog(git: Git, { from, branch, paths, limit }: HistoryQuery): Promise<CommitInfo[]> {
  const args = ["log", "-z", FORMAT, `--max-count=${limit}`, "--end-of-options", from, "--", ...paths];
  const output = await git.run(args, { maxOutput: MAX_OUTPUT });
  return parseLog(output.toString("utf8"), branch);
}

/** Cut by git, as far as it counts columns: nobody shall send megabytes as a subject. */
const FORMAT = `--format=%H%x00%<(${LONGEST},trunc)%an%x00%ct%x00%<(${2 * LONGEST},trunc)%s`;

/** The output of `git log -z` in `FORMAT`. */
export function parseLog(output: string, branch: string): CommitInfo[] {
  const fields = output.split("\0");
  const commits: CommitInfo[] = [];
  for (let at = 0; at + FIELDS <= fields.length; at += FIELDS) {
    const [commit, author, seconds, subject] = fields.slice(at, at + FIELDS) as [string, string, string, string];
    commits.push({
      commit,
      revision: revision(branch, commit),
      author: excerpt(withoutAddress(printable(author)), LONGEST / 2),
      at: Number(seconds) * 1000,
      subject: excerpt(printable(subject), LONGEST),
    });
  }
  return commits;
}

/** Who calls themselves by their e-mail address is shown without its domain. */
function withoutAddress(name: string): string {
  return /^([^\s@]+)@[^\s@]+$/.exec(name)?.[1] ?? name;
}

/** Neither control characters nor marks that turn the direction of what stands beside. */
function printable(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]+/gu, " ")
    .replace(/ +/g, " ")
    .trim();
}
