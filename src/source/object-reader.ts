import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { ByteReader } from "./byte-reader.ts";
import type { Git } from "./git.ts";
import { GitFailure } from "./git-failure.ts";

export interface ObjectHeader {
  readonly id: string;
  readonly type: string;
  /** Bytes. */
  readonly size: number;
}

const STDERR_MAX = 64 * 1024;

/**
 * `git cat-file --batch`: answers come in the order of the requests, and each one has to be read to
 * its end before the next. Blobs come as they are stored: no filter, no end-of-line conversion.
 */
export class ObjectReader implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #output: ByteReader;
  readonly #closed: Promise<void>;
  #stderr = "";
  #failure: Error | undefined;
  #exitCode: number | null = null;

  constructor(git: Git) {
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
    this.#closed = new Promise((resolve) => {
      this.#child.on("close", (code) => {
        this.#exitCode = code;
        resolve();
      });
    });
  }

  request(ids: readonly string[]): void {
    if (ids.length > 0) this.#child.stdin.write(`${ids.join("\n")}\n`);
  }

  /** The next answer's header. Throws GitFailure when the object is missing or cannot be read. */
  async next(): Promise<ObjectHeader> {
    const line = await this.#guard(this.#output.line());
    const [id, type, size] = line.split(" ") as [string, string?, string?];
    if (type === undefined || size === undefined) throw new GitFailure("cat-file", "exit", 0, `missing object ${id}`);
    return { id, type, size: Number(size) };
  }

  async content({ size }: ObjectHeader): Promise<Buffer> {
    const content = await this.#guard(this.#output.bytes(size));
    await this.#guard(this.#output.bytes(1));
    return content;
  }

  async *pieces({ size }: ObjectHeader): AsyncGenerator<Buffer, void, undefined> {
    for (let left = size; left > 0;) {
      const piece = await this.#guard(this.#output.upTo(left));
      left -= piece.length;
      yield piece;
    }
    await this.#guard(this.#output.bytes(1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    // `close` waits for the pipes to be read to their end, which nobody will do now.
    for (const pipe of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) pipe.destroy();
    await this.#closed;
  }

  async #guard<T>(read: Promise<T | undefined>): Promise<T> {
    const value = await read.catch(() => undefined);
    if (value !== undefined) return value;
    await this.#closed;
    if (this.#failure) throw this.#failure;
    throw new GitFailure("cat-file", "exit", this.#exitCode, this.#stderr);
  }
}
