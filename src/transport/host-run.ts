import type { AppKey } from "../model/app.ts";
import { FssyncError, leftHostUntouched, type Reason } from "../model/errors.ts";
import type { FoundReplaced, Outcome } from "../ports/transport.ts";
import { parseGuardReport, type GuardReport } from "./guard-report.ts";
import { guardAnswerLimit, guardCommand, riddenGuard, type Guard } from "./guard.ts";
import type { Clearing, Send } from "./passes.ts";
import type { PreparedLists } from "./prepared-lists.ts";
import { escapeControls, type ProcessResult } from "./process.ts";
import { Unfinished } from "./programs.ts";
import { removalCommand, removalInput, REMOVAL_DONE } from "./removal.ts";
import { deleteRun, sendRun, type Remote } from "./rsync-args.ts";
import { isAccountFault, isHostWide, runError } from "./rsync-errors.ts";
import type { Session } from "./ssh-client.ts";

/** Exit codes of a receiver that cannot delete by list: rsync 3.4.3 and its like, and very old ones. */
const CANNOT_DELETE_BY_LIST: ReadonlySet<number | null> = new Set([1, 2, 4]);

/** Faults of the guard alone: rsync may do without what it needs. */
const WITHOUT_GUARD: ReadonlySet<Reason> = new Set<Reason>(["SudoDenied", "ProtocolError", "RsyncMissing"]);

interface HostRunOptions {
  readonly lists: PreparedLists;
  readonly remote: Remote;
  readonly session: Session;
  /** What versions that are kept now are called by. */
  readonly stamp: string;
}

/**
 * One change on one host, pass by pass. An error that concerns the host as a whole ends it for all
 * apps. Any other error of a run that several apps share is answered with a run for each app, so
 * that only those at fault fail. Before the first byte the guard keeps what somebody else changed: within
 * the first send where that is possible, for another session costs time.
 */
export class HostRun {
  readonly #lists: PreparedLists;
  readonly #remote: Remote;
  readonly #session: Session;
  readonly #stamp: string;
  /** What is still to be looked at before anything is laid on the host. */
  #guard: Guard | undefined;
  readonly #replaced = new Map<AppKey, FoundReplaced[]>();
  readonly #errors = new Map<AppKey, FssyncError>();
  /** Files of runs that failed on the host. */
  readonly #undelivered = new Set<string>();
  /** Whether a run has come to its end: from then on the host may have some of the change. */
  #begun = false;
  #unguarded = false;

  constructor({ lists, remote, session, stamp }: HostRunOptions) {
    this.#lists = lists;
    this.#remote = remote;
    this.#stamp = stamp;
    this.#guard = lists.guard;
    const noted = async (running: Promise<ProcessResult>): Promise<ProcessResult> => {
      const result = await running;
      if (!isUntouched(runError(result))) this.#begun = true;
      return result;
    };
    this.#session = {
      waits: session.waits,
      command: (command, options) => noted(session.command(command, options)),
      rsync: (run) => noted(session.rsync(run)),
    };
  }

  /** What somebody else had changed, as far as it is known; also when `all` has thrown. */
  get replaced(): ReadonlyMap<AppKey, readonly FoundReplaced[]> {
    return this.#replaced;
  }

  /** The guard was asked for and this host could not run it. */
  get unguarded(): boolean {
    return this.#unguarded;
  }

  /** Throws what concerns the host as a whole. */
  async all(): Promise<Outcome> {
    try {
      return await this.#passes();
    } catch (error) {
      // The connection broke between two passes and was refused then: that is not a host that was never reached.
      if (!this.#begun || !(error instanceof FssyncError) || !isUntouched(error)) throw error;
      throw new FssyncError("ConnectionLost", error.message, { cause: error });
    }
  }

  async #passes(): Promise<Outcome> {
    const { clear, sends, deletes, emptyFolders } = this.#lists.passes;
    if (clear.size > 0 || sends.length === 0 || this.#guard?.printed === undefined) await this.#guardAlone();
    await this.#eachShared(clear, (apps) => this.#clear(apps.flatMap((app) => clear.get(app) ?? [])));
    for (const send of sends) await this.#eachShared(send.files, (apps) => this.#send(send, apps));
    await this.#guardAlone();
    await this.#eachShared(deletes, (apps) => this.#delete(apps));
    if (this.#undelivered.size > 0) await this.#removeParts();
    if (emptyFolders.length > 0 && this.#errors.size < this.#lists.change.apps.length) await this.#removeFolders();
    return new Map(this.#lists.change.apps.map(({ app }) => [app, this.#errors.get(app) ?? null]));
  }

  /** Runs once for all apps with a share in the work that have not failed yet; when that fails, for each. */
  async #eachShared(
    work: ReadonlyMap<AppKey, unknown>,
    attempt: (apps: readonly AppKey[]) => Promise<FssyncError | null>,
  ): Promise<void> {
    const apps = [...work.keys()].filter((app) => !this.#errors.has(app));
    if (apps.length === 0) return;
    const error = await attempt(apps);
    if (!error) return;
    if (isHostWide(error)) throw error;
    // One app is at fault itself; an account that is missing is missing for all.
    if (apps.length === 1 || error.reason === "InvalidOwner") return this.#fail(apps, error);
    for (const app of apps) {
      if (this.#errors.has(app)) continue;
      const own = await attempt([app]);
      if (own && isHostWide(own)) throw own;
      if (own) this.#fail([app], own);
    }
  }

  #fail(apps: readonly AppKey[], error: FssyncError): void {
    for (const app of apps) this.#errors.set(app, error);
  }

  async #send(send: Send, apps: readonly AppKey[]): Promise<FssyncError | null> {
    const list = await this.#lists.sendList(send, apps);
    const guard = this.#guard;
    const ridden = guard && riddenGuard(this.#remote, guard, this.#stamp);
    const run = this.#session.rsync(sendRun(this.#remote, list, send.ownership, ridden));
    const result = await this.#heeded(guard, ({ stderr }) => stderr, run);
    const report = guard && this.#heed(guard, result.stderr);
    if (report && report.unkept.size > 0) {
      // Nothing was sent: the host has waited for those that can be.
      const left = apps.filter((app) => !this.#errors.has(app));
      return left.length === 0 ? null : this.#send(send, left);
    }
    const error = runError(report ? { ...result, stderr: report.rest } : result);
    for (const app of apps) {
      for (const { path } of send.files.get(app) ?? []) {
        if (error) this.#undelivered.add(path);
        else this.#undelivered.delete(path);
      }
    }
    return error;
  }

  /** In a session of its own, unless it has run already. */
  async #guardAlone(): Promise<void> {
    const guard = this.#guard;
    if (!guard) return;
    const command = `exec ${guardCommand(this.#remote, guard, this.#stamp)}`;
    const options = { input: guard.input, rawStdout: guardAnswerLimit(guard) };
    const said = ({ stdout }: ProcessResult) => escapeControls(Buffer.from(stdout, "latin1").toString("utf8"));
    const result = await this.#heeded(guard, said, this.#session.command(command, options));
    this.#heed(guard, said(result));
    const error = runError(result);
    if (error && isHostWide(error) && !WITHOUT_GUARD.has(error.reason)) throw error;
  }

  /** What the guard said counts also when the run is ended then: it may have been laid over already. */
  async #heeded(
    guard: Guard | undefined,
    said: (result: ProcessResult) => string,
    running: Promise<ProcessResult>,
  ): Promise<ProcessResult> {
    try {
      return await running;
    } catch (error) {
      if (guard && error instanceof Unfinished) this.#heed(guard, said(error.result));
      throw error;
    }
  }

  /** A guard that did not come to its end because of an account that is missing rides once more; any other host has none. */
  #heed(guard: Guard, text: string): GuardReport {
    const report = parseGuardReport(text, guard, this.#remote.host.root);
    const { done, replaced, unkept } = report;
    for (const [app, found] of replaced) this.#replaced.set(app, [...(this.#replaced.get(app) ?? []), found]);
    for (const [app, error] of unkept) this.#fail([app], error);
    if (done || !isAccountFault(report.rest)) this.#guard = undefined;
    this.#unguarded = !done && this.#guard === undefined;
    return report;
  }

  async #delete(apps: readonly AppKey[]): Promise<FssyncError | null> {
    const paths = apps.flatMap((app) => this.#lists.passes.deletes.get(app) ?? []);
    const list = await this.#lists.deleteList(apps);
    const result = await this.#session.rsync(deleteRun(this.#remote, list, paths.length));
    return CANNOT_DELETE_BY_LIST.has(result.exitCode) ? this.#remove(paths, []) : runError(result);
  }

  #clear(clearings: readonly Clearing[]): Promise<FssyncError | null> {
    return this.#remove(
      clearings.flatMap(({ files }) => files),
      clearings.flatMap(({ folders }) => folders),
    );
  }

  /** What --delay-updates keeps of files that it could not put in place. The host may be full: no error of it counts. */
  async #removeParts(): Promise<void> {
    const parts = [...this.#undelivered].map(partPath);
    await this.#remove(parts, [...new Set(parts.map((part) => part.slice(0, part.lastIndexOf("/"))))]);
  }

  /** A folder that is not empty stays, and is nobody's fault; a lost connection is not overlooked. */
  async #removeFolders(): Promise<void> {
    const error = await this.#remove([], this.#lists.passes.emptyFolders);
    if (error && isHostWide(error) && error.reason !== "SudoDenied") throw error;
  }

  async #remove(files: readonly string[], folders: readonly string[]): Promise<FssyncError | null> {
    const command = removalCommand(this.#remote.host.root, this.#remote.sudo);
    const result = await this.#session.command(command, { input: removalInput(files, folders) });
    const error = runError(result);
    if (error || result.stdout.includes(REMOVAL_DONE)) return error;
    return new FssyncError("ProtocolError", "the host did not run the command that removes files");
  }
}

function isUntouched(error: FssyncError | null): boolean {
  return error !== null && leftHostUntouched(error.reason);
}

/** Where rsync's --delay-updates keeps a file until all have arrived. */
function partPath(path: string): string {
  const at = path.lastIndexOf("/") + 1;
  return `${path.slice(0, at)}.~tmp~/${path.slice(at)}`;
}
