import { setImmediate } from "node:timers/promises";
import { FssyncError } from "../../model/errors.ts";
import type { Host } from "../../model/host.ts";
import { interrupted } from "../programs.ts";

/** Connections that are ended without a pause: some milliseconds. */
const ENDED_AT_ONCE = 10;

/** Idle connections that are ended when file handles or memory have run out. */
const ROOM = 10;

/** Connections that are judged without a pause. */
const JUDGED_AT_ONCE = 500;

/** What a pool keeps. */
export interface Pooled extends AsyncDisposable {
  readonly alive: boolean;
  readonly ended: Promise<unknown>;
  /** Ends it at once, with all that goes on over it. */
  destroy(): void;
}

export interface PoolOptions<C extends Pooled> {
  /** Connections kept at most: beyond it the idle one that was unused for longest is closed. May change. */
  readonly limit: number;
  readonly open: (host: Host, signal: AbortSignal) => Promise<C>;
}

/** A connection was dead before anything was asked of the host: it can be asked over another one. */
export class Unsent extends FssyncError {
  constructor({ message, cause }: FssyncError) {
    super("ConnectionLost", message, { cause });
  }
}

/** A use of a host's connection. */
export interface Lease<C> {
  /** Once more over a new connection when it is Unsent over this one. */
  on<T>(work: (connection: C) => Promise<T>): Promise<T>;
  /** Ends the connection, whoever else uses it: the next use opens a new one. */
  drop(): Promise<void>;
}

interface Entry<C> {
  readonly key: string;
  readonly opening: Promise<C>;
  /** Ends the opening. */
  readonly unwanted: AbortController;
  connection: C | undefined;
  users: number;
}

/** One connection per host, kept for the next use. As many as are in use may be open, idle ones up to the limit. */
export class Pool<C extends Pooled> {
  readonly #options: PoolOptions<C>;
  /** Those that may be used. */
  readonly #entries = new Map<string, Entry<C>>();
  /** Of those the ones that nobody uses, in the order in which they became idle. */
  readonly #idle = new Set<Entry<C>>();
  /** Also those that end with their last use. */
  readonly #open = new Set<Entry<C>>();

  constructor(options: PoolOptions<C>) {
    this.#options = options;
  }

  /** Connections that are open or being opened. */
  get size(): number {
    return this.#open.size;
  }

  /** Rejects as `open` and as `use` do, and with Interrupted when the signal aborts before there is a connection. */
  async with<T>(host: Host, signal: AbortSignal, use: (lease: Lease<C>) => Promise<T>): Promise<T> {
    let entry = await this.#acquire(host, signal);
    try {
      return await use({
        on: async (work) => {
          try {
            return await work(entry.connection!);
          } catch (error) {
            if (!(error instanceof Unsent)) throw error;
          }
          const dead = entry;
          this.#forget(dead);
          entry = await this.#acquire(host, signal);
          this.#release(dead);
          return work(entry.connection!);
        },
        drop: () => this.#close(entry),
      });
    } finally {
      this.#release(entry);
    }
  }

  /**
   * Ends every connection, those in use after their use: the keys they were made with have changed. None is used anew
   * once it returns; thousands take a while to end.
   */
  retireAll(): void {
    const idle = [...this.#idle];
    for (const entry of this.#entries.values()) this.#forget(entry);
    void this.#closeAll(idle);
  }

  /** The same for those of which `isStale` says so. When it resolves none of these is used anew. */
  async retire(isStale: (connection: C) => boolean): Promise<void> {
    const idle: Entry<C>[] = [];
    const judge = (entry: Entry<C>) => {
      if (!entry.connection || !isStale(entry.connection)) return;
      if (this.#idle.has(entry)) idle.push(entry);
      this.#forget(entry);
    };
    for (const [index, entry] of [...this.#entries.values()].entries()) {
      if (entry.connection) judge(entry);
      // What it is let in by may be of before.
      else entry.opening.then(() => judge(entry)).catch(() => undefined);
      if (index % JUDGED_AT_ONCE === JUDGED_AT_ONCE - 1) await setImmediate();
    }
    void this.#closeAll(idle);
  }

  /** Ends some that are idle: the process has run out of what they take. */
  async makeRoom(): Promise<void> {
    await Promise.all([...this.#idle].slice(0, ROOM).map((entry) => this.#close(entry)));
  }

  /** Ends every connection, also those in use. */
  async endAll(): Promise<void> {
    await Promise.all([...this.#open].map((entry) => this.#close(entry)));
  }

  /** The same without a word to the hosts: when it returns, nothing is sent any more. */
  destroyAll(): void {
    for (const entry of this.#open) {
      this.#forget(entry);
      entry.unwanted.abort();
      entry.connection?.destroy();
    }
  }

  async #acquire(host: Host, signal: AbortSignal): Promise<Entry<C>> {
    if (signal.aborted) throw interrupted();
    const key = keyOf(host);
    const known = this.#entries.get(key);
    const entry = known && known.connection?.alive !== false ? known : this.#begin(key, host);
    this.#idle.delete(entry);
    entry.users++;
    try {
      if (!entry.connection) await unlessAborted(entry.opening, signal);
      return entry;
    } catch (error) {
      this.#release(entry);
      throw error;
    }
  }

  #begin(key: string, host: Host): Entry<C> {
    if (this.#open.size >= this.#options.limit) this.#evict();
    const unwanted = new AbortController();
    const opening = this.#opened(host, unwanted.signal);
    const entry: Entry<C> = { key, opening, unwanted, connection: undefined, users: 0 };
    this.#entries.set(key, entry);
    this.#open.add(entry);
    const gone = () => {
      this.#forget(entry);
      this.#open.delete(entry);
    };
    opening
      .then((connection) => {
        entry.connection = connection;
        // Everybody who waited for it has gone in the meantime.
        if (unwanted.signal.aborted) connection.destroy();
        return connection.ended;
      })
      .then(gone, gone);
    return entry;
  }

  async #opened(host: Host, signal: AbortSignal): Promise<C> {
    try {
      return await this.#options.open(host, signal);
    } catch (error) {
      if (!isExhausted(error) || this.#idle.size === 0) throw error;
    }
    await this.makeRoom();
    return this.#options.open(host, signal);
  }

  #release(entry: Entry<C>): void {
    if (--entry.users > 0) return;
    if (this.#entries.get(entry.key) !== entry || !entry.connection) return void this.#close(entry);
    this.#idle.add(entry);
    if (this.#open.size > this.#options.limit) this.#evict();
  }

  #evict(): void {
    const [longest] = this.#idle;
    if (longest) void this.#close(longest);
  }

  /** Nobody begins to use it any more. */
  #forget(entry: Entry<C>): void {
    this.#idle.delete(entry);
    if (this.#entries.get(entry.key) === entry) this.#entries.delete(entry.key);
  }

  /** With pauses: the goodbye to thousands of hosts is seconds of work. */
  async #closeAll(entries: readonly Entry<C>[]): Promise<void> {
    for (const [index, entry] of entries.entries()) {
      void this.#close(entry);
      if (index % ENDED_AT_ONCE === ENDED_AT_ONCE - 1) await setImmediate();
    }
  }

  async #close(entry: Entry<C>): Promise<void> {
    this.#forget(entry);
    entry.unwanted.abort();
    await entry.connection?.[Symbol.asyncDispose]();
    this.#open.delete(entry);
  }
}

function keyOf({ user, key }: Host): string {
  return `${user}@${key}`;
}

export function isExhausted(error: unknown): boolean {
  return error instanceof FssyncError && error.reason === "ControllerExhausted";
}

/** Waits for what others may wait for as well. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(interrupted());
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
