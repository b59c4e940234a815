import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

/** How long a server may take to end by itself; its data are thrown away anyway. */
const GRACE = 1000;

/** A server of the test's own: its output goes to a file, it ends with SIGTERM, then SIGKILL. */
export class ServerProcess implements AsyncDisposable {
  readonly #logFile: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  constructor({ command, args, logFile }: { command: string; args: readonly string[]; logFile: string }) {
    this.#logFile = logFile;
    const output = openSync(logFile, "a");
    try {
      this.#child = spawn(command, args, { stdio: ["ignore", output, output] });
    } finally {
      closeSync(output);
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = promise;
    this.#child.once("exit", () => resolve());
    this.#child.once("error", () => resolve());
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** After SIGSTOP nothing of it runs any more. */
  signal(signal: NodeJS.Signals): void {
    if (!this.running) return;
    this.#child.kill(signal);
    const end = performance.now() + GRACE;
    if (signal === "SIGSTOP") while (!areStopped(this.#child.pid!) && performance.now() < end);
  }

  /** Waits until the server answers; throws with the end of its log when it ends or takes too long. */
  async ready(isReady: () => Promise<boolean>, deadline: number): Promise<void> {
    const end = performance.now() + deadline;
    while (!(await isReady().catch(() => false))) {
      if (!this.running || performance.now() > end) {
        throw new Error(`${this.#child.spawnfile} did not start:\n${this.logTail()}`);
      }
      await wait(50);
    }
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGTERM");
    const timer = setTimeout(() => this.signal("SIGKILL"), GRACE);
    await this.#ended;
    clearTimeout(timer);
  }

  logTail(): string {
    return readFileSync(this.#logFile, "utf8").split("\n").slice(-20).join("\n");
  }
}

/** A thread that was at work when the signal came may still answer for a moment. */
function areStopped(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).startsWith("T");
  });
}
