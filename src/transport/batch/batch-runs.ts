import type { Logger } from "pino";
import { join } from "node:path";
import { FssyncError } from "../../model/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import type { PreparedLists } from "../prepared-lists.ts";
import type { Programs } from "../programs.ts";
import type { Remote } from "../rsync-args.ts";
import { runError } from "../rsync-errors.ts";
import type { Session } from "../ssh-client.ts";
import { batchCommand, SAYS } from "./batch-script.ts";
import { NotBatchable, writeBatch, type Batch } from "./batch.ts";

interface BatchRunsOptions {
  readonly dir: string;
  readonly programs: Programs;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Brings changes to hosts as batches, where that can be. */
export class BatchRuns {
  readonly #options: BatchRunsOptions;
  readonly #batches = new WeakMap<PreparedLists, Promise<Batch | NotBatchable>>();
  #count = 0;

  constructor(options: BatchRunsOptions) {
    this.#options = options;
  }

  /** True when the change is on the host; false when rsync must bring it there. Throws what the session throws. */
  async lay(lists: PreparedLists, remote: Remote, session: Session): Promise<boolean> {
    const made = this.#batches.get(lists) ?? this.#write(lists);
    this.#batches.set(lists, made);
    const batch = await made;
    if (batch instanceof NotBatchable) return false;
    const { host, sudo, rsyncPath } = remote;
    const asRoot = sudo || host.user === "root";
    const command = batchCommand(batch.script, { root: host.root, sudo, asRoot, rsyncPath });
    const result = await session.command(command, { input: await batch.input() });
    const last = result.stdout.trimEnd().split("\n").at(-1);
    if (result.exitCode === 0 && last === `${SAYS} applied`) return true;
    this.#options.log.debug(
      { host: host.key, last, code: result.exitCode, stderr: result.stderr },
      "no batch for this host",
    );
    return false;
  }

  #write(lists: PreparedLists): Promise<Batch | NotBatchable> {
    const { dir, programs } = this.#options;
    const never = new AbortController().signal;
    const run = programs.run({ timeout: 60_000, signal: never, fence: never });
    return writeBatch(lists, join(dir, `batch-${++this.#count}`), async (args) => {
      const result = await run("rsync", args);
      const error = runError(result);
      if (error) throw new FssyncError(error.reason, error.message);
    });
  }
}
