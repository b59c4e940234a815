import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

export interface Read {
  readonly reads: number;
  readonly failures: number;
  readonly bytes: number;
  /** CPU time of the readers, milliseconds. */
  readonly cpu: number;
  /** Milliseconds that a read took: the median, 99 of 100, the longest. */
  readonly median: number;
  readonly last: number;
  readonly most: number;
}

/** People who look at a controller, in a process of their own. */
export class Readers implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  /** `prefix`: the words before a command that can reach the controller. */
  constructor(url: string, prefix: readonly string[] = []) {
    const [command, ...args] = [...prefix, process.execPath, join(import.meta.dirname, "child.ts"), url];
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#answers = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async begin(read: { readonly path: string; readonly readers: number; readonly period: number }): Promise<void> {
    await this.#ask({ read });
  }

  stop(): Promise<Read> {
    return this.#ask<Read>({ stop: true });
  }

  /** A sync that is waited for. */
  sync<Operation>(body: object): Promise<Operation> {
    return this.#ask<Operation>({ sync: body });
  }

  async #ask<Answer>(command: object): Promise<Answer> {
    this.#child.stdin!.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error("the readers ended");
    return JSON.parse(value) as Answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "close");
  }
}
