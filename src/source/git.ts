import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import type { Readable } from "node:stream";
import { simpleGit, type SimpleGit } from "simple-git";
import type { Clock } from "../ports/clock.ts";
import { processBehind, signalProcess } from "./child-process.ts";
import { gitConfig, gitEnvironment } from "./environment.ts";
import { GitFailure, type GitEnd } from "./git-failure.ts";
import { Limit } from "./limit.ts";
import type { Protocol } from "./remote-url.ts";

/** How long a git that was asked to end may take before it is killed. */
const GRACE = 2_000;
const LOCAL_PROCESSES = 4;
const NOTHING = Buffer.alloc(0);

export interface GitOptions {
  readonly gitDir: string;
  /** A folder that exists. */
  readonly cwd: string;
  readonly protocols: readonly Protocol[];
  /** Milliseconds of silence after which a git process is ended. */
  readonly timeout: number;
  readonly clock: Clock;
}

export interface RunOptions {
  readonly signal?: AbortSignal;
  readonly stdin?: Buffer | string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Bytes of stdout after which the command is ended; no limit when absent. */
  readonly maxOutput?: number;
}

type Binary = ["git"] | ["setsid", "git"];

interface Instance {
  readonly binary: Binary;
  readonly abort: AbortSignal;
  readonly environment: Readonly<Record<string, string>>;
  readonly stdin: Buffer | string | undefined;
  readonly ended: (exitCode: number | null, stderr: string) => void;
}

/** The one way this room runs git: hardened, bounded in time, killed when aborted. */
export class Git implements AsyncDisposable {
  readonly gitDir: string;
  readonly #options: GitOptions;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  readonly #local = new Limit(LOCAL_PROCESSES);

  constructor(options: GitOptions) {
    this.gitDir = options.gitDir;
    this.#options = options;
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  /** Milliseconds of silence after which a git process is ended. */
  get timeout(): number {
    return this.#options.timeout;
  }

  /** A command on the mirror alone: few at a time. Its stdout; throws GitFailure. */
  run(args: readonly string[], options: RunOptions = {}): Promise<Buffer> {
    return this.#track(this.#local.run(() => this.#execute(["git"], args, options)));
  }

  /**
   * A command that talks to the remote: it waits for nobody. Its stdout; throws GitFailure. It leads a
   * process group, since git leaves git-remote-https and ssh behind when it is killed.
   */
  runRemote(args: readonly string[], options: RunOptions): Promise<Buffer> {
    return this.#track(this.#execute(["setsid", "git"], args, options));
  }

  /** A process to talk with, for what simple-git cannot do: stream. The caller ends it. */
  start(args: readonly string[]): ChildProcessWithoutNullStreams {
    const config = gitConfig(this.#options.timeout).flatMap((setting) => ["-c", setting]);
    return spawn("git", [...config, ...args], {
      cwd: this.#options.cwd,
      env: this.#environment(),
      signal: this.#closing.signal,
      killSignal: "SIGKILL",
    });
  }

  /** Ends everything that still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#running);
  }

  async #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }

  async #execute(binary: Binary, args: readonly string[], options: RunOptions): Promise<Buffer> {
    const { clock, timeout } = this.#options;
    const { signal, stdin, environment, maxOutput = Infinity } = options;
    const command = args[0] ?? "";
    const stop = new AbortController();
    const stdout: Buffer[] = [];
    let received = 0;
    let result: { exitCode: number | null; stderr: string } | undefined;
    let end: GitEnd = "exit";
    let silence: Disposable | undefined;
    let grace: Disposable | undefined;
    let send: ((signal: NodeJS.Signals) => void) | undefined;
    let closePipes: (() => void) | undefined;
    let closed: Promise<unknown> | undefined;

    const stopWith = (why: GitEnd) => {
      if (end !== "exit") return;
      end = why;
      send?.("SIGTERM");
      stop.abort();
      grace = clock.after(GRACE, () => {
        send?.("SIGKILL");
        closePipes?.();
      });
    };
    const interrupt = () => stopWith("aborted");
    const heard = () => {
      silence?.[Symbol.dispose]();
      silence = clock.after(timeout, () => stopWith("timeout"));
    };
    const interrupts = [this.#closing.signal, ...(signal ? [signal] : [])];
    for (const source of interrupts) source.addEventListener("abort", interrupt, { once: true });
    if (interrupts.some((source) => source.aborted)) interrupt();

    const instance = {
      binary,
      abort: stop.signal,
      environment: { ...this.#environment(), ...environment },
      stdin,
      ended: (exitCode: number | null, stderr: string) => (result = { exitCode, stderr }),
    };
    const git = this.#simpleGit(instance);
    git.outputHandler((_binary, out, err) => {
      const child = processBehind(out);
      send = (name) => signalProcess(child, name, binary.length > 1);
      closed = Promise.all([out, err].map((pipe) => new Promise((resolve) => pipe.once("close", resolve))));
      // A grandchild may hold them open long after.
      closePipes = () => [out, err].forEach((pipe) => (pipe as Readable).destroy());
      // Bytes, before simple-git makes a string of them: paths are not always UTF-8.
      out.on("data", (chunk: Buffer) => {
        received += chunk.length;
        if (received > maxOutput) stopWith("too much output");
        else stdout.push(chunk);
      });
      out.on("data", heard);
      err.on("data", heard);
      heard();
      // A command that has said nothing at all is over 50 ms later for simple-git: let it have said nothing.
      out.once("end", () => out.emit("data", NOTHING));
    });
    try {
      await git.raw([...args]).catch((error: Error) => {
        result ??= { exitCode: null, stderr: error.message };
        if (result.exitCode === 0) result.exitCode = null;
      });
      // simple-git may have heard of its exit alone; some output may still be in the pipe.
      await closed;
    } finally {
      silence?.[Symbol.dispose]();
      grace?.[Symbol.dispose]();
      for (const source of interrupts) source.removeEventListener("abort", interrupt);
    }
    if (end !== "exit" || result?.exitCode !== 0) {
      throw new GitFailure(command, end, result?.exitCode ?? null, result?.stderr ?? "", pathsIn(args));
    }
    return Buffer.concat(stdout);
  }

  #environment(): Record<string, string> {
    const { gitDir, protocols } = this.#options;
    return gitEnvironment({ gitDir, protocols, ambient: process.env });
  }

  /** One instance a command: signal, stdin, environment and result belong to that command alone. */
  #simpleGit({ binary, abort, environment, stdin, ended }: Instance): SimpleGit {
    return simpleGit({
      binary,
      baseDir: this.#options.cwd,
      config: gitConfig(this.#options.timeout),
      abort,
      // Where one of them is off, simple-git 4.0 keeps something of each command for ever.
      completion: { onExit: 50, onClose: true },
      input: () => stdin,
      // simple-git's own rule takes a silent non-zero exit and a death by signal for success.
      errors: (error, { exitCode, stdErr }) => {
        ended(exitCode, Buffer.concat(stdErr).toString("utf8"));
        return exitCode === 0 ? error : (error ?? new Error("git failed"));
      },
      // Every one of these is ours, set above; what the environment of the process says is dropped.
      allowEnvironment: Object.keys(environment).filter((name) => name.startsWith("GIT_")),
      unsafe: {
        allowUnsafeAskPass: true,
        allowUnsafeConfigPaths: true,
        allowUnsafeFsMonitor: true,
        allowUnsafeHooksPath: true,
        allowUnsafeProtocolOverride: true,
        allowUnsafeSshCommand: true,
        allowUnsafeTemplateDir: true,
      },
    }).env(environment);
  }
}

/** What follows the commit, or the remote, that a command is about. */
function pathsIn(args: readonly string[]): readonly string[] {
  const at = args.indexOf("--end-of-options");
  return at < 0 ? [] : args.slice(at + 2);
}
