import { spawn, type ChildProcess, type SpawnOptions, type StdioOptions } from "node:child_process";
import { Socket } from "node:net";
import type { Readable } from "node:stream";
import type { Clock } from "../ports/clock.ts";

/** stdout and stderr beyond this are read and dropped: a host can flood us with either. */
export const OUTPUT_LIMIT = 64 * 1024;

/** Milliseconds for the last words of what was killed. */
const KILLED_DRAIN = 50;

export interface ProcessOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Given on standard input; the input is empty without it. */
  readonly input?: Uint8Array;
  /** False: nobody reads its standard output, which spares a pipe. */
  readonly stdout?: boolean;
  /**
   * Standard output is wanted as it came, one character (U+0000 to U+00FF) for each byte, and never more than so
   * many: a program that says more is ended.
   */
  readonly rawStdout?: number;
  /** Gives it two more pipes, and is told of them when it has begun. */
  readonly onPipes?: (pipes: Pipes) => void;
  /** Milliseconds until it is ended. */
  readonly timeout: number;
  readonly signal: AbortSignal;
  /** When it aborts nothing may be left running: SIGKILL at once. The result is `aborted`, whatever the program did. */
  readonly fence?: AbortSignal;
  readonly clock: Clock;
  /** Milliseconds between SIGTERM and SIGKILL. rsync takes two seconds to end by SIGTERM, for a terminal we have not. */
  readonly grace?: number;
  /** Milliseconds between its end and giving up on its pipes. */
  readonly drain?: number;
}

/** Whoever is told of them ends them. A program must not write before it was written to: nobody may be listening yet. */
export interface Pipes {
  /** What the program writes to file descriptor 3. */
  readonly output: Socket;
  /** What it reads from file descriptor 4. */
  readonly input: Socket;
}

export interface ProcessResult {
  /** Null when a signal ended it, or when it never began. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
  readonly aborted: boolean;
  /** It said more than `rawStdout`. */
  readonly flooded: boolean;
  /** Why it never began: EMFILE, EAGAIN, ENOENT, … */
  readonly spawnError: NodeJS.ErrnoException | undefined;
}

/**
 * Runs a program in a process group of its own. Never rejects. When it resolves, the program is
 * reaped and no member of its group that we could end is left: on a deadline or an abort the group
 * gets SIGTERM, then SIGKILL; at the fence SIGKILL. It settles on `close`, so that output is whole, but a grandchild that
 * keeps a pipe open holds it for `drain` only.
 */
export function runProcess(command: string, args: readonly string[], options: ProcessOptions): Promise<ProcessResult> {
  const { signal, fence, clock, grace = 500, drain = 2000 } = options;
  if (signal.aborted || fence?.aborted) return Promise.resolve({ ...NOTHING, aborted: true });
  const started = start(command, args, options);
  if (!("child" in started)) return Promise.resolve({ ...NOTHING, spawnError: started.spawnError });
  const { child } = started;
  const { rawStdout } = options;
  const stdout = child.stdout ? collect(child.stdout, rawStdout ?? OUTPUT_LIMIT, onFull) : () => Buffer.alloc(0);
  const stderr = collect(child.stderr, OUTPUT_LIMIT);
  let flooded = false;

  return new Promise((resolve) => {
    let timedOut = false;
    let aborted = false;
    let spawnError: NodeJS.ErrnoException | undefined;
    const timers: Disposable[] = [clock.after(options.timeout, onTimeout)];
    signal.addEventListener("abort", onAbort, { once: true });
    fence?.addEventListener("abort", onFence, { once: true });
    child.once("error", onError).once("exit", onExit).once("close", settle);
    // A program that ends before it has read everything breaks the pipe; its exit code tells more.
    child.stdin?.on("error", () => undefined).end(options.input);
    if (options.onPipes) givePipes(child, options.onPipes);

    function onTimeout() {
      timedOut = true;
      end();
    }
    function onAbort() {
      aborted = true;
      end();
    }
    function onFence() {
      aborted = true;
      killGroup(child, "SIGKILL");
      timers.push(clock.after(drain, () => settle(null)));
    }
    function end() {
      killGroup(child, "SIGTERM");
      timers.push(clock.after(grace, () => killGroup(child, "SIGKILL")));
      // A process that waits for a dead disk cannot be killed; nobody waits for it.
      timers.push(clock.after(grace + drain, () => settle(null)));
    }
    function onError(error: NodeJS.ErrnoException) {
      spawnError = error;
      if (child.pid === undefined) settle(null);
    }
    function onExit(exitCode: number | null) {
      // What the ended program left behind would write into nothing and belongs to no sync any more.
      if (timedOut || aborted) killGroup(child, "SIGKILL");
      // A persistent connection's master holds the pipes until the host closes its end, which may never be.
      timers.push(clock.after(timedOut || aborted ? KILLED_DRAIN : drain, () => settle(exitCode)));
    }
    function settle(exitCode: number | null) {
      for (const timer of timers.splice(0)) timer[Symbol.dispose]();
      signal.removeEventListener("abort", onAbort);
      fence?.removeEventListener("abort", onFence);
      for (const pipe of child.stdio) pipe?.destroy();
      const text = rawStdout === undefined ? printable(stdout()) : stdout().toString("latin1");
      resolve({ exitCode, stdout: text, stderr: printable(stderr()), timedOut, aborted, flooded, spawnError });
    }
  });

  function onFull() {
    if (rawStdout === undefined || flooded) return;
    flooded = true;
    killGroup(child, "SIGKILL");
  }
}

/** Of a program that never began. */
export const NOTHING: ProcessResult = {
  exitCode: null,
  stdout: "",
  stderr: "",
  timedOut: false,
  aborted: false,
  flooded: false,
  spawnError: undefined,
};

function start(
  command: string,
  args: readonly string[],
  { cwd, env, input, stdout = true, onPipes }: ProcessOptions,
): { child: ReadableChild } | { spawnError: NodeJS.ErrnoException } {
  const stdio: StdioOptions = [input ? "pipe" : "ignore", stdout ? "pipe" : "ignore", "pipe"];
  const options: SpawnOptions = { cwd, env, detached: true, stdio: onPipes ? [...stdio, "pipe", "pipe"] : stdio };
  try {
    const child = spawn(command, args, options);
    // Without file handles left Node makes a child without pipes and reports the error later.
    if (isReadable(child)) return { child };
    child.once("error", () => undefined);
    return { spawnError: Object.assign(new Error(`spawn ${command}: no file handles left`), { code: "EMFILE" }) };
  } catch (error) {
    return { spawnError: error as NodeJS.ErrnoException };
  }
}

interface ReadableChild extends ChildProcess {
  stderr: Readable;
}

function isReadable(child: ChildProcess): child is ReadableChild {
  return Boolean(child.stderr);
}

function givePipes({ stdio: [, , , output, input] }: ChildProcess, onPipes: (pipes: Pipes) => void): void {
  if (output instanceof Socket && input instanceof Socket) onPipes({ output, input });
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group is gone.
  }
}

/** What comes beyond the limit is told by `onFull` and dropped. */
export function collect(stream: Readable, limit: number, onFull?: () => void): () => Buffer {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on("error", () => undefined);
  stream.on("data", (chunk: Buffer) => {
    const part = chunk.subarray(0, limit - size);
    size += part.length;
    if (part.length > 0) chunks.push(part);
    if (part.length < chunk.length) onFull?.();
  });
  return () => Buffer.concat(chunks);
}

/** What a program said, for people and patterns. */
export function printable(bytes: Buffer): string {
  return escapeControls(bytes.toString("utf8"));
}

/** Line ends stay; every other control character is shown as `\xNN`, so that no host writes to a terminal. */
export function escapeControls(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/\r\n/g, "\n").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}
