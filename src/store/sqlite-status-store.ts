import type { DatabaseSync } from "node:sqlite";
import type { Logger } from "pino";
import { FssyncError } from "../model/errors.ts";
import type { HostRecord } from "../model/record.ts";
import type { Clock } from "../ports/clock.ts";
import type { RepoStatus, StatusChange, StatusStore } from "../ports/status-store.ts";
import type { SuspendedTarget, SuspendTarget, SuspensionStore } from "../ports/suspender.ts";
import { BatchWriter } from "./batch-writer.ts";
import { readRepos, readStatus } from "./reading.ts";
import { storeError } from "./sqlite-error.ts";
import { openForWriting } from "./sqlite.ts";
import { readSuspensions, SuspensionStatements } from "./suspensions.ts";
import { StatusStatements } from "./writing.ts";

interface Open {
  readonly database: DatabaseSync;
  readonly statements: StatusStatements;
  readonly suspensions: SuspensionStatements;
  readonly writer: BatchWriter;
}

/**
 * The status store of the standalone process: SQLite, write-ahead log, a commit is on disk before
 * `save` resolves. One process writes (see data-dir-lock.ts); others read with `SqliteStatusReader`.
 */
export class SqliteStatusStore implements StatusStore, SuspensionStore {
  readonly #file: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  #open: Open | null = null;

  constructor({ file, clock, log }: { file: string; clock: Clock; log: Logger }) {
    this.#file = file;
    this.#clock = clock;
    this.#log = log;
  }

  /** A damaged file is set aside. Throws InvalidSpec for a file of a newer fssync, ControllerNoSpace, Internal. */
  async open(): Promise<void> {
    const database = openForWriting(this.#file, { clock: this.#clock, log: this.#log });
    const writer = new BatchWriter({ database, clock: this.#clock });
    const suspensions = new SuspensionStatements(database);
    this.#open = { database, writer, statements: new StatusStatements(database), suspensions };
  }

  async load(repo: string): Promise<RepoStatus> {
    const { database, writer } = this.#opened();
    writer.flush();
    return this.#reading(() => readStatus(database, repo, this.#log));
  }

  async repos(): Promise<string[]> {
    const { database, writer } = this.#opened();
    writer.flush();
    return this.#reading(() => readRepos(database));
  }

  async save(repo: string, change: StatusChange): Promise<void> {
    const { statements, writer } = this.#opened();
    const rows = 1 + (change.apps?.size ?? 0) + (change.hosts?.size ?? 0);
    await writer.write(rows, statements.prepare(repo, change));
  }

  async begin(repo: string, host: HostRecord): Promise<void> {
    await this.save(repo, { hosts: new Map([[host.key, host]]) });
  }

  async remove(repo: string): Promise<void> {
    const { statements, writer } = this.#opened();
    await writer.write(1, statements.prepareRemove(repo));
  }

  async suspensions(repo: string): Promise<readonly SuspendedTarget[]> {
    const { database, writer } = this.#opened();
    writer.flush();
    return this.#reading(() => readSuspensions(database, repo));
  }

  async putSuspension(suspended: SuspendedTarget): Promise<void> {
    const { suspensions, writer } = this.#opened();
    await writer.write(2, suspensions.put(suspended));
  }

  async dropSuspension(target: SuspendTarget): Promise<void> {
    const { suspensions, writer } = this.#opened();
    await writer.write(1, suspensions.drop(target));
  }

  /** Commits what waits, then closes. */
  async [Symbol.asyncDispose](): Promise<void> {
    const open = this.#open;
    this.#open = null;
    open?.writer.close();
    open?.database.close();
  }

  #opened(): Open {
    if (this.#open === null) throw new FssyncError("Interrupted", `the status store ${this.#file} is not open`);
    return this.#open;
  }

  #reading<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw storeError(error, `the status store ${this.#file} cannot be read`);
    }
  }
}
