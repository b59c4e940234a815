import { join } from "node:path";
import type { Logger } from "pino";
import type { AppKey } from "../model/app.ts";
import { asFssyncError, FssyncError, type Reason } from "../model/errors.ts";
import type { Host } from "../model/host.ts";
import type { Clock } from "../ports/clock.ts";
import type {
  Applied,
  FileFact,
  FoundReplaced,
  HostChange,
  InspectedFile,
  Outcome,
  PreparedChange,
  Transport,
  WorkOptions,
} from "../ports/transport.ts";
import { Fence, instantIn } from "./fence.ts";
import { CHANGE_PREFIX, prepareSocketFolder, prepareWorkFolder } from "./folders.ts";
import { versionStamp } from "./guard.ts";
import { HostRun, type Run } from "./host-run.ts";
import { scriptError } from "./host-shell.ts";
import { Inspector, type Question } from "./inspector.ts";
import { Launcher } from "./launcher.ts";
import { endLeftovers } from "./leftovers.ts";
import { Masters } from "./masters.ts";
import { PreparedLists } from "./prepared-lists.ts";
import { runProcess, type ProcessResult } from "./process.ts";
import { interrupted, Programs } from "./programs.ts";
import { parseReading, readingCommand, readingInput, readingLimit } from "./reading.ts";
import { sshArgs, type Remote } from "./rsync-args.ts";
import { SshFiles } from "./ssh-files.ts";

/** Seconds without a byte from the host. Longer than ssh's own keepalive, which knows better why. */
const IO_TIMEOUT = 60;

export interface OpenSshTransportOptions {
  /** Folder for ssh's configuration, keys and lists; nobody else's. Made with mode 0700. */
  readonly dir: string;
  /** Short absolute folder for control sockets; made with mode 0700, refused when others may enter it. */
  readonly socketDir: string;
  /** Keys `identity` and `known_hosts`; without it ssh uses the user's own keys and known hosts. */
  readonly secret?: (() => Promise<ReadonlyMap<string, string>>) | undefined;
  readonly secretName?: string | undefined;
  readonly hostKeys: "strict" | "accept-new";
  /** Run rsync as `sudo -n rsync` on the host. */
  readonly sudo: boolean;
  /** Milliseconds. */
  readonly connectTimeout: number;
  /** rsync on the host; `rsync` unless given. */
  readonly rsyncPath?: string | undefined;
  /** Persistent connections kept at most. */
  readonly maxMasters?: number | undefined;
  /** Main module of the process that starts rsync and ssh; this process starts them itself without it. */
  readonly launcher?: URL | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The host's own OpenSSH and rsync: one rsync per host and ownership over one persistent connection
 * per host. A receiver that ends with 0 is believed: rsync's sender ends with 0 only after the
 * receiver has taken part to the end of the protocol, so that a program that merely exits with 0 is
 * a ProtocolError. One that lies through the whole protocol is for `verify` to find.
 */
export class OpenSshTransport implements Transport {
  readonly #options: OpenSshTransportOptions;
  readonly #files: SshFiles;
  readonly #masters: Masters;
  readonly #launcher: Launcher | undefined;
  readonly #programs: Programs;
  readonly #fence: Fence;
  readonly #dispose = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  /** Keys of hosts on which the guard could not run. */
  readonly #unguarded = new Set<string>();
  readonly #inspectors = new WeakMap<readonly InspectedFile[], Inspector>();
  #folders: Promise<void> | undefined;
  #changes = 0;

  constructor(options: OpenSshTransportOptions) {
    const { dir, secret, secretName, hostKeys, connectTimeout, clock } = options;
    this.#options = options;
    this.#files = new SshFiles({ dir, secret, secretName, hostKeys, connectTimeout, clock });
    this.#masters = new Masters({ socketDir: options.socketDir, limit: options.maxMasters ?? 512 });
    this.#launcher = options.launcher && new Launcher({ entry: options.launcher, dir });
    // The launcher keeps one as well: it goes on while this process is stopped.
    this.#fence = new Fence({ clock, over: () => endLeftovers(dir) });
    const start: typeof runProcess = this.#launcher ? (...work) => this.#launcher!.run(...work) : runProcess;
    this.#programs = new Programs({ dir, withAgent: secret === undefined, start, fence: this.#fence, clock });
  }

  async prepare(change: HostChange): Promise<PreparedChange> {
    await this.#ready();
    return PreparedLists.make(change, join(this.#options.dir, `${CHANGE_PREFIX}${++this.#changes}`));
  }

  async inspect(host: Host, files: readonly InspectedFile[], options: WorkOptions): Promise<readonly FileFact[]> {
    if (files.length === 0) return [];
    const inspector = this.#inspectors.get(files) ?? new Inspector(files);
    this.#inspectors.set(files, inspector);
    const look = inspector.look(host.root, this.#options.sudo);
    return look.facts(await this.#ask(host, look, options));
  }

  async read(
    host: Host,
    paths: readonly string[],
    options: WorkOptions & { limit: number },
  ): Promise<readonly (Buffer | null)[]> {
    if (paths.length === 0) return [];
    const command = readingCommand(host.root, this.#options.sudo, options.limit);
    const limit = readingLimit(paths.length, options.limit);
    const { stdout } = await this.#ask(host, { command, input: readingInput(paths), limit }, options);
    return parseReading(stdout, paths.length, options.limit);
  }

  async apply(host: Host, change: PreparedChange, options: WorkOptions): Promise<Applied> {
    let replaced: ReadonlyMap<AppKey, readonly FoundReplaced[]> = new Map();
    const outcome = await this.#apply(host, change, options, (found) => (replaced = found)).catch((error: unknown) => {
      const failure = asFssyncError(error);
      return new Map(change.change.apps.map(({ app }) => [app, failure]));
    });
    return { outcome, replaced };
  }

  allow(milliseconds: number): void {
    const until = instantIn(milliseconds);
    this.#fence.allow(until);
    this.#launcher?.allow(until);
  }

  /** Ends what still runs, and every persistent connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#dispose.abort();
    await Promise.allSettled(this.#running);
    this.#fence[Symbol.dispose]();
    await this.#fence.cleared();
    await this.#masters.endAll();
    await this.#launcher?.[Symbol.asyncDispose]();
  }

  /** `onReplaced` is told before it resolves or rejects. */
  async #apply(
    host: Host,
    change: PreparedChange,
    options: WorkOptions,
    onReplaced: (found: HostRun["replaced"]) => void,
  ): Promise<Outcome> {
    if (!(change instanceof PreparedLists))
      throw new FssyncError("Internal", "the change was prepared by another transport");
    if (this.#fence.check().aborted) throw interrupted();
    if (isEmpty(change.change)) return new Map(change.change.apps.map(({ app }) => [app, null]));
    const { clock } = this.#options;
    return this.#on(host, options, async (remote, run) => {
      const hostRun = new HostRun({ lists: change, remote, run, stamp: versionStamp(clock.now()) });
      try {
        const outcome = await hostRun.all();
        if (hostRun.unguarded) this.#tellUnguarded(host);
        return outcome;
      } finally {
        onReplaced(hostRun.replaced);
      }
    });
  }

  /** Once: a host without sha256sum has none at the next sync either. */
  #tellUnguarded({ key }: Host): void {
    if (this.#unguarded.has(key)) return;
    this.#unguarded.add(key);
    this.#options.log.warn({ host: key, next: UNGUARDED_NEXT }, "files that somebody changed on the host are not kept");
  }

  /** What one command on the host says. Throws when it did not end well. */
  #ask(host: Host, { command, input, limit }: Question, options: WorkOptions): Promise<ProcessResult> {
    return this.#on(host, options, async (remote, run) => {
      const result = await run("ssh", sshArgs(remote, command), input, limit);
      if (result.flooded) throw new FssyncError("ProtocolError", "the host said more than its files have to say");
      const error = scriptError(result);
      if (error) throw error;
      return result;
    });
  }

  /** Works on a host over its connection, within the time that is given and allowed. Rejects with what `work` throws. */
  async #on<T>(host: Host, options: WorkOptions, work: (remote: Remote, run: Run) => Promise<T>): Promise<T> {
    const running = this.#connected(host, options, work);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  async #connected<T>(
    host: Host,
    { timeout, signal }: WorkOptions,
    work: (remote: Remote, run: Run) => Promise<T>,
  ): Promise<T> {
    const fence = this.#fence.check();
    if (fence.aborted) throw interrupted();
    const run = this.#programs.run({ timeout, signal: AbortSignal.any([signal, this.#dispose.signal]), fence });
    await this.#ready();
    await this.#fence.cleared();
    if (await this.#files.refresh()) await this.#masters.retireAll();
    try {
      return await this.#masters.with(host, (controlPath) => work(this.#remote(host, controlPath), run));
    } catch (error) {
      throw await this.#afterFailure(host, asFssyncError(error));
    }
  }

  #ready(): Promise<void> {
    this.#folders ??= Promise.all([
      prepareWorkFolder(this.#options.dir),
      prepareSocketFolder(this.#options.socketDir),
    ]).then(() => undefined);
    // A full disk today need not be one tomorrow.
    this.#folders.catch(() => (this.#folders = undefined));
    return this.#folders;
  }

  #remote(host: Host, controlPath: string): Remote {
    const { sudo, rsyncPath = "rsync" } = this.#options;
    return { host, controlPath, sudo, rsyncPath, ioTimeout: IO_TIMEOUT };
  }

  /** A connection that may be dead, or on which the host may still be at work, is not used again. */
  async #afterFailure(host: Host, error: FssyncError): Promise<FssyncError> {
    this.#options.log.debug({ host: host.key, reason: error.reason, message: error.message }, "host failed");
    if (error.reason === "ProtocolError" && error.message.includes("connection unexpectedly closed")) {
      // rsync saw its input end and says no more; whether the connection ended under it, its master knows.
      if (!(await this.#masters.lives(host))) return this.#lost(host, error);
    }
    if (KEYS_MAY_BE_OLD.has(error.reason)) this.#files.expire();
    const unsure = error.reason === "SyncTimeout" || error.reason === "Interrupted";
    if (unsure || error.info.state === "Unreachable") await this.#masters.drop(host);
    return error;
  }

  async #lost(host: Host, error: FssyncError): Promise<FssyncError> {
    await this.#masters.drop(host);
    return new FssyncError("ConnectionLost", error.message, { cause: error });
  }
}

const UNGUARDED_NEXT =
  "they are overwritten without a copy or a word: install sha256sum, stat and xargs -0 there; with ssh.sudo allow sh too (docs/operations.md)";

/** A key that was put into the secret a moment ago may be what the host asks for. */
const KEYS_MAY_BE_OLD: ReadonlySet<Reason> = new Set<Reason>(["HostKeyUnknown", "HostKeyMismatch", "AuthFailed"]);

/** A change of settings alone moves no byte: no host needs to be asked. */
function isEmpty({ apps, emptyFolders }: HostChange): boolean {
  return emptyFolders.length === 0 && apps.every((app) => app.send.length === 0 && app.delete.length === 0);
}
