import { join } from "node:path";
import type { Logger } from "pino";
import { asFssyncError, FssyncError } from "../../model/errors.ts";
import { displayPath } from "../../model/path.ts";
import type { Clock } from "../../ports/clock.ts";
import type { WorkOptions } from "../../ports/transport.ts";
import { Limit } from "../limit.ts";
import { CHANGE_PREFIX } from "../folders.ts";
import type { PreparedLists } from "../prepared-lists.ts";
import { late, type Programs } from "../programs.ts";
import type { Remote } from "../rsync-args.ts";
import { runError } from "../rsync-errors.ts";
import type { Session } from "../ssh-client.ts";
import { writeArgs } from "./batch-args.ts";
import { BatchFiles, type BatchFile } from "./batch-files.ts";
import { planBatch, type BatchClass, type BatchPlan } from "./batch-plan.ts";
import { Batch, NotBatchable } from "./batch.ts";
import { readContents } from "./contents.ts";
import { PlainHosts } from "./plain-hosts.ts";
import { readVerdict, type Verdict } from "./verdict.ts";

interface BatchRunsOptions {
  readonly dir: string;
  readonly programs: Programs;
  /** Aborts when no batch is to be written any more. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Bytes of files at most: a batch is in memory while hosts are served, as rsync compresses it. */
const LARGEST = 64 * 1024 * 1024;

/**
 * Bytes of files that may be there already. Where all but one are, a batch costs this machine as much as plain rsync, which
 * finds the one, at about this size (5 MB: 10 ms against 50, 15 MB: 43 against 52, 50 MB: 103 against 41).
 */
const LARGEST_GUESS = 16 * 1024 * 1024;

/** Bytes of all paths of a change: what is more does not fit into the arguments of one program everywhere. */
const LONGEST_PATHS = 512 * 1024;

/** Milliseconds. */
const WRITING_TAKES = 60_000;
const NOT_TRIED_FOR = 60_000;

const FAILED_NEXT =
  "look for what the error names, mostly a full disk; batches are tried again after a minute (docs/operations.md)";

/** How a batch went. */
export interface Laid {
  /** True when the change is on the host; false when rsync must bring it there. */
  readonly done: boolean;
  /** Why not, when that is the host's matter: short, for people. */
  readonly fallback?: string;
}

const NOT_LAID: Laid = { done: false };

/** Brings changes to hosts as batches, where that can be. */
export class BatchRuns {
  readonly #options: BatchRunsOptions;
  readonly #files: BatchFiles;
  readonly #hosts: PlainHosts;
  readonly #batches = new WeakMap<PreparedLists, Promise<Batch | NotBatchable>>();
  /** Those of them that nobody need wait for. */
  readonly #ready = new WeakMap<PreparedLists, Batch | NotBatchable>();
  /** While batches cannot be written: when that was tried last. */
  #failed: number | undefined;

  constructor(options: BatchRunsOptions) {
    this.#options = options;
    this.#files = new BatchFiles((count) => join(options.dir, `${CHANGE_PREFIX}batch-${count}`));
    this.#hosts = new PlainHosts(options.clock);
  }

  /** Throws what the session throws, and what keeps the host from being reached: rsync would not do better. */
  async lay(lists: PreparedLists, remote: Remote, session: Session, within: WorkOptions): Promise<Laid> {
    lists.check();
    const { host, sudo, rsyncPath } = remote;
    // A session that does not wait could lay it when others have been there since.
    if (!session.waits) return { done: false, fallback: "reached by OpenSSH" };
    const batch = await this.#batchWithin(lists, within);
    if (batch instanceof NotBatchable) return NOT_LAID;
    const kind = { root: host.root, sudo, asRoot: sudo || host.user === "root", rsyncPath };
    const known = this.#hosts.hindrance(host.key, batch.isLong(kind));
    if (known !== undefined) return { done: false, fallback: known };
    const result = await batch.with(kind, (command, options) => session.command(command, options));
    const { hindrance, wrong } = readVerdict(result);
    const { log } = this.#options;
    if (!hindrance) {
      this.#hosts.forget(host.key, batch.isLong(kind));
      log.debug({ host: host.key, bytes: batch.size }, "laid as a batch");
      return { done: true };
    }
    this.#hosts.learn(host.key, hindrance);
    const { exitCode, stderr } = result;
    const facts = { host: host.key, why: hindrance.text, exitCode, stderr, files: pathsOf(wrong, batch.plan) };
    log.debug(facts, "the batch did not do for this host");
    return { done: false, fallback: hindrance.text };
  }

  /** No host waits longer than it may. */
  async #batchWithin(lists: PreparedLists, { timeout, signal }: WorkOptions): Promise<Batch | NotBatchable> {
    const ready = this.#ready.get(lists);
    if (ready) return ready;
    const { clock } = this.#options;
    using limit = new Limit({ left: timeout, late: () => late(timeout), signal, clock });
    return await limit.race(this.#batchOf(lists));
  }

  /** Written by the first host that wants it, while the others wait. */
  async #batchOf(lists: PreparedLists): Promise<Batch | NotBatchable> {
    const { clock, log } = this.#options;
    const found = this.#batches.get(lists);
    if (found) return found;
    if (this.#failed !== undefined && clock.monotonic() - this.#failed < NOT_TRIED_FOR)
      return new NotBatchable("batches cannot be written now");
    const made = this.#make(lists).then(
      (batch) => {
        if (batch instanceof Batch) this.#failed = undefined;
        this.#ready.set(lists, batch);
        return batch;
      },
      (error: unknown) => {
        this.#batches.delete(lists);
        const err = asFssyncError(error);
        if (err.reason === "Interrupted") return new NotBatchable("it was not written to its end");
        if (this.#failed === undefined)
          log.warn(
            { err, reason: err.reason, next: FAILED_NEXT },
            "batches cannot be written: each host gets an rsync of its own",
          );
        this.#failed = clock.monotonic();
        return new NotBatchable("it could not be written");
      },
    );
    this.#batches.set(lists, made);
    return made;
  }

  async #make(lists: PreparedLists): Promise<Batch | NotBatchable> {
    const { change, passes } = lists;
    if (passes.clear.size > 0) return new NotBatchable("a folder becomes a file, or a file a folder");
    const paths = change.apps.flatMap(({ send, delete: gone }) => [...send.map(({ path }) => path), ...gone]);
    // sha256sum would write them in another way.
    if (paths.some((path) => /[\n\r\\]/.test(path))) return new NotBatchable("a name with a line end or a backslash");
    if (paths.reduce((sum, path) => sum + path.length + 1, 0) > LONGEST_PATHS)
      return new NotBatchable("too many files");
    const contents = await readContents(change, LARGEST).catch(() => null);
    if (contents === null) return new NotBatchable("a file cannot be read");
    if (contents === undefined) return new NotBatchable("too large");
    const plan = planBatch(change, passes, contents);
    if (plan.maybeThere > LARGEST_GUESS) return new NotBatchable("much of it may be there already");
    const files = await this.#take(lists, plan);
    const batch = new Batch(plan, files);
    lists.onDispose(() => batch.release());
    return batch;
  }

  /** All or none. */
  async #take(lists: PreparedLists, { classes }: BatchPlan): Promise<BatchFile[]> {
    const taken = await Promise.allSettled(classes.map((each, index) => this.#written(lists, each, index)));
    const files = taken.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    const failed = taken.find((each) => each.status === "rejected");
    if (!failed) return files;
    await Promise.all(files.map((file) => file.release()));
    throw failed.reason;
  }

  #written(
    lists: PreparedLists,
    { key, ownership: { mode }, compress }: BatchClass,
    index: number,
  ): Promise<BatchFile> {
    const send = lists.passes.sends[index]!;
    return this.#files.take(key, async (file, nowhere) => {
      const list = await lists.sendList(send, [...send.files.keys()]);
      const { programs, signal } = this.#options;
      const run = programs.run({ timeout: WRITING_TAKES, signal, fence: new AbortController().signal });
      const error = runError(await run("rsync", writeArgs({ list, mode, compress }, file, nowhere)));
      // It is this machine's disk that is full.
      const reason = error?.reason === "NoSpace" ? "ControllerNoSpace" : error?.reason;
      if (error && reason) throw new FssyncError(reason, error.message, { cause: error });
    });
  }
}

function pathsOf(wrong: Verdict["wrong"], { replaced, classes }: BatchPlan): string[] {
  return wrong.map(({ list, index, is }) => {
    const paths =
      list === "replaced" ? replaced.paths : [...(classes[list]?.plain ?? []), ...(classes[list]?.links ?? [])];
    return `${displayPath(paths[index] ?? "./unknown").slice(2)}: ${is}`;
  });
}
