import { Lru } from "../../model/lru.ts";
import type { CommandOptions } from "../ssh-client.ts";
import type { BatchFile } from "./batch-files.ts";
import { GO, READY } from "./batch-functions.ts";
import type { BatchPlan } from "./batch-plan.ts";
import { batchCommand, isLong, type BatchCommand, type BatchHost } from "./batch-script.ts";

/** Why a change cannot go as a batch. */
export class NotBatchable {
  readonly why: string;

  constructor(why: string) {
    this.why = why;
  }
}

/** Commands that are kept: hosts of a group differ in little. */
const KINDS_OF_HOSTS = 16;

/** A change as batches, for all hosts of its group. */
export class Batch {
  readonly plan: BatchPlan;
  /** Bytes of all batches. */
  readonly size: number;
  readonly #files: readonly BatchFile[];
  readonly #commands = new Lru<string, BatchCommand>(KINDS_OF_HOSTS);

  /** `files` in the order of the plan's classes. */
  constructor(plan: BatchPlan, files: readonly BatchFile[]) {
    this.plan = plan;
    this.#files = files;
    this.size = files.reduce((sum, { size }) => sum + size, 0);
  }

  /** Whether it comes to this host in several parts. */
  isLong(host: BatchHost): boolean {
    return isLong(this.plan, this.#command(host));
  }

  /** `use` works with the command for a host and its input. */
  async with<T>(host: BatchHost, use: (command: string, options: CommandOptions) => Promise<T>): Promise<T> {
    const { command, rest } = this.#command(host);
    using stack = new DisposableStack();
    const readings = this.#files.map((file) => stack.use(file.reading()));
    const input = async () => [GO, ...(await Promise.all(readings.map((reading) => reading.bytes())))];
    return await use(command, { input: rest, whenSaid: { line: READY, input } });
  }

  async release(): Promise<void> {
    await Promise.all(this.#files.map((file) => file.release()));
  }

  #command(host: BatchHost): BatchCommand {
    const kind = `${host.asRoot} ${host.root}`;
    const found = this.#commands.get(kind);
    if (found) return found;
    const sizes = this.#files.map(({ size }) => size);
    const made = batchCommand(this.plan, sizes, host);
    this.#commands.set(kind, made);
    return made;
  }
}
