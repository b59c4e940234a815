import type { Logger } from "pino";
import { asFssyncError } from "../../model/errors.ts";
import type { Host } from "../../model/host.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Fence } from "../fence.ts";
import { JoinedSignals } from "../joined-signals.ts";
import type { OpenSshClient } from "../openssh-client.ts";
import type { ProcessResult } from "../process.ts";
import { interrupted, late, Unfinished, type Programs } from "../programs.ts";
import type { CommandOptions, Session, SshClient, Work } from "../ssh-client.ts";
import type { SshFiles } from "../ssh-files.ts";
import { Access } from "./access.ts";
import { runCommand } from "./command.ts";
import type { Connection } from "./connection.ts";
import { HandleShare } from "./file-handles.ts";
import { Handshakes } from "./handshakes.ts";
import { Names } from "./names.ts";
import type { HostKeys } from "./host-keys.ts";
import { openConnection } from "./opening.ts";
import { plainRsync } from "./plain-rsync.ts";
import { isExhausted, Pool, type Lease } from "./pool.ts";

/** Milliseconds after which keys are looked at again while connections are idle. */
const LOOK_INTERVAL = 60_000;

export interface BuiltinClientOptions {
  readonly files: SshFiles;
  readonly openssh: OpenSshClient;
  readonly programs: Programs;
  readonly dir: string;
  readonly hostKeys: "strict" | "accept-new";
  /** The user's home, where keys are without a secret. */
  readonly home?: string | undefined;
  /** Milliseconds. */
  readonly connectTimeout: number;
  /** Connections kept at most. */
  readonly maxConnections?: number | undefined;
  /** Files that this process may have open; what the kernel says unless given. */
  readonly openFiles?: number | undefined;
  readonly fence: Fence;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Connections inside this process, one a host, kept open. */
export class BuiltinClient implements SshClient {
  readonly #options: BuiltinClientOptions;
  readonly #names: Names;
  readonly #handshakes: Handshakes;
  readonly #access: Access;
  /** Of what the connections logged in with. */
  #logins = 0;
  /** What was known of hosts when connections were last judged by it. */
  #judgedBy: object | undefined;
  #judging: Promise<void> | undefined;
  /** What each connection was let in with. */
  readonly #shown = new WeakMap<Connection, { readonly host: Host; readonly key: Buffer }>();
  readonly #handles: HandleShare;
  /** The next look at keys without anybody's work. */
  #later: Disposable | undefined;
  readonly #signals = new JoinedSignals();
  #disposed = false;
  #toldOfHandles = false;
  readonly #pool: Pool<Connection>;

  constructor(options: BuiltinClientOptions) {
    this.#options = options;
    this.#access = new Access(options);
    this.#names = new Names(options);
    this.#handshakes = new Handshakes(options.clock);
    this.#handles = new HandleShare(options.openFiles);
    const limit = () => Math.min(this.#wanted, this.#handles.connections);
    const open = (host: Host, signal: AbortSignal) => this.#open(host, signal);
    this.#pool = new Pool({
      get limit() {
        return limit();
      },
      open,
    });
  }

  /** Also those of the hosts that only OpenSSH can reach. */
  get connections(): number {
    return this.#pool.size + this.#options.openssh.connections;
  }

  async with<T>(host: Host, work: Work, use: (session: Session) => Promise<T>): Promise<T> {
    try {
      return await this.#with(host, work, use);
    } catch (error) {
      // Others need file handles as well, and cannot close any.
      if (isExhausted(error)) await this.#pool.makeRoom();
      throw error;
    }
  }

  async #with<T>(host: Host, work: Work, use: (session: Session) => Promise<T>): Promise<T> {
    await this.#refresh();
    this.#lookLater();
    const why = await this.#access.onlyByOpenSsh(host);
    if (why !== undefined) {
      const { files, openssh } = this.#options;
      files.checkForOpenSsh(`${host.key} is reached by OpenSSH only (${why})`);
      return openssh.with(host, work, use);
    }
    const either = this.#signals.of(work.signal, work.fence);
    return this.#pool.with(host, either, async (lease) => {
      try {
        return await use(this.#session(lease, work, either));
      } catch (thrown) {
        const error = asFssyncError(thrown);
        const unsure = error.reason === "SyncTimeout" || error.reason === "Interrupted";
        if (unsure || error.info.state === "Unreachable") await lease.drop();
        throw error;
      }
    });
  }

  cut(): void {
    this.#pool.destroyAll();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    using _ = this.#handles;
    this.#disposed = true;
    this.#later?.[Symbol.dispose]();
    await Promise.all([this.#pool.endAll(), this.#options.openssh[Symbol.asyncDispose]()]);
  }

  get #wanted(): number {
    return this.#options.maxConnections ?? 10_000;
  }

  async #refresh(): Promise<void> {
    await this.#options.files.refresh();
    await this.#access.refresh();
    const { logins, hostKeys } = this.#access;
    if (logins !== this.#logins) this.#pool.retireAll();
    this.#logins = logins;
    if (hostKeys.state !== this.#judgedBy) this.#judging = this.#pool.retire((each) => !this.#isBelieved(each));
    this.#judgedBy = hostKeys.state;
    await this.#judging;
  }

  /** Connections end with the keys they were made with, also when nobody needs them for long. */
  #lookLater(): void {
    if (this.#disposed) return;
    this.#later ??= this.#options.clock.after(LOOK_INTERVAL, () => void this.#look());
  }

  async #look(): Promise<void> {
    // What is wrong with the keys is told to who needs them.
    await this.#refresh().catch(() => undefined);
    this.#later = undefined;
    if (this.#pool.size > 0) this.#lookLater();
  }

  /** Once, when a host pays for it with a login. */
  #tellOfHandles(): void {
    const { limit, connections } = this.#handles;
    if (this.#toldOfHandles || connections >= this.#wanted || this.#pool.size < connections) return;
    this.#toldOfHandles = true;
    const next = `Let fssync open more files (LimitNOFILE, ulimit -n): one for each host, and 500; or lower ssh.maxConnections.`;
    this.#options.log.warn({ limit, connections, next }, "too few file handles to keep a connection to each host");
  }

  /** A line for another host is no reason to log in anew on this one. */
  #isBelieved(connection: Connection): boolean {
    const shown = this.#shown.get(connection);
    return shown !== undefined && this.#access.hostKeys.believes(shown.host, shown.key);
  }

  #session(lease: Lease<Connection>, work: Work, signal: AbortSignal): Session {
    const { programs, fence, clock } = this.#options;
    const { timeout } = work;
    const end = clock.monotonic() + timeout;
    const program = programs.run(work);
    const run = async (connection: Connection, command: string, options: CommandOptions): Promise<ProcessResult> => {
      const left = end - clock.monotonic();
      if (left <= 0) throw late(timeout);
      const result = await runCommand(connection, command, options, { left, timeout, signal, clock });
      fence.check();
      // Even what came to a good end in time: who was allowed since may have synced the host.
      if (work.fence.aborted) throw new Unfinished(interrupted(), result);
      return result;
    };
    return {
      waits: true,
      command: (command, options = {}) => lease.on((connection) => run(connection, command, options)),
      rsync: (rsync) => lease.on((connection) => plainRsync(rsync, { connection, run: program, signal, clock })),
    };
  }

  async #open(host: Host, signal: AbortSignal): Promise<Connection> {
    this.#tellOfHandles();
    const { connectTimeout: timeout, fence, clock } = this.#options;
    const keys = this.#access.hostKeys;
    let shown: Buffer | undefined;
    const hostKeys: HostKeys = {
      algorithms: (of) => keys.algorithms(of),
      check: async (of, key) => {
        shown = Buffer.from(key);
        await keys.check(of, key);
      },
    };
    const login = (to: Host) => this.#access.login(to);
    const check = () => void fence.check();
    const [names, handshakes] = [this.#names, this.#handshakes];
    const connection = await this.#access.opened(host, () =>
      openConnection({ host, hostKeys, login, timeout, signal, names, handshakes, check, clock }),
    );
    if (shown) this.#shown.set(connection, { host, key: shown });
    return connection;
  }
}
