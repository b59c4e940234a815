import { createHash } from "node:crypto";
import { lstat, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Host } from "../model/host.ts";
import { askMaster } from "./control-socket.ts";

const ANSWER_TIMEOUT = 2000;
const ENDING_AT_ONCE = 32;

/** ssh's word for "no control socket". */
const NO_SOCKET = "none";

interface MastersOptions {
  readonly socketDir: string;
  /** Connections kept at most; beyond it the one unused for longest goes, or the new host has none. */
  readonly limit: number;
}

interface Master {
  readonly path: string;
  users: number;
  /** Whether this process has used it with success. ssh itself puts a new one in the place of one that has died since. */
  known: boolean;
  /** Ended as soon as nobody uses it. */
  retired: boolean;
}

/**
 * Persistent connections, one a host. Nobody opens them on purpose: the first ssh of a host that finds
 * no master behind the control socket becomes one (ControlMaster auto) and stays when its own session
 * is over (ControlPersist), which spares a process for each new host. A host has one user at a time:
 * whoever drops a host's master is the one who uses it.
 */
export class Masters {
  readonly #options: MastersOptions;
  /** In order of use, the latest last. */
  readonly #masters = new Map<string, Master>();

  constructor(options: MastersOptions) {
    this.#options = options;
  }

  /** Connections that this process keeps, or is about to. */
  get size(): number {
    return this.#masters.size;
  }

  /** Runs `use` with the path of the host's control socket, behind which is a live master or none. Rejects as `use` does. */
  async with<T>(host: Host, use: (controlPath: string) => Promise<T>): Promise<T> {
    const master = await this.#take(host);
    if (!master) return use(NO_SOCKET);
    try {
      if (!master.known) await this.#removeDead(master.path);
      const result = await use(master.path);
      master.known = true;
      return result;
    } finally {
      master.users--;
      if (master.retired && master.users === 0) await this.#end(master.path);
    }
  }

  /** Whether the host's connection still stands. */
  lives(host: Host): Promise<boolean> {
    return askMaster(this.#path(host), "alive", ANSWER_TIMEOUT);
  }

  /** Ends the host's connection, so that the next use opens a new one. */
  async drop(host: Host): Promise<void> {
    await this.#end(this.#path(host));
  }

  /** Ends every connection, those in use after their use: the keys they were made with have changed. */
  async retireAll(): Promise<void> {
    for (const master of this.#masters.values()) master.retired = true;
    await this.#endMany([...this.#masters.values()].filter(({ users }) => users === 0));
  }

  /** Ends all connections that this object ever saw. */
  async endAll(): Promise<void> {
    await this.#endMany([...this.#masters.values()]);
  }

  async #endMany(masters: readonly Master[]): Promise<void> {
    const paths = masters.map(({ path }) => path);
    const workers = Array.from({ length: ENDING_AT_ONCE }, async () => {
      for (let path = paths.pop(); path !== undefined; path = paths.pop()) await this.#end(path);
    });
    await Promise.all(workers);
  }

  async #take(host: Host): Promise<Master | undefined> {
    const path = this.#path(host);
    const found = this.#masters.get(path);
    if (!found && this.#masters.size >= this.#options.limit && !(await this.#evict())) return undefined;
    const master = found ?? this.#masters.get(path) ?? { path, users: 0, known: false, retired: false };
    this.#masters.delete(path);
    this.#masters.set(path, master);
    master.users++;
    return master;
  }

  /** Ends the connection unused for longest; false when all are in use. */
  async #evict(): Promise<boolean> {
    const idle = this.#masters.values().find(({ users }) => users === 0);
    if (!idle) return false;
    this.#masters.delete(idle.path);
    await this.#end(idle.path);
    return true;
  }

  /** An earlier process may have left a socket whose master is there and does not answer: ssh would wait for it. */
  async #removeDead(path: string): Promise<void> {
    const left = await lstat(path).catch(() => undefined);
    if (left && !(await askMaster(path, "alive", ANSWER_TIMEOUT))) await rm(path, { force: true });
  }

  async #end(path: string): Promise<void> {
    this.#masters.delete(path);
    await askMaster(path, "terminate", ANSWER_TIMEOUT);
    await rm(path, { force: true });
  }

  #path({ user, key }: Host): string {
    const name = createHash("sha256").update(`${user}@${key}`).digest("hex").slice(0, 16);
    return join(this.#options.socketDir, name);
  }
}
