import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { FssyncError } from "../model/errors.ts";
import { ByteReader } from "./byte-reader.ts";
import type { Git } from "./git.ts";
import { GitFailure } from "./git-failure.ts";
import { isObjectId } from "./ref-name.ts";

export interface ObjectHeader {
  readonly id: string;
  readonly type: string;
  /** Bytes. */
  readonly size: number;
}

const STDERR_MAX = 64 * 1024;

/** Milliseconds for a process that was killed: one that waits for a disk or a server does not end before that answers. */
const GOODBYE = 2_000;

/**
 * `git cat-file --batch`: answers come in the order of the requests, and each one has to be read to
 * its end before the next. Blobs come as they are stored: no filter, no end-of-line conversion.
 */
export class ObjectReader implements AsyncDisposable {
  readonly #git: Git;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #output: ByteReader;
  readonly #gone = Promise.withResolvers<void>();
  #stderr = "";
  #failure: Error | undefined;
  #exitCode: number | null = null;
  /** What was requested, from `#next` on without an answer so far. */
  readonly #requested: string[] = [];
  #next = 0;
  /** Answers that were requested and not read to their end. */
  #unread = 0;
  #isLate = false;

  constructor(git: Git) {
    this.#git = git;
    this.#child = git.start(["cat-file", "--batch"]);
    // Node's types promise pipes that there are no file handles for.
    if (!(this.#child.stdout as unknown))
      throw Object.assign(new Error("git: no file handles left"), { code: "EMFILE" });
    this.#output = new ByteReader(this.#child.stdout);
    this.#child.stderr.on("data", (chunk: Buffer) => {
      if (this.#stderr.length < STDERR_MAX) this.#stderr += chunk.toString("utf8");
    });
    // A git that died closes the pipe; why it died is told by `next`.
    this.#child.stdin.on("error", () => undefined);
    this.#child.on("error", (error) => (this.#failure = error));
    this.#child.on("close", (code) => {
      this.#exitCode = code;
      this.#gone.resolve();
    });
  }

  /** Whether its process runs and every answer was read to its end: the next one is the next request's. */
  get atRest(): boolean {
    const { exitCode, signalCode } = this.#child;
    return this.#unread === 0 && exitCode === null && signalCode === null && this.#failure === undefined;
  }

  request(ids: readonly string[]): void {
    // Hundreds of thousands are too many for one call.
    for (const id of ids) this.#requested.push(id);
    this.#unread += ids.length;
    if (ids.length > 0) this.#child.stdin.write(`${ids.join("\n")}\n`);
  }

  /** The next answer's header. Throws GitFailure when the object is missing, or cannot be read, or not within git's timeout. */
  async next(): Promise<ObjectHeader> {
    const line = await this.#guard(this.#output.line());
    const [id, type, size] = line.split(" ") as [string, string?, string?];
    this.#checkIsNext(id);
    if (type === undefined || size === undefined) throw new GitFailure("cat-file", "exit", 0, `missing object ${id}`);
    return { id, type, size: Number(size) };
  }

  async content({ size }: ObjectHeader): Promise<Buffer> {
    const content = await this.#guard(this.#output.bytes(size));
    await this.#guard(this.#output.bytes(1));
    this.#unread -= 1;
    return content;
  }

  async *pieces({ size }: ObjectHeader): AsyncGenerator<Buffer, void, undefined> {
    for (let left = size; left > 0;) {
      const piece = await this.#guard(this.#output.upTo(left));
      left -= piece.length;
      yield piece;
    }
    await this.#guard(this.#output.bytes(1));
    this.#unread -= 1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
    using _ = this.#git.clock.after(GOODBYE, () => this.#gone.resolve());
    await this.#gone.promise;
  }

  /** The content of one object must never be taken for another's. */
  #checkIsNext(id: string): void {
    const requested = this.#requested[this.#next++];
    if (this.#next === this.#requested.length) this.#next = this.#requested.length = 0;
    const isAnother = requested === undefined || (isObjectId(requested) && requested !== id);
    if (isAnother) throw new FssyncError("Internal", `git cat-file answered with ${id} instead of ${requested}`);
  }

  async #guard<T>(read: Promise<T | undefined>): Promise<T> {
    using _ = this.#git.clock.after(this.#git.timeout, () => this.#giveUp());
    const value = await read.catch(() => undefined);
    if (value !== undefined) return value;
    if (!this.#isLate) await this.#gone.promise;
    if (this.#isLate) throw new GitFailure("cat-file", "timeout", null, this.#stderr);
    if (this.#failure) throw this.#failure;
    throw new GitFailure("cat-file", "exit", this.#exitCode, this.#stderr);
  }

  #giveUp(): void {
    this.#isLate = true;
    this.#end();
  }

  #end(): void {
    this.#child.kill("SIGKILL");
    // `close` waits for the pipes to be read to their end, which nobody will do now.
    for (const pipe of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) pipe.destroy();
  }
}
