import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../ports/clock.ts";
import { FssyncError } from "../model/errors.ts";
import { storeError } from "./sqlite-error.ts";

/** How long a write waits for others to share its commit, ms. One commit is one fsync. */
const WINDOW = 10;
/** Rows after which a transaction is committed: node:sqlite blocks the process, so each must be short. */
const ROWS = 500;

interface Write {
  readonly rows: number;
  readonly run: () => void;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Collects writes and commits them together, in the order of the calls. Each write is applied as a
 * whole or not at all, and its promise settles after the commit: a write that fails takes none of its
 * neighbours with it, a commit that fails rejects all of its writes and leaves nothing behind.
 */
export class BatchWriter {
  readonly #database: DatabaseSync;
  readonly #clock: Clock;
  #queue: Write[] = [];
  #timer: Disposable | null = null;
  #closed = false;

  constructor({ database, clock }: { database: DatabaseSync; clock: Clock }) {
    this.#database = database;
    this.#clock = clock;
  }

  /** `rows` is about how many rows `run` writes. */
  write(rows: number, run: () => void): Promise<void> {
    if (this.#closed) return Promise.reject(new FssyncError("Interrupted", "the status store is closed"));
    return new Promise((resolve, reject) => {
      this.#queue.push({ rows, run, resolve, reject });
      this.#timer ??= this.#clock.after(WINDOW, () => this.#commitOne());
    });
  }

  /** Commits all that waits. */
  flush(): void {
    while (this.#queue.length > 0) this.#commit(this.#takeBatch());
    this.#timer?.[Symbol.dispose]();
    this.#timer = null;
  }

  close(): void {
    this.flush();
    this.#closed = true;
  }

  /** One transaction; what is left waits for the next turn of the event loop. */
  #commitOne(): void {
    this.#timer = null;
    if (this.#queue.length > 0) this.#commit(this.#takeBatch());
    if (this.#queue.length > 0) this.#timer ??= this.#clock.after(0, () => this.#commitOne());
  }

  #takeBatch(): Write[] {
    let rows = 0;
    let count = 0;
    while (count < this.#queue.length && rows < ROWS) rows += this.#queue[count++]!.rows;
    return this.#queue.splice(0, count);
  }

  #commit(batch: readonly Write[]): void {
    const applied: Write[] = [];
    try {
      this.#database.exec("BEGIN IMMEDIATE");
      for (const write of batch) if (this.#apply(write)) applied.push(write);
      this.#database.exec("COMMIT");
    } catch (error) {
      this.#rollBack();
      for (const write of batch) write.reject(storeError(error, "the status was not stored"));
      return;
    }
    for (const write of applied) write.resolve();
  }

  /** False when this write alone failed. Throws when SQLite gave up the whole transaction. */
  #apply(write: Write): boolean {
    this.#database.exec("SAVEPOINT one");
    try {
      write.run();
      this.#database.exec("RELEASE one");
      return true;
    } catch (error) {
      if (!this.#database.isTransaction) throw error;
      this.#database.exec("ROLLBACK TO one; RELEASE one");
      write.reject(storeError(error, "the status was not stored"));
      return false;
    }
  }

  #rollBack(): void {
    try {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
    } catch {
      // SQLite rolls back by itself on the errors after which it cannot be asked to.
    }
  }
}
