import { setImmediate as nextTurn } from "node:timers/promises";
import { FssyncError } from "../model/errors.ts";
import type { HostKey } from "../model/host.ts";
import type { Problem } from "../model/record.ts";
import { reportHostPlan, type PlanReport } from "../plan/plan-report.ts";
import {
  reportProblem,
  reportRepo,
  type RepoReport,
  type ReportOptions,
  type StatusReport,
} from "../plan/status-report.ts";
import { reportContents, reportVerified, type ContentReports } from "../plan/verify-report.ts";
import { orAborted } from "../ports/abort.ts";
import { sleep, type Clock } from "../ports/clock.ts";
import type { RepoController } from "./repo-controller.ts";
import type { Operation, RequestedSync, Selection, Wish } from "./requests.ts";
import { heldBack, type LeftAlone } from "./left-alone.ts";
import { inScope, requireNamed, select, type Named } from "./selection.ts";
import { SharedRefresh } from "./shared-refresh.ts";

export interface SyncRequest extends Named, Wish {
  /** Fails with the inventory's problem, and touches no host, when the inventory did not answer now for what is named. */
  readonly needsInventory?: boolean;
}

/** Progress of a sync: first how many hosts and what is left alone, then each host as it is done. */
export type SyncProgress =
  | { readonly kind: "start"; readonly hosts: number; readonly leftAlone: readonly LeftAlone[] }
  | { readonly kind: "host"; readonly repo: string; readonly host: HostKey; readonly left: number };

/** What a sync is on one repo, once Git and the inventory were asked. */
export interface SyncPart {
  readonly repo: RepoController;
  readonly selection: Selection;
  readonly operation: RequestedSync;
}

export interface VerifyRequest extends Named {
  /** Whether the contents of changed text files are wanted, where they may be shown. */
  readonly contents: boolean;
}

export interface SyncResult {
  /** How many hosts were looked at. */
  readonly attempted: number;
  /** They, as they are now. A host on which nothing of fssync is left is not among them. */
  readonly report: StatusReport;
  /** What was wrong with Git or inventories. */
  readonly problems: readonly (Problem & { readonly repo: string })[];
}

export interface PassResult extends SyncResult {
  /** What people have suspended of it; hosts that lag and wait for that are in the report too, but for those of a whole repo. */
  readonly leftAlone: readonly LeftAlone[];
}

export interface VerifyResult extends SyncResult {
  /** What Git and hosts have of files of the report, by the keys that they name; what is missing was too much to be shown. */
  readonly contents: ContentReports;
}

/** What people and other processes ask of a controller. */
export interface Desk {
  /** Looks at Git and inventories, brings the named hosts forward once, and tells what came of it. */
  sync(request: SyncRequest, progress: (event: SyncProgress) => void, signal: AbortSignal): Promise<PassResult>;
  /** Looks at Git and inventories, then compares what the named hosts have with what they should have; changes nothing there. */
  verify(request: VerifyRequest, progress: (event: SyncProgress) => void, signal: AbortSignal): Promise<VerifyResult>;
  plan(named: Named, signal: AbortSignal): Promise<PlanReport>;
}

/** All repos of one process. They may come and go while it runs. */
export class Controller implements Desk, AsyncDisposable {
  readonly #repos: Set<RepoController>;
  /** Repos that are there, and are not worked on just now: nobody may take what is left for all there is. */
  readonly #awaited = new Set<string>();
  /** Nobody knows yet which repos there are. */
  #starting: boolean;
  readonly #clock: Clock;
  readonly #refreshes = new WeakMap<RepoController, SharedRefresh>();

  constructor(options: { repos: readonly RepoController[]; clock: Clock; starting?: boolean }) {
    this.#repos = new Set(options.repos);
    this.#starting = options.starting ?? false;
    this.#clock = options.clock;
  }

  /** Takes a repo in that its owner loads, starts and ends. */
  add(repo: RepoController): void {
    this.#awaited.delete(repo.repo);
    this.#repos.add(repo);
  }

  remove(repo: RepoController): void {
    this.#repos.delete(repo);
  }

  /** All repos that there are were added, or are awaited. */
  started(): void {
    this.#starting = false;
  }

  /** A repo is about to be added, or added again; until then who asks for it, or for all of them, is told so. */
  await(name: string): void {
    this.#awaited.add(name);
  }

  /** The repo does not come after all. */
  forgo(name: string): void {
    this.#awaited.delete(name);
  }

  /** Names of repos that are about to be added. */
  get awaited(): ReadonlySet<string> {
    return this.#awaited;
  }

  /** Those that are worked on now, by name; the awaited are not among them. */
  get running(): readonly RepoController[] {
    return [...this.#repos].sort((a, b) => (a.repo < b.repo ? -1 : 1));
  }

  /** All of them, by name. Throws RepoStarting while some are awaited, or nobody knows which there are. */
  get repos(): readonly RepoController[] {
    return this.#reposFor({});
  }

  /** Throws RepoStarting while it is awaited. */
  repo(name: string): RepoController | undefined {
    return this.#reposFor({ repo: name }).find(({ repo }) => repo === name);
  }

  /** All, of which those in the scope are sure to be there. */
  #reposFor({ repo: name }: NonNullable<Named["scope"]>): readonly RepoController[] {
    if (this.#starting) throw new FssyncError("RepoStarting", "fssync takes up its repos just now: ask again");
    const [missing] = name === undefined ? this.#awaited : this.#awaited.intersection(new Set([name]));
    if (missing === undefined) return this.running;
    throw new FssyncError("RepoStarting", `repo ${missing} is being started: ask again`);
  }

  async load(): Promise<void> {
    await Promise.all([...this.#repos].map((repo) => repo.load()));
  }

  /** The controller's life: polls and syncs until the signal aborts. */
  start(signal: AbortSignal): void {
    for (const repo of this.#repos) repo.start(signal);
  }

  /** For one pass, before `load`: touches what is asked for and nothing else, and polls nothing by itself. */
  serveRequests(): void {
    for (const repo of this.#repos) repo.serveRequests();
  }

  async sync(request: SyncRequest, progress: (event: SyncProgress) => void, signal: AbortSignal): Promise<PassResult> {
    await this.#refresh(signal, request);
    // With thousands of hosts taking the news in is a long turn, and so is asking for all of them.
    await nextTurn();
    const operations = this.#request(request);
    const asked = operations.filter(({ repo, selection }) => concerns(repo, selection));
    const leftAlone = asked.flatMap(({ repo, selection }) => heldBack(repo, selection, request).leftAlone);
    const attempted = await this.#all(operations, { progress, leftAlone, signal });
    const reports = operations.map(({ repo, selection, operation }) =>
      report(repo, { ...selection, hosts: operation.hosts.union(laggingAlone(repo, selection)) }),
    );
    return { attempted, report: { repos: reports }, leftAlone, problems: this.#problems(request) };
  }

  /** The same for whoever follows each host: `begun` is called before any was attempted. Resolves when all were. */
  async follow(request: SyncRequest, begun: (parts: readonly SyncPart[]) => void, signal: AbortSignal): Promise<void> {
    await this.#refresh(signal, request);
    if (signal.aborted) return;
    const parts = this.#request(request);
    begun(parts);
    await orAborted(Promise.all(parts.map(({ operation }) => operation.finished)), signal);
  }

  #request(request: SyncRequest): readonly SyncPart[] {
    const selected = select(this.#reposFor(request.scope ?? {}), request);
    if (request.needsInventory) selected.forEach(requireInventory);
    return selected.map(({ repo, selection }) => ({
      repo,
      selection,
      operation: repo.request(selection, request),
    }));
  }

  async verify(
    request: VerifyRequest,
    progress: (event: SyncProgress) => void,
    signal: AbortSignal,
  ): Promise<VerifyResult> {
    await this.#refresh(signal, request);
    const operations = select(this.repos, request).map(({ repo, selection }) => ({
      repo,
      selection,
      operation: repo.verify(selection, request),
    }));
    const attempted = await this.#all(operations, { progress, leftAlone: [], signal });
    const reports = operations.map(({ repo, selection, operation: { hosts, findings } }) =>
      reportVerified(report(repo, { ...selection, hosts }), findings),
    );
    const contents = reportContents(operations.flatMap(({ operation }) => [...operation.contents]));
    return { attempted, report: { repos: reports }, problems: this.#problems(request), contents };
  }

  /** Waits for the operations; returns how many hosts they are for. */
  async #all(
    operations: readonly { readonly repo: RepoController; readonly operation: Operation }[],
    options: { progress: (event: SyncProgress) => void; leftAlone: readonly LeftAlone[]; signal: AbortSignal },
  ): Promise<number> {
    const { progress, leftAlone, signal } = options;
    const attempted = operations.reduce((sum, { operation }) => sum + operation.hosts.size, 0);
    let left = attempted;
    progress({ kind: "start", hosts: left, leftAlone });
    for (const { repo, operation } of operations) {
      operation.onAttempted((host) => progress({ kind: "host", repo: repo.repo, host, left: --left }));
    }
    await orAborted(Promise.all(operations.map(({ operation }) => operation.finished)), signal);
    return attempted;
  }

  /**
   * Throws UnknownName for what neither this process nor, when they are asked now, Git and inventories know; so also
   * for a named host that has none of the named apps.
   */
  async require(named: Named, signal: AbortSignal): Promise<void> {
    const { scope = {} } = named;
    try {
      requireNamed(this.#reposFor(scope), named);
    } catch {
      inScope(this.#reposFor(scope), scope);
      await this.#refresh(signal, named);
      requireNamed(this.#reposFor(scope), named);
    }
  }

  async plan(named: Named, signal: AbortSignal): Promise<PlanReport> {
    await this.#refresh(signal, named);
    return await this.planKnown(named);
  }

  /** The same by what is known already: asks neither Git nor inventories. */
  async planKnown(named: Named): Promise<PlanReport> {
    const repos = select(this.#reposFor(named.scope ?? {}), named).map(async ({ repo, selection }) => ({
      name: repo.repo,
      revision: repo.fleet.revision,
      ...(repo.suspension.now.repo ? { suspended: true as const } : {}),
      ...(repo.problems.length > 0 ? { problems: repo.problems.map(reportProblem) } : {}),
      hosts: (await repo.plan(selection)).map(({ host, plan }) =>
        reportHostPlan(host.host, plan, (app) => repo.suspension.holdsPart(app, host.key)),
      ),
    }));
    return { repos: await Promise.all(repos) };
  }

  /** Lets the syncs under way finish; ends them after `deadline` milliseconds. Returns whether all finished. */
  async drain(deadline: number): Promise<boolean> {
    const ended = new AbortController();
    const drained = Promise.all([...this.#repos].map((repo) => repo.drain())).then(() => true);
    const late = sleep(this.#clock, deadline, ended.signal).then(() => false);
    const inTime = await Promise.race([drained, late]);
    ended.abort();
    if (!inTime) for (const repo of this.#repos) repo.kill();
    await drained;
    return inTime;
  }

  kill(): void {
    for (const repo of this.#repos) repo.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#repos].map((repo) => repo[Symbol.asyncDispose]()));
  }

  /** Throws Interrupted when a repo was started anew meanwhile: nobody has asked what there is for that one. */
  async #refresh(signal: AbortSignal, { scope = {} }: Named): Promise<void> {
    const repos = inScope(this.#reposFor(scope), scope);
    const active = repos.filter(({ suspension }) => !suspension.now.repo);
    await Promise.all(active.map((repo) => this.#refreshOf(repo).join(signal)));
    const gone = repos.find((repo) => !this.#repos.has(repo));
    if (gone) throw new FssyncError("Interrupted", `repo ${gone.repo} was changed or removed meanwhile: ask again`);
  }

  #refreshOf(repo: RepoController): SharedRefresh {
    let refresh = this.#refreshes.get(repo);
    if (!refresh) this.#refreshes.set(repo, (refresh = new SharedRefresh((signal) => repo.refresh(signal))));
    return refresh;
  }

  #problems({ scope = {} }: Named) {
    const repos = inScope(this.running, scope);
    return repos.flatMap((repo) => repo.problems.map((problem) => ({ ...problem, repo: repo.repo })));
  }
}

/** Throws the inventory's failure when it concerns what was named. */
function requireInventory({ repo, selection }: { repo: RepoController; selection: Selection }): void {
  // Of a repo that is suspended nobody was asked.
  if (repo.suspension.now.repo) return;
  const [failed] = concerns(repo, selection) ? repo.inventoryFailures(selection.apps) : [];
  if (failed) throw new FssyncError(failed.reason, failed.message);
}

function report({ repo, status, suspension }: RepoController, options: ReportOptions): RepoReport {
  const suspended: ReportOptions["suspended"] = (app, host) => suspension.holds(app, host);
  const suspendedMessage: ReportOptions["suspendedMessage"] = (app, host) => suspension.message(app, host);
  return reportRepo(repo, status, { ...options, suspended, suspendedMessage, repoSuspended: suspension.now.repo });
}

/** Hosts that lag in a repo that is not suspended itself, and wait for people. */
function laggingAlone(repo: RepoController, selection: Selection): ReadonlySet<HostKey> {
  if (repo.suspension.now.repo) return new Set();
  return new Set(heldBack(repo, selection, { full: false, allowPrune: false }).hosts.keys());
}

/** Whether anything of the repo was named. */
export function concerns({ fleet }: RepoController, { apps, hosts }: Selection): boolean {
  const app = apps === undefined || [...apps].some((key) => fleet.desired.has(key));
  return app && (hosts === undefined || hosts.size > 0);
}
