import type { Logger } from "pino";
import { asFssyncError, FssyncError } from "../model/errors.ts";
import { bracketed, type Host } from "../model/host.ts";
import { Masters } from "./masters.ts";
import type { Programs } from "./programs.ts";
import { CONFIG_FILE } from "./ssh-config.ts";
import { KEYS_MAY_BE_OLD } from "./ssh-errors.ts";
import type { Session, SshClient, Work } from "./ssh-client.ts";
import type { SshFiles } from "./ssh-files.ts";

export interface OpenSshClientOptions {
  readonly files: SshFiles;
  readonly programs: Programs;
  /** Short absolute folder for control sockets. */
  readonly socketDir: string;
  /** Persistent connections kept at most. */
  readonly maxMasters?: number | undefined;
  readonly log: Logger;
}

/** What rsync says when a pipe to ssh has ended: by reading it, or by writing to it. */
const CUT = /connection unexpectedly closed|safe_write failed/;

/** The machine's own ssh: a process for each command, over one persistent connection per host. */
export class OpenSshClient implements SshClient {
  readonly #options: OpenSshClientOptions;
  readonly #masters: Masters;
  /** Of the files that the connections were made with. */
  #generation = 0;

  constructor(options: OpenSshClientOptions) {
    this.#options = options;
    this.#masters = new Masters({ socketDir: options.socketDir, limit: options.maxMasters ?? 512 });
  }

  get connections(): number {
    return this.#masters.size;
  }

  async with<T>(host: Host, work: Work, use: (session: Session) => Promise<T>): Promise<T> {
    const { files } = this.#options;
    const generation = await files.refresh();
    files.checkForOpenSsh();
    if (generation !== this.#generation) {
      this.#generation = generation;
      await this.#masters.retireAll();
    }
    try {
      return await this.#masters.with(host, (controlPath) => use(this.#session(host, controlPath, work)));
    } catch (error) {
      throw await this.#afterFailure(host, asFssyncError(error));
    }
  }

  /** Ends every persistent connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#masters.endAll();
  }

  #session(host: Host, controlPath: string, work: Work): Session {
    const run = this.#options.programs.run(work);
    const options = ["-F", CONFIG_FILE, "-S", controlPath, "-p", String(host.port)];
    return {
      waits: false,
      command: (command, { input, rawStdout } = {}) => {
        const said = { ...(input && { input }), ...(rawStdout !== undefined && { rawStdout }) };
        return run("ssh", [...options, "-l", host.user, "--", host.address, command], said);
      },
      rsync: ({ options: own, rsyncPath, source, destination }) => {
        // rsync splits this at spaces; neither the name of the configuration nor a socket's has one.
        const shell = ["ssh", ...options].join(" ");
        const target = `${host.user}@${bracketed(host.address)}:${destination}`;
        return run("rsync", [...own, `--rsync-path=${rsyncPath}`, "-e", shell, "--", source, target]);
      },
    };
  }

  /** A connection that may be dead, or on which the host may still be at work, is not used again. */
  async #afterFailure(host: Host, error: FssyncError): Promise<FssyncError> {
    this.#options.log.debug({ host: host.key, reason: error.reason, message: error.message }, "host failed");
    if (error.reason === "ProtocolError" && CUT.test(error.message)) {
      // rsync saw one of its pipes end and says no more; whether the connection ended under it, its master knows.
      if (!(await this.#masters.lives(host))) return this.#lost(host, error);
    }
    if (KEYS_MAY_BE_OLD.has(error.reason)) this.#options.files.expire();
    const unsure = error.reason === "SyncTimeout" || error.reason === "Interrupted";
    if (unsure || error.info.state === "Unreachable") await this.#masters.drop(host);
    return error;
  }

  async #lost(host: Host, error: FssyncError): Promise<FssyncError> {
    await this.#masters.drop(host);
    return new FssyncError("ConnectionLost", error.message, { cause: error });
  }
}
