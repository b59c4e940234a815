import type { Logger } from "pino";
import type { AppKey } from "../model/app.ts";
import { FssyncError } from "../model/errors.ts";
import type { HostKey } from "../model/host.ts";
import type { Problem } from "../model/record.ts";
import type { PruneOptions } from "../plan/host-plan.ts";
import type { Clock } from "../ports/clock.ts";
import type { GitEditor } from "../ports/git-editor.ts";
import type { GitSource } from "../ports/git-source.ts";
import type { Events, EventSubject } from "../ports/events.ts";
import type { Inventory } from "../ports/inventory.ts";
import type { RepoStatus, StatusStore } from "../ports/status-store.ts";
import type { RepoTelemetry } from "../ports/telemetry.ts";
import type { Transport } from "../ports/transport.ts";
import { Arrivals } from "./arrivals.ts";
import { Collector } from "./collector.ts";
import type { DriftOptions } from "./drift-options.ts";
import { Fleet } from "./fleet.ts";
import { FleetReport } from "./fleet-report.ts";
import { Groups } from "./groups.ts";
import { BACKOFF, HostQueue } from "./host-queue.ts";
import { HostReconciler } from "./host-reconciler.ts";
import { HostWorker } from "./host-worker.ts";
import { observeFleet } from "./observation.ts";
import { planFleet, type PlannedHost } from "./plan-fleet.ts";
import { PollLoop } from "./poll-loop.ts";
import { Polls } from "./polls.ts";
import { Problems, type Finding } from "./problems.ts";
import { Records } from "./records.ts";
import { Report } from "./report.ts";
import { Requests, type RequestedSync, type Selection, type Wish } from "./requests.ts";
import { SharedRefresh } from "./shared-refresh.ts";
import { StatusSaver } from "./status-saver.ts";
import { Suspension, type AskedOf, type Suspended } from "./suspension.ts";
import { Verification, type VerifyOperation } from "./verification/verification.ts";
import { Webhooks, type Hook } from "./webhooks.ts";
import { wishesFor } from "./wishes.ts";

export interface RepoControllerOptions {
  readonly repo: string;
  readonly gitInterval: number;
  readonly inventoryInterval: number;
  readonly concurrency: number;
  /** Wall clock for one host, milliseconds. */
  readonly hostTimeout: number;
  readonly prune: PruneOptions;
  readonly drift: DriftOptions;
  /** Whether rsync runs as root on hosts whatever the login is. */
  readonly sudo: boolean;
  /** Whether it begins suspended; see `suspend`. */
  readonly suspend: boolean;
  /** Where people had stopped work before; with `suspend` the repo is suspended whatever it says. */
  readonly suspended?: Suspended;
  /** Whether failed hosts are tried again; a single pass does not. */
  readonly retry: boolean;
  /** See `PollsOptions`; true unless given. */
  readonly alone?: boolean;
  readonly source: GitSource;
  /** Commits to the branch; absent where nobody may. */
  readonly editor?: GitEditor;
  /** The branch that hosts follow, and who may say that it moved. */
  readonly hook?: Hook;
  readonly inventory: Inventory;
  readonly transport: Transport;
  readonly store: StatusStore;
  readonly telemetry: RepoTelemetry;
  readonly events?: Events;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A full look at the fleet that changes nothing when nothing was missed. */
const SWEEP_INTERVAL = 600_000;

/**
 * THE LOOP for one repo. Git, inventory, retries and people only say "look": they put host keys into
 * the queue. Workers take keys and reconcile the host with what is true at that moment.
 *
 *     git loop ──► desired ─┐
 *                           ├─► hosts that lag ─► queue ─► workers ─► HostReconciler ─► store
 *     inventory loop ► hosts┘                       ▲                     │
 *                                                   └──── backoff ◄───────┘
 */
export class RepoController implements AsyncDisposable {
  readonly #options: RepoControllerOptions;
  readonly #queue: HostQueue;
  readonly #groups: Groups;
  readonly #requests = new Requests();
  readonly #problems: Problems;
  readonly #report: Report;
  readonly #polls: Polls;
  readonly #suspension: Suspension;
  readonly #readings = new SharedRefresh((signal) => this.#polls.refreshGit(signal));
  /** Those who may say that the branch moved; undefined where there is none to ask. */
  readonly webhooks: Webhooks | undefined;
  /** Ends the syncs under way. */
  readonly #kill = new AbortController();
  /** Ends the loops that poll. */
  readonly #closing = new AbortController();
  #fleet!: Fleet;
  #worker!: HostWorker;
  #saver!: StatusSaver;
  #verification!: Verification;
  #reports: FleetReport | null = null;
  #running: Promise<unknown>[] = [];
  /** Works on what somebody asks for only: what Git and the inventory say puts no host into the queue. */
  #onRequestOnly = false;

  constructor(options: RepoControllerOptions) {
    this.#options = options;
    const { clock, telemetry, source, transport, prune, concurrency, drift } = options;
    this.#problems = new Problems(() => clock.now());
    this.#report = new Report(options);
    this.#groups = new Groups({ source, transport, prune, drift, log: options.log });
    const suspension = (this.#suspension = new Suspension(options.suspend, options.suspended));
    this.#queue = new HostQueue({ clock, concurrency, suspension, fleet: () => this.#fleet, metrics: telemetry.queue });
    this.#polls = new Polls({
      ...options,
      maxInterval: BACKOFF.max,
      problems: this.#problems,
      report: this.#report,
      paused: () => this.#suspension.now.repo,
      onApps: (apps) => {
        if (!this.#onRequestOnly) this.#queue.addForCommit(apps);
      },
      onHosts: (hosts) => this.#takeHosts(hosts),
    });
    this.webhooks = options.hook && new Webhooks({ ...options, ...options.hook, look: () => this.#polls.hurryGit() });
  }

  get repo(): string {
    return this.#options.repo;
  }

  get fleet(): Fleet {
    return this.#fleet;
  }

  get source(): GitSource {
    return this.#options.source;
  }

  get editor(): GitEditor | undefined {
    return this.#options.editor;
  }

  /** Asks Git now, or as soon as the poll under way is over; many calls are one poll. */
  lookAtGit(): void {
    this.#polls.triggerGit();
  }

  get suspension(): Suspension {
    return this.#suspension;
  }

  /** Whether Git and the inventory have said anything yet, in this run or in one before. */
  get known(): boolean {
    return this.#polls.known;
  }

  /** Whether it is known on which hosts the app is; true of an app that Git does not hold, once Git has spoken. */
  knows(app: AppKey): boolean {
    return this.#polls.knows(app);
  }

  readonly problemsOf = (about: "git" | "inventory"): readonly Problem[] => this.#problems.of(about);

  /** Why the inventory did not say, when it was asked last, on which hosts these apps are; all apps when absent. */
  inventoryFailures(apps?: ReadonlySet<AppKey>): readonly Finding[] {
    return this.#problems.concerning("inventory", apps).filter(({ reason }) => reason !== "InvalidHost");
  }

  /** Everything known, as the store shall have it. */
  get status(): RepoStatus {
    return this.#fleet.status(this.#problems.all);
  }

  /** The same for people, app by app and host by host; made when the first one asks. */
  get reports(): FleetReport {
    const { repo, clock } = this.#options;
    const parts = { repo, fleet: this.#fleet, suspension: this.#suspension, clock };
    return (this.#reports ??= new FleetReport(parts));
  }

  /** When Git answered last, in milliseconds since the epoch; null when it did not in this run. */
  get fetchedAt(): number | null {
    return this.#polls.fetchedAt;
  }

  get problems(): readonly Problem[] {
    return this.#problems.all;
  }

  /** Reads what earlier runs left: status, the mirror's newest commit, the last good inventory. Asks nobody. */
  async load(): Promise<void> {
    const { store, repo, clock, telemetry, source, transport, log, hostTimeout: timeout } = this.#options;
    const fleet = (this.#fleet = new Fleet(await store.load(repo), clock));
    const [groups, suspension] = [this.#groups, this.#suspension];
    this.#saver = new StatusSaver({ repo, fleet, problems: this.#problems, store, log });
    const collector = new Collector({ source, fleet, groups });
    const records = new Records({ repo, fleet, store });
    const parts = { ...this.#options, fleet, records, collector, suspension, timeout };
    const reconciler = new HostReconciler({ ...parts, groups });
    const verification = (this.#verification = new Verification({
      ...parts,
      drift: this.#options.drift,
      report: this.#report,
      enqueue: (key) => this.#queue.add(key),
      paused: () => suspension.now.repo,
    }));
    this.#worker = new HostWorker({
      ...parts,
      reconciler,
      verification,
      queue: this.#queue,
      requests: this.#requests,
      report: this.#report,
      onlyWishes: () => this.#onRequestOnly,
      signal: this.#kill.signal,
    });
    const problems = () => this.#problems.all;
    const connections = () => transport.connections;
    telemetry.observe(observeFleet({ repo, fleet, suspension, connections, problems, now: () => clock.now() }));
    if (this.#onRequestOnly) this.#startWorkers();
    await this.#polls.load({ fleet, saver: this.#saver, collector });
  }

  /** Starts workers and the loops that poll; returns at once. */
  start(signal: AbortSignal): void {
    this.#startWorkers();
    // So that the log says it now when they cannot be read, and the first webhook finds them.
    void this.webhooks?.secrets();
    const until = AbortSignal.any([signal, this.#closing.signal]);
    this.#running.push(this.#polls.run(until), this.#verification.run(until), this.#sweep(until));
    const { events, clock, alone = true } = this.#options;
    if (events && alone) this.#running.push(new Arrivals({ fleet: this.#fleet, events, clock }).run(until));
  }

  /** Says where people have stopped work. What is under way goes on to its end; what may go on again does so at once. */
  suspend(next: Suspended): void {
    const before = this.#suspension.now;
    const moved = this.#suspension.set(next, this.#fleet);
    // Also where nothing is known yet: what there is shall be asked now.
    if (before.repo && !next.repo) this.#polls.trigger();
    if (moved.size === 0) return;
    this.#fleet.touch(moved);
    this.#queue.sweep();
  }

  /** Stores again what somebody else removed from the store. */
  storeAgain(lost: { readonly apps?: Iterable<AppKey>; readonly hosts?: Iterable<HostKey> }): Promise<void> {
    return this.#saver.save(lost);
  }

  /** Looks at everything anew at once, hosts that failed included: something that they depend on was changed. */
  lookAgain(): void {
    if (!this.#suspension.now.repo) this.#polls.trigger();
    this.#queue.sweep({ all: true });
  }

  /** For one pass, before `load`: what is asked for is done from then on, and nothing else. */
  serveRequests(): void {
    this.#onRequestOnly = true;
  }

  #startWorkers(): void {
    for (let count = 0; count < this.#queue.workers; count += 1) this.#running.push(this.#worker.run());
  }

  /** Asks Git and then the inventory, once, and takes the news in; what goes wrong is among `problems`. */
  refresh(signal: AbortSignal): Promise<void> {
    return this.#polls.refresh(signal);
  }

  /**
   * Asks for the selected hosts to be looked at now, out of turn: those that lag, or all of them in
   * full. The operation ends when each was attempted once. What is suspended is left alone, but for
   * what `askedOf` lets through.
   */
  request(selection: Selection, wish: Wish, askedOf?: AskedOf): RequestedSync {
    const wishes = wishesFor(this.#fleet, this.#suspension, { selection, wish, askedOf });
    const operation = this.#requests.open(wishes);
    for (const key of wishes.keys()) this.#queue.add(key);
    return operation;
  }

  /** Tells that somebody has asked for a forced resync of all of it, or of one app or host. */
  resyncRequested(about: EventSubject, by: string): void {
    this.#report.resyncRequested(about, by, this.#fleet.revision);
  }

  /** Asks for a look at what the selected hosts have, out of turn. The operation ends when each was looked at once. */
  verify(selection: Selection, options: { readonly contents: boolean }): VerifyOperation {
    return this.#verification.request(selection, options);
  }

  /** What a sync would do now; touches no host. */
  plan(selection: Selection): Promise<PlannedHost[]> {
    return planFleet(this.#fleet, this.#options, selection);
  }

  /**
   * Asks Git once and takes in what it has, also while all is suspended: no host gets it then. Whoever comes while one
   * look runs shares the next.
   */
  readGit(signal: AbortSignal): Promise<void> {
    return this.#readings.join(signal);
  }

  /**
   * Takes no more work; resolves when the syncs under way are done, or ended because `kill` was called. Whoever waits for
   * what was not begun is told then.
   */
  async drain(): Promise<void> {
    this.#closing.abort();
    this.webhooks?.[Symbol.dispose]();
    await this.#queue.shutDown();
    await Promise.all(this.#running);
    const why = `repo ${this.repo} was changed or removed, or fssync was told to stop, before this was done: ask again`;
    const error = new FssyncError("Interrupted", why);
    this.#requests.close(error);
    // It may end before it was loaded.
    this.#verification?.close(error);
  }

  /** Ends the syncs under way. They are not recorded and run again after the restart. */
  kill(): void {
    this.#kill.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.drain();
    await this.#groups[Symbol.asyncDispose]();
  }

  #takeHosts(hosts: ReadonlySet<HostKey>): void {
    this.#verification.add(hosts);
    if (!this.#onRequestOnly) this.#queue.addLagging(hosts);
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const poll = () => {
      this.#queue.sweep();
      return Promise.resolve(true);
    };
    const { clock } = this.#options;
    await new PollLoop({ clock, interval: SWEEP_INTERVAL, maxInterval: SWEEP_INTERVAL, poll }).run(signal);
  }
}
