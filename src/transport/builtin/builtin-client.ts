import { join } from "node:path";
import { asFssyncError } from "../../model/errors.ts";
import type { Host } from "../../model/host.ts";
import type { Clock } from "../../ports/clock.ts";
import type { OpenSshClient } from "../openssh-client.ts";
import type { SshFiles } from "../ssh-files.ts";
import { late } from "../programs.ts";
import type { Session, SshClient, Work } from "../ssh-client.ts";
import { runCommand } from "./command.ts";
import { Connection } from "./connection.ts";
import type { HostKeys } from "./host-keys.ts";
import { fileLogin } from "./login.ts";
import { Pool } from "./pool.ts";

export interface BuiltinClientOptions {
  readonly files: SshFiles;
  readonly openssh: OpenSshClient;
  readonly dir: string;
  /** Milliseconds. */
  readonly connectTimeout: number;
  /** Connections kept at most. */
  readonly maxConnections?: number | undefined;
  readonly clock: Clock;
}

/** Connections inside this process, one a host, kept open. */
export class BuiltinClient implements SshClient {
  readonly #options: BuiltinClientOptions;
  readonly #pool: Pool<Connection>;

  constructor(options: BuiltinClientOptions) {
    this.#options = options;
    const { maxConnections: limit = 10_000 } = options;
    this.#pool = new Pool({ limit, open: (host, signal) => this.#open(host, signal) });
  }

  async with<T>(host: Host, { timeout, signal, fence }: Work, use: (session: Session) => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    const end = clock.monotonic() + timeout;
    const either = AbortSignal.any([signal, fence]);
    try {
      return await this.#pool.with(host, either, (connection) => {
        const session: Session = {
          command: (command, options = {}) => {
            const left = end - clock.monotonic();
            if (left <= 0) throw late(timeout);
            return runCommand(connection, command, options, { left, timeout, signal: either, clock });
          },
          rsync: (run) => this.#options.openssh.with(host, { timeout, signal, fence }, (over) => over.rsync(run)),
        };
        return use(session);
      });
    } catch (thrown) {
      const error = asFssyncError(thrown);
      const unsure = error.reason === "SyncTimeout" || error.reason === "Interrupted";
      if (unsure || error.info.state === "Unreachable") await this.#pool.drop(host);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#pool.endAll(), this.#options.openssh[Symbol.asyncDispose]()]);
  }

  async #open(host: Host, signal: AbortSignal): Promise<Connection> {
    const { files, dir, connectTimeout } = this.#options;
    await files.refresh();
    const login = await fileLogin(join(dir, "identity"));
    const hostKeys: HostKeys = { algorithms: () => ["ssh-ed25519"], check: async () => undefined };
    return Connection.open({ host, hostKeys, login, timeout: connectTimeout, signal });
  }
}
