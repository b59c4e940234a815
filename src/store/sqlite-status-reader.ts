import { existsSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import type { Logger } from "pino";
import type { AppKey } from "../model/app.ts";
import { FssyncError } from "../model/errors.ts";
import type { HostKey } from "../model/host.ts";
import type { RepoStatus, StatusStore } from "../ports/status-store.ts";
import type { SuspendedTarget } from "../ports/suspender.ts";
import { SCHEMA_VERSION, refuseNewer, schemaVersion } from "./migrations/migrate.ts";
import { readRepos, readStatus } from "./reading.ts";
import { storeError } from "./sqlite-error.ts";
import { openForReading } from "./sqlite.ts";
import { readSuspensions } from "./suspensions.ts";

/**
 * Reads the store of a controller that may run meanwhile, in another process; writes nothing. Each
 * answer is the store at one moment. Where no controller ever ran, it is empty.
 */
export class SqliteStatusReader implements Pick<StatusStore, "load" | "repos">, AsyncDisposable {
  readonly #file: string;
  readonly #log: Logger;
  #database: DatabaseSync | null = null;
  /** By repo, as of its last `load`. */
  readonly #said = new Map<string, readonly SuspendedTarget[]>();
  readonly #suspensions = new Map<string, ReturnType<typeof suspendedIn>>();

  constructor({ file, log }: { file: string; log: Logger }) {
    this.#file = file;
    this.#log = log;
  }

  /** Throws StoreCorrupt for a damaged file and InvalidSpec for one of another version of fssync. */
  async load(repo: string): Promise<RepoStatus> {
    const nothing = { repo: { revision: null, problems: [] }, apps: new Map(), hosts: new Map() };
    const suspensions = this.#reading((database) => readSuspensions(database, repo)) ?? [];
    this.#said.set(repo, suspensions);
    this.#suspensions.set(repo, suspendedIn(suspensions));
    return this.#reading((database) => readStatus(database, repo, this.#log)) ?? nothing;
  }

  async repos(): Promise<string[]> {
    return this.#reading(readRepos) ?? [];
  }

  /** Where people have stopped work over HTTP, as of the last `load`; the configuration may stop more. */
  suspended(repo: string, app: AppKey, host: HostKey): boolean {
    const known = this.#suspensions.get(repo);
    return known !== undefined && (known.repo || known.apps.has(app) || known.hosts.has(host));
  }

  /** By whom and why. */
  suspensions(repo: string): readonly SuspendedTarget[] {
    return this.#said.get(repo) ?? [];
  }

  /** The same of all work on the repo. */
  repoSuspended(repo: string): boolean {
    return this.#suspensions.get(repo)?.repo ?? false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#database?.close();
    this.#database = null;
  }

  #reading<T>(read: (database: DatabaseSync) => T): T | undefined {
    try {
      if (this.#database === null && !existsSync(this.#file)) return undefined;
      this.#database ??= openForReading(this.#file);
      return this.#isReadable(this.#database) ? read(this.#database) : undefined;
    } catch (error) {
      throw storeError(error, `the status store ${this.#file} cannot be read`);
    }
  }

  /** False for a file that a controller has just begun to make. */
  #isReadable(database: DatabaseSync): boolean {
    const version = schemaVersion(database);
    refuseNewer(version, this.#file);
    if (version === 0 || version === SCHEMA_VERSION) return version !== 0;
    const message = `${this.#file} was written by an older fssync; it is brought up to date by the next fssync run`;
    throw new FssyncError("InvalidSpec", message);
  }
}

function suspendedIn(suspensions: readonly SuspendedTarget[]) {
  return {
    repo: suspensions.some(({ app, host }) => app === undefined && host === undefined),
    apps: new Set(suspensions.map(({ app }) => app)),
    hosts: new Set(suspensions.map(({ host }) => host)),
  };
}
