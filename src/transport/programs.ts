import { formatDuration } from "../model/duration.ts";
import { asFssyncError, FssyncError } from "../model/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Fence } from "./fence.ts";
import type { Work } from "./ssh-client.ts";
import type { ProcessOptions, ProcessResult, runProcess } from "./process.ts";

interface ProgramsOptions {
  /** The working folder of every program. */
  readonly dir: string;
  /** ssh may use the user's own agent. */
  readonly withAgent: boolean;
  readonly start: typeof runProcess;
  readonly fence: Fence;
  readonly clock: Clock;
}

/** Runs a program to its end within what is left of the host's time. Throws when it did not come to its end. */
export type Run = (
  command: "rsync" | "ssh",
  args: readonly string[],
  options?: Pick<ProcessOptions, "input" | "rawStdout" | "onPipes">,
) => Promise<ProcessResult>;

/** A program that was ended before it came to its end, with what it had said by then. */
export class Unfinished extends FssyncError {
  readonly result: ProcessResult;

  constructor({ reason, message }: FssyncError, result: ProcessResult) {
    super(reason, message);
    this.result = result;
  }
}

/** Runs rsync and ssh, each to its end. */
export class Programs {
  readonly #options: ProgramsOptions;

  constructor(options: ProgramsOptions) {
    this.#options = options;
  }

  /** For one piece of work on a host: all of its programs share `timeout`. */
  run({ timeout, signal, fence }: Work): Run {
    const { dir, withAgent, start, clock } = this.#options;
    const env = childEnvironment(withAgent);
    const end = clock.monotonic() + timeout;
    return async (command, args, { input, rawStdout, onPipes } = {}) => {
      const left = end - clock.monotonic();
      if (left <= 0) throw late(timeout);
      const options: ProcessOptions = {
        cwd: dir,
        env,
        stdout: command === "ssh",
        ...(input && { input }),
        ...(rawStdout !== undefined && { rawStdout }),
        ...(onPipes && { onPipes }),
        timeout: left,
        signal,
        fence,
        clock,
      };
      this.#options.fence.check();
      const result = await start(command, args, options);
      this.#options.fence.check();
      // Even what came to a good end in time: who was allowed since may have synced the host.
      if (fence.aborted) throw new Unfinished(interrupted(), result);
      if (result.spawnError) throw asFssyncError(result.spawnError, "Internal");
      if (result.aborted) throw new Unfinished(interrupted(), result);
      if (result.timedOut) throw new Unfinished(late(timeout), result);
      return result;
    };
  }
}

export function interrupted(): FssyncError {
  return new FssyncError("Interrupted", "stopped before the sync was done");
}

export function late(timeout: number): FssyncError {
  return new FssyncError("SyncTimeout", `did not end within ${formatDuration(timeout)}`);
}

/** Nothing of the controller's environment reaches rsync and ssh but what they need. */
function childEnvironment(withAgent: boolean): NodeJS.ProcessEnv {
  const names = ["PATH", "HOME", "USER", "LOGNAME", ...(withAgent ? ["SSH_AUTH_SOCK"] : [])];
  const kept = names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
  return { ...Object.fromEntries(kept), LC_ALL: "C" };
}
