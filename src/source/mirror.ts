import { access, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { asFssyncError, FssyncError } from "../model/errors.ts";
import type { Credentials } from "./credentials.ts";
import type { Git, RunOptions } from "./git.ts";
import { explain, saysDamage } from "./git-failure.ts";
import { removeLeftovers } from "./leftovers.ts";
import { Limit } from "./limit.ts";
import type { ObjectReaders } from "./object-readers.ts";
import { Pins, presentCommits } from "./pins.ts";
import { redactUrls, type RemoteUrl } from "./remote-url.ts";

const HEAD = "refs/fssync/head";
const BASES = "refs/fssync/bases";
/** Fetches between two looks of `git gc --auto`. */
const GC_EVERY = 50;

export interface MirrorOptions {
  readonly url: RemoteUrl;
  readonly branch: string;
  /** Holds `git`, and while it is cloned anew `git.new` and `git.old`. */
  readonly dir: string;
  readonly git: Git;
  readonly readers: ObjectReaders;
  readonly credentials: Credentials;
  readonly log: Logger;
}

/**
 * A bare repo that follows one branch of the remote. Damage found by anyone is reported to it, and the
 * next poll clones it anew:
 *
 *     sound ──reportDamage──► damaged ──poll: clone aside, swap──► sound (next generation)
 */
export class Mirror {
  readonly pins: Pins;
  readonly #options: MirrorOptions;
  readonly #remote: string;
  readonly #polling = new Limit(1);
  /** Held by whatever writes refs, and while the folder is swapped. */
  readonly #refs = new Limit(1);
  #opening: Promise<void> | undefined;
  #head: string | null = null;
  #generation = 0;
  #damaged = false;
  /** A fetch failed: it may have left locks. */
  #unclean = false;
  #fetches = 0;

  constructor(options: MirrorOptions) {
    this.#options = options;
    this.#remote = redactUrls(options.url.text);
    this.pins = new Pins(options.git, options.log);
  }

  /** The newest commit fetched; null before `open` and when there is none. */
  get head(): string | null {
    return this.#head;
  }

  /** Counts how often the mirror was replaced. */
  get generation(): number {
    return this.#generation;
  }

  /** Finds the mirror, or makes an empty one. Asks nobody. */
  open(): Promise<void> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      throw explain(error, "SourceUnavailable", `Opening the mirror of ${this.#remote}`);
    });
    return this.#opening;
  }

  /** One ls-remote; a fetch when the branch moved; a new clone when the mirror is damaged. Returns the head. */
  async poll(signal: AbortSignal): Promise<string> {
    await this.open();
    return this.#polling.run(async () => {
      const remote = await this.#remoteOptions(signal);
      const newest = await this.#askRemote(remote);
      if (this.#damaged) await this.#cloneAnew(remote);
      else if (newest !== this.#head) await this.#fetch(remote);
      if (this.#head === null) throw this.#explain(new Error("it fetched nothing"), "Fetching");
      return this.#head;
    });
  }

  /**
   * Puts a commit onto the branch, which must be at `parent` there. Throws GitFailure, after which nobody knows
   * whether it was taken, and SecretInvalid.
   */
  async push(commit: string, parent: string, signal: AbortSignal): Promise<void> {
    const { git, url, branch } = this.#options;
    const ref = `refs/heads/${branch}`;
    // It forces nothing, since the commit lies on `parent`. Without it a push onto a branch that was set back
    // meanwhile would bring back what somebody took away.
    const lease = `--force-with-lease=${ref}:${parent}`;
    const args = ["push", "--progress", lease, "--end-of-options", url.text, `${commit}:${ref}`];
    await git.runRemote(args, await this.#remoteOptions(signal));
  }

  /** Tells that an object or ref was found broken while the mirror was in this generation. */
  reportDamage(generation: number, cause: unknown): void {
    // What failed across a swap says nothing about the new mirror.
    if (generation !== this.#generation || this.#damaged) return;
    this.#damaged = true;
    this.#options.log.warn({ err: cause }, "the git mirror is damaged and will be cloned again");
  }

  /** Runs a task that writes refs. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    return this.#refs.run(task);
  }

  /** Lets git pack and prune, now and then. */
  async tidy(): Promise<void> {
    if (this.#fetches < GC_EVERY) return;
    this.#fetches = 0;
    // What somebody else took away is pinned again by who needs it.
    await this.#loadRefs();
    await this.#options.git.run(["gc", "--auto", "--quiet"]);
  }

  async #open(): Promise<void> {
    const { dir, git } = this.#options;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await this.#endSwap();
    await removeLeftovers(git.gitDir);
    if (!(await exists(join(git.gitDir, "HEAD")))) await this.#init();
    try {
      await this.#loadRefs();
    } catch (error) {
      this.reportDamage(this.#generation, error);
    }
  }

  async #init(environment: Record<string, string> = {}): Promise<void> {
    await this.#options.git.run(["init", "--bare", "--quiet", "--template="], { environment });
  }

  /** `%(tree)` makes git read each commit: a ref to a broken one is found here. */
  async #loadRefs(): Promise<void> {
    const format = "--format=%(refname) %(objectname) %(tree)";
    const output = await this.#options.git.run(["for-each-ref", format, "refs/fssync/"]);
    const refs = new Map(
      output
        .toString("utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => line.split(" ", 2) as [string, string]),
    );
    this.#head = refs.get(HEAD) ?? null;
    this.pins.load(refs.keys());
  }

  /** The commit that a fetch brought; read, so that a broken one is found here. */
  #fetched(): Promise<string> {
    return this.#options.readers.with(async (reader) => {
      reader.request([HEAD]);
      const header = await reader.next();
      await reader.content(header);
      return header.id;
    });
  }

  /** With credentials as they are now. */
  async #remoteOptions(signal: AbortSignal): Promise<RunOptions> {
    const environment = await this.#options.credentials.environment().catch((error: unknown) => {
      throw asFssyncError(error, "SecretInvalid");
    });
    return { signal, environment };
  }

  async #askRemote(remote: RunOptions): Promise<string> {
    const { git, url, branch } = this.#options;
    const ref = `refs/heads/${branch}`;
    const output = await git
      .runRemote(["ls-remote", "--quiet", "--end-of-options", url.text, ref], remote)
      .catch((error: unknown) => {
        throw this.#explain(error, "Asking");
      });
    // A pattern of ls-remote matches the end of a name too: take the exact one.
    for (const line of output.toString("utf8").split("\n")) {
      const [id, name] = line.split("\t");
      if (name === ref && id) return id;
    }
    throw new FssyncError("BranchMissing", `Asking ${this.#remote}: it has no branch ${branch}`);
  }

  async #fetch(remote: RunOptions): Promise<void> {
    try {
      if (this.#unclean) await this.exclusive(() => removeLeftovers(this.#options.git.gitDir));
      this.#unclean = false;
      await this.#fetchInto({}, remote);
      if (this.pins.isSure) this.#head = await this.#fetched();
      else await this.exclusive(() => this.#loadRefs());
      this.#fetches++;
    } catch (error) {
      this.#unclean = true;
      if (!saysDamage(error)) throw this.#explain(error, "Fetching");
      this.reportDamage(this.#generation, error);
      await this.#cloneAnew(remote);
    }
  }

  async #fetchInto(where: Record<string, string>, remote: RunOptions): Promise<void> {
    const { git, url, branch } = this.#options;
    const args = [...FETCH, "--progress", "--end-of-options", url.text, `+refs/heads/${branch}:${HEAD}`];
    await git.runRemote(args, { ...remote, environment: { ...remote.environment, ...where } });
  }

  /** Clones into `git.new`, brings the pins over, then swaps. Until the swap the old mirror stays in use. */
  async #cloneAnew(remote: RunOptions): Promise<void> {
    const { dir, log } = this.#options;
    const target = join(dir, "git.new");
    const where = { GIT_DIR: target };
    try {
      await rm(target, { recursive: true, force: true });
      await this.#init(where);
      await this.#fetchInto(where, remote);
      await this.exclusive(async () => {
        const lost = await this.#bringPins(where, remote);
        await this.#swap();
        await this.#loadRefs();
        log.warn({ url: this.#remote, head: this.#head, lostBases: lost }, "the git mirror was cloned again");
      });
    } catch (error) {
      await rm(target, { recursive: true, force: true });
      throw this.#explain(error, "Cloning");
    }
    this.#damaged = false;
    this.#unclean = false;
    this.#generation++;
  }

  /** From the new clone itself, else from the old mirror, else from the remote. Returns the commits nobody has. */
  async #bringPins(where: Record<string, string>, remote: RunOptions): Promise<string[]> {
    const { git, url } = this.#options;
    const wanted = [...this.pins.commits];
    const lost: string[] = [];
    const present = new Set(await presentCommits(git, wanted, where));
    for (const commit of wanted) {
      const fetch = (from: string, environment: Record<string, string>) =>
        git.runRemote([...FETCH, "--end-of-options", from, commit], {
          ...remote,
          environment: { ...remote.environment, ...where, ...environment },
        });
      try {
        if (!present.has(commit)) {
          await fetch(git.gitDir, { GIT_ALLOW_PROTOCOL: "file" }).catch(() => fetch(url.text, {}));
        }
        await git.run(["update-ref", `${BASES}/${commit}`, commit], { environment: where });
      } catch (error) {
        if (remote.signal?.aborted) throw error;
        lost.push(commit);
      }
    }
    return lost;
  }

  async #swap(): Promise<void> {
    const { dir, git } = this.#options;
    await rm(join(dir, "git.old"), { recursive: true, force: true });
    if (await exists(git.gitDir)) await rename(git.gitDir, join(dir, "git.old"));
    await rename(join(dir, "git.new"), git.gitDir);
    await rm(join(dir, "git.old"), { recursive: true, force: true });
  }

  /** Ends a swap that was cut short: `git` is away only when `git.new` is complete. */
  async #endSwap(): Promise<void> {
    const { dir, git } = this.#options;
    const [current, fresh, old] = [git.gitDir, join(dir, "git.new"), join(dir, "git.old")];
    if (!(await exists(current)) && (await exists(old))) {
      await rename((await exists(fresh)) ? fresh : old, current);
    }
    await rm(fresh, { recursive: true, force: true });
    await rm(old, { recursive: true, force: true });
  }

  #explain(error: unknown, doing: string): FssyncError {
    return explain(error, "FetchFailed", `${doing} ${this.#remote} for branch ${this.#options.branch}`);
  }
}

const FETCH = ["fetch", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules"];

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
