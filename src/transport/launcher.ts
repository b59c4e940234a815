import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import type { Instant } from "./fence.ts";
import { endLeftovers } from "./leftovers.ts";
import { NOTHING, type ProcessOptions, type ProcessResult } from "./process.ts";

/** What the launcher process is told. Its one argument is the work folder. */
export type LauncherOrder =
  /** `watch`: the controller, too, ends by then what it does on hosts, or is ended. */
  | { readonly kind: "allow"; readonly until: Instant; readonly watch: boolean }
  | {
      readonly kind: "run";
      readonly id: number;
      readonly command: string;
      readonly args: readonly string[];
      readonly options: Omit<ProcessOptions, "onPipes" | "signal" | "fence" | "clock">;
      /** See `ProcessOptions.onPipes`. */
      readonly pipes: boolean;
    }
  | { readonly kind: "abort"; readonly id: number }
  /** The answer to a `LauncherQuestion`. */
  | { readonly kind: "alive" };

/** What it answers; a pipe comes with its message, the output first. */
export type LauncherAnswer = LauncherPipe | LauncherResult | LauncherQuestion;

/** The time is over: has the controller ended its own connections? */
export interface LauncherQuestion {
  readonly kind: "alive?";
}

export interface LauncherPipe {
  readonly kind: "pipe";
  readonly id: number;
}

/** An Error would lose its code on the way. */
export interface LauncherResult {
  readonly kind: "result";
  readonly id: number;
  readonly result: Omit<ProcessResult, "spawnError">;
  readonly spawnError: { readonly message: string; readonly code: string | undefined } | undefined;
}

/**
 * Starts programs from a small process of its own (`launcher-main.ts`), as `runProcess` does. A fork of
 * the controller costs time and page faults in proportion to its memory and holds up its event loop;
 * a fork of the launcher does not. And when the controller is killed, the launcher ends what it runs;
 * when it is stopped, the launcher ends what runs beyond the time that was allowed, and a controller that
 * has connections of its own with it.
 */
export class Launcher implements AsyncDisposable {
  readonly #entry: URL;
  readonly #dir: string;
  readonly #onOver: (() => void) | undefined;
  /** While what a dead launcher left is being ended. */
  #clearing: Promise<void> | undefined;
  readonly #pending = new Map<number, Pending>();
  #child: ChildProcess | undefined;
  #until: Instant | undefined;
  #ids = 0;

  /**
   * `dir` is the working folder of every rsync and ssh that it is to run, and of nobody else's. `onOver` ends what this
   * process does on hosts by itself when the time is over; if it could not within half a second, the launcher kills this process.
   */
  constructor({ entry, dir, onOver }: { entry: URL; dir: string; onOver?: (() => void) | undefined }) {
    this.#entry = entry;
    this.#dir = dir;
    this.#onOver = onOver;
  }

  /** Programs may run up to this instant, whatever was allowed before; without any, for ever. */
  allow(until: Instant): void {
    this.#until = until;
    if (this.#child) this.#tellTime(this.#child);
    // There is something to watch before there is anything to run.
    else if (this.#onOver) this.#child = this.#start();
  }

  /** See `runProcess`. When the launcher itself dies, what it ran has failed with `EAGAIN`. */
  async run(command: string, args: readonly string[], options: ProcessOptions): Promise<ProcessResult> {
    const { signal, fence } = options;
    await this.#clearing;
    const { promise, resolve } = Promise.withResolvers<ProcessResult>();
    if (signal.aborted || fence?.aborted) return { ...NOTHING, aborted: true };
    const child = (this.#child ??= this.#start());
    const id = ++this.#ids;
    const abort = () => tell(child, { kind: "abort", id });
    signal.addEventListener("abort", abort, { once: true });
    const pipes = new PipePair(options.onPipes);
    const settle = (result: ProcessResult) => {
      this.#pending.delete(id);
      signal.removeEventListener("abort", abort);
      pipes[Symbol.dispose]();
      resolve(result);
    };
    const { cwd, env, input, stdout, rawStdout, onPipes, timeout, grace, drain } = options;
    this.#pending.set(id, { settle, pipes });
    const sent = {
      cwd,
      env,
      timeout,
      ...(input !== undefined && { input }),
      ...(stdout !== undefined && { stdout }),
      ...(rawStdout !== undefined && { rawStdout }),
      ...(grace !== undefined && { grace }),
      ...(drain !== undefined && { drain }),
    };
    tell(child, { kind: "run", id, command, args, options: sent, pipes: onPipes !== undefined });
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (!child?.connected) return;
    const ended = once(child, "exit");
    child.disconnect();
    await ended;
  }

  #start(): ChildProcess {
    // In a group of its own: a signal that stops the group of the controller does not stop it.
    const child = fork(this.#entry, [this.#dir], { serialization: "advanced", execArgv: [], detached: true });
    this.#tellTime(child);
    child.on("message", (answer: LauncherAnswer, handle: unknown) => this.#hear(answer, handle));
    child.once("error", (error) => this.#lose(child, error.message));
    child.once("exit", () => this.#lose(child, "the launcher process ended"));
    return child;
  }

  #tellTime(child: ChildProcess): void {
    if (this.#until) tell(child, { kind: "allow", until: this.#until, watch: this.#onOver !== undefined });
  }

  #hear(answer: LauncherAnswer, handle: unknown): void {
    if (answer.kind === "alive?") return this.#answer();
    const pending = this.#pending.get(answer.id);
    if (answer.kind === "result") pending?.settle(resultOf(answer));
    else if (!(handle instanceof Socket)) return;
    else if (pending) pending.pipes.add(handle);
    else handle.destroy();
  }

  #answer(): void {
    this.#onOver?.();
    if (this.#child) tell(this.#child, { kind: "alive" });
  }

  #lose(child: ChildProcess, message: string): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    const spawnError = Object.assign(new Error(message), { code: "EAGAIN" });
    const pending = [...this.#pending.values()];
    // Nobody may begin anew on a host where the old work still runs.
    this.#clearing = endLeftovers(this.#dir).catch(() => undefined);
    void this.#clearing.then(() => pending.forEach(({ settle }) => settle({ ...NOTHING, spawnError })));
  }
}

interface Pending {
  readonly settle: (result: ProcessResult) => void;
  readonly pipes: PipePair;
}

/** Pipes come one by one. */
class PipePair implements Disposable {
  readonly #onPipes: ProcessOptions["onPipes"];
  #output: Socket | undefined;

  constructor(onPipes: ProcessOptions["onPipes"]) {
    this.#onPipes = onPipes;
  }

  add(pipe: Socket): void {
    const output = this.#output;
    this.#output = output ? undefined : pipe;
    if (output) this.#onPipes?.({ output, input: pipe });
  }

  /** Nobody was told of one that is alone. */
  [Symbol.dispose](): void {
    this.#output?.destroy();
  }
}

function resultOf({ result, spawnError }: LauncherResult): ProcessResult {
  if (!spawnError) return { ...result, spawnError: undefined };
  return { ...result, spawnError: Object.assign(new Error(spawnError.message), { code: spawnError.code }) };
}

/** A launcher that has just died is noticed by its exit. */
function tell(child: ChildProcess, order: LauncherOrder): void {
  if (child.connected) child.send(order, () => undefined);
}
