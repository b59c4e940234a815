import type { Host } from "../model/host.ts";
import type { WorkOptions } from "../ports/transport.ts";
import type { ProcessResult } from "./process.ts";

/** How commands and rsync reach hosts: the machine's own ssh, or connections inside this process. */
export interface SshClient extends AsyncDisposable {
  /** See `Transport.connections`. */
  readonly connections: number;
  /**
   * Works on a host over its connection, which is opened when there is none. Rejects with what `work` throws and with what
   * keeps the host from being reached; then nothing of the work goes on over that connection.
   */
  with<T>(host: Host, work: Work, use: (session: Session) => Promise<T>): Promise<T>;
  /** Ends every connection of this process at once: when it returns, nothing is sent any more. */
  cut?(): void;
}

export interface Work extends WorkOptions {
  /** The signal of the time that was allowed when the work began. */
  readonly fence: AbortSignal;
}

/**
 * One piece of work on one host: all that it runs shares its time. What is run comes to its end, whatever that is; it
 * throws `Unfinished` when it was ended first, and what kept it from beginning.
 */
export interface Session {
  /** Whether it can wait for `CommandOptions.whenSaid`. */
  readonly waits: boolean;
  /** Runs a command in the login's shell. */
  command(command: string, options?: CommandOptions): Promise<ProcessResult>;
  /** Runs rsync here, against the one that the host's shell starts. */
  rsync(run: RsyncRun): Promise<ProcessResult>;
}

export interface CommandOptions {
  /** Standard input; empty without it. */
  readonly input?: Uint8Array;
  /**
   * What standard input goes on with once a line of standard output is `line`, and not before: a host that does not
   * want it says something else and ends, and one that asks too late finds nobody. In parts, which hosts may share. Only for
   * sessions that wait.
   */
  readonly whenSaid?: { readonly line: string; readonly input: () => Promise<readonly Uint8Array[]> };
  /** See `ProcessOptions.rawStdout`. */
  readonly rawStdout?: number;
}

/** A run of rsync but for how it reaches the host. */
export interface RsyncRun {
  readonly options: readonly string[];
  /** What the host's shell runs in the place of `rsync`. */
  readonly rsyncPath: string;
  /** Absolute folder, with a slash at its end. */
  readonly source: string;
  /** Absolute folder on the host, with a slash at its end. */
  readonly destination: string;
}
