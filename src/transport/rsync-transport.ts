import { join } from "node:path";
import type { Logger } from "pino";
import type { AppKey } from "../model/app.ts";
import { asFssyncError, FssyncError } from "../model/errors.ts";
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
import { HostRun } from "./host-run.ts";
import { scriptError } from "./host-shell.ts";
import { Inspector, type Question } from "./inspector.ts";
import { JoinedSignals } from "./joined-signals.ts";
import { Launcher } from "./launcher.ts";
import { endLeftovers } from "./leftovers.ts";
import { LoginShells } from "./login-shell.ts";
import { OpenSshClient } from "./openssh-client.ts";
import { PreparedLists } from "./prepared-lists.ts";
import { runProcess, type ProcessResult } from "./process.ts";
import { interrupted, Programs } from "./programs.ts";
import { parseReading, readingCommand, readingInput, readingLimit } from "./reading.ts";
import type { Remote } from "./rsync-args.ts";
import type { Session, SshClient } from "./ssh-client.ts";
import { SshFiles } from "./ssh-files.ts";
import { BatchRuns } from "./batch/batch-runs.ts";
import { BuiltinClient } from "./builtin/builtin-client.ts";

/** Seconds without a byte from the host. Longer than ssh's own keepalive, which knows better why. */
const IO_TIMEOUT = 60;

export interface RsyncTransportOptions {
  /** Folder for ssh's configuration, keys and lists; nobody else's. Made with mode 0700. */
  readonly dir: string;
  /** How hosts are reached. */
  readonly client: "builtin" | "openssh";
  /** False: plain rsync for every host, also where one batch would do. */
  readonly batches?: boolean;
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
  /** Connections inside this process kept at most. */
  readonly maxConnections?: number | undefined;
  /** Persistent connections of OpenSSH kept at most. */
  readonly maxMasters?: number | undefined;
  /** Main module of the process that starts rsync and ssh; this process starts them itself without it. */
  readonly launcher?: URL | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * rsync on both sides. What a group of hosts needs is written once, as a batch, and laid on each by one command over its
 * connection; where that cannot be, one rsync per host and ownership. A receiver that ends with 0 is believed: rsync's
 * sender ends with 0 only after the receiver has taken part to the end of the protocol, so that a program that merely
 * exits with 0 is a ProtocolError. One that lies through the whole protocol is for `verify` to find.
 */
export class RsyncTransport implements Transport {
  readonly #options: RsyncTransportOptions;
  readonly #client: SshClient;
  readonly #batches: BatchRuns | undefined;
  readonly #launcher: Launcher | undefined;
  readonly #fence: Fence;
  readonly #dispose = new AbortController();
  readonly #signals = new JoinedSignals();
  readonly #running = new Set<Promise<unknown>>();
  /** Keys of hosts on which the guard could not run. */
  readonly #unguarded = new Set<string>();
  readonly #shells = new LoginShells();
  readonly #inspectors = new WeakMap<readonly InspectedFile[], Inspector>();
  #folders: Promise<void> | undefined;
  #changes = 0;

  constructor(options: RsyncTransportOptions) {
    const { dir, secret, secretName, hostKeys, connectTimeout, clock } = options;
    this.#options = options;
    const files = new SshFiles({ dir, secret, secretName, hostKeys, connectTimeout, clock });
    const onOver = options.client === "builtin" ? () => void this.#fence.check() : undefined;
    this.#launcher = options.launcher && new Launcher({ entry: options.launcher, dir, onOver });
    // The launcher keeps one as well: it goes on while this process is stopped.
    this.#fence = new Fence({ clock, over: () => this.#cut() });
    const start: typeof runProcess = this.#launcher ? (...work) => this.#launcher!.run(...work) : runProcess;
    const programs = new Programs({ dir, withAgent: secret === undefined, start, fence: this.#fence, clock });
    const { socketDir, maxMasters, log } = options;
    const openssh = new OpenSshClient({ files, programs, socketDir, maxMasters, log });
    if (options.client === "openssh") this.#client = openssh;
    else {
      this.#client = new BuiltinClient({ ...options, files, openssh, programs, fence: this.#fence });
      if (options.batches ?? true)
        this.#batches = new BatchRuns({ dir, programs, signal: this.#dispose.signal, clock, log });
    }
  }

  get connections(): number {
    return this.#client.connections;
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
    const found: Found = { replaced: new Map(), fallback: undefined };
    const outcome = await this.#apply(host, change, options, found).catch((error: unknown) => {
      const failure = asFssyncError(error);
      return new Map(change.change.apps.map(({ app }) => [app, failure]));
    });
    const { replaced, fallback } = found;
    return { outcome, replaced, ...(fallback !== undefined && { fallback }) };
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
    await this.#client[Symbol.asyncDispose]();
    await this.#launcher?.[Symbol.asyncDispose]();
  }

  /** What is to be told besides is in `found` before it resolves or rejects. */
  async #apply(host: Host, change: PreparedChange, options: WorkOptions, found: Found): Promise<Outcome> {
    if (!(change instanceof PreparedLists))
      throw new FssyncError("Internal", "the change was prepared by another transport");
    if (this.#fence.check().aborted) throw interrupted();
    if (isEmpty(change.change)) return allApplied(change.change);
    const { clock } = this.#options;
    return this.#on(host, options, async (remote, session) => {
      const laid = await this.#batches?.lay(change, remote, session, options);
      if (laid?.done) return allApplied(change.change);
      found.fallback = laid?.fallback;
      const hostRun = new HostRun({ lists: change, remote, session, stamp: versionStamp(clock.now()) });
      try {
        const outcome = await hostRun.all();
        if (hostRun.unguarded) this.#tellUnguarded(host);
        return outcome;
      } finally {
        found.replaced = hostRun.replaced;
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
    return this.#on(host, options, async (_, session) => {
      const result = await session.command(command, { input, rawStdout: limit });
      if (result.flooded) throw new FssyncError("ProtocolError", "the host said more than its files have to say");
      const error = scriptError(result);
      if (error) throw error;
      return result;
    });
  }

  /** Works on a host over its connection, within the time that is given and allowed. Rejects with what `work` throws. */
  async #on<T>(host: Host, options: WorkOptions, work: (remote: Remote, session: Session) => Promise<T>): Promise<T> {
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
    work: (remote: Remote, session: Session) => Promise<T>,
  ): Promise<T> {
    const fence = this.#fence.check();
    if (fence.aborted) throw interrupted();
    await this.#ready();
    await this.#fence.cleared();
    const { sudo, rsyncPath = "rsync" } = this.#options;
    const remote: Remote = { host, sudo, rsyncPath, ioTimeout: IO_TIMEOUT };
    const limits = { timeout, signal: this.#signals.of(signal, this.#dispose.signal), fence };
    return this.#client.with(host, limits, (session) => work(remote, this.#shells.session(host, session)));
  }

  /** Ends all that is under way, and every connection. */
  #cut(): Promise<void> {
    this.#client.cut?.();
    return endLeftovers(this.#options.dir);
  }

  #ready(): Promise<void> {
    this.#folders ??= this.#prepareFolders();
    // A full disk today need not be one tomorrow.
    this.#folders.catch(() => (this.#folders = undefined));
    return this.#folders;
  }

  /** What an earlier process left running is ended first: then nobody is behind its sockets. */
  async #prepareFolders(): Promise<void> {
    await prepareWorkFolder(this.#options.dir);
    await prepareSocketFolder(this.#options.socketDir);
  }
}

/** Besides the outcome, also when there is an error instead. */
interface Found {
  replaced: ReadonlyMap<AppKey, readonly FoundReplaced[]>;
  fallback: string | undefined;
}

const UNGUARDED_NEXT =
  "they are overwritten without a copy or a word: install sha256sum, stat and xargs -0 there; with ssh.sudo allow sh too (docs/operations.md)";

function allApplied({ apps }: HostChange): Outcome {
  return new Map(apps.map(({ app }) => [app, null]));
}

/** A change of settings alone moves no byte: no host needs to be asked. */
function isEmpty({ apps, emptyFolders }: HostChange): boolean {
  return emptyFolders.length === 0 && apps.every((app) => app.send.length === 0 && app.delete.length === 0);
}
