import type { Logger } from "pino";
import type { AppKey } from "../model/app.ts";
import { asFssyncError, REASONS, type Reason } from "../model/errors.ts";
import type { HostKey } from "../model/host.ts";
import type { Problem } from "../model/record.ts";
import { hasWork, laggingHosts } from "../plan/lagging.ts";
import { needsReconcile } from "../plan/state.ts";
import type { PruneOptions } from "../plan/host-plan.ts";
import type { Clock } from "../ports/clock.ts";
import type { GitSource } from "../ports/git-source.ts";
import type { Inventory, InventoryAnswer } from "../ports/inventory.ts";
import type { StatusStore } from "../ports/status-store.ts";
import type { RepoTelemetry } from "../ports/telemetry.ts";
import type { Transport } from "../ports/transport.ts";
import { Backoff } from "../queue/rate-limiter.ts";
import { RateLimitingQueue } from "../queue/rate-limiting-queue.ts";
import { Collector } from "./collector.ts";
import { Fleet } from "./fleet.ts";
import { Groups } from "./groups.ts";
import { HostReconciler, type AppOutcome } from "./host-reconciler.ts";
import { observeFleet } from "./observation.ts";
import { planFleet, type PlannedHost } from "./plan-fleet.ts";
import { PollLoop } from "./poll-loop.ts";
import { Problems } from "./problems.ts";
import { Report } from "./report.ts";
import { StatusSaver } from "./status-saver.ts";
import { Requests, type Operation, type AppWish, type Selection, type Wish } from "./requests.ts";

export interface RepoControllerOptions {
  readonly repo: string;
  readonly gitInterval: number;
  readonly inventoryInterval: number;
  readonly concurrency: number;
  /** Wall clock for one host, milliseconds. */
  readonly hostTimeout: number;
  readonly prune: PruneOptions;
  readonly suspend: boolean;
  /** Whether failed hosts are tried again; a single pass does not. */
  readonly retry: boolean;
  readonly source: GitSource;
  readonly inventory: Inventory;
  readonly transport: Transport;
  readonly store: StatusStore;
  readonly telemetry: RepoTelemetry;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Backoff of failed hosts and the longest pause of a failing poll (design: 1 s to 5 min). */
const BACKOFF = { base: 1000, max: 300_000 };

/** A full look at the fleet that changes nothing when nothing was missed. */
const SWEEP_INTERVAL = 600_000;

/** Share of the workers that hosts which were not reachable the last time may take. */
const SLOW_SHARE = 0.5;

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
  readonly #queue: RateLimitingQueue<HostKey>;
  readonly #groups: Groups;
  readonly #requests = new Requests();
  readonly #problems: Problems;
  readonly #report: Report;
  readonly #gitLoop: PollLoop;
  readonly #inventoryLoop: PollLoop;
  /** Ends the syncs under way. */
  readonly #kill = new AbortController();
  #fleet!: Fleet;
  #reconciler!: HostReconciler;
  #saver!: StatusSaver;
  #collector!: Collector;
  #running: Promise<unknown>[] = [];
  #commit: string | null = null;
  /** Works on what somebody asks for only: what Git and the inventory say puts no host into the queue. */
  #onRequestOnly = false;

  constructor(options: RepoControllerOptions) {
    this.#options = options;
    const { clock, telemetry, source, transport, prune, concurrency } = options;
    this.#problems = new Problems(() => clock.now());
    this.#report = new Report(options);
    this.#groups = new Groups({ source, transport, prune });
    this.#queue = new RateLimitingQueue<HostKey>({
      clock,
      metrics: telemetry.queue,
      backoff: new Backoff({ clock, ...BACKOFF }),
      isSlow: (key) => this.#wasUnreachable(key),
      slowLimit: Math.max(1, Math.floor(concurrency * SLOW_SHARE)),
    });
    this.#gitLoop = this.#pollLoop(options.gitInterval, (signal) => this.#refreshGit(signal));
    this.#inventoryLoop = this.#pollLoop(options.inventoryInterval, (signal) => this.#refreshInventory(signal));
  }

  get repo(): string {
    return this.#options.repo;
  }

  get fleet(): Fleet {
    return this.#fleet;
  }

  get suspended(): boolean {
    return this.#options.suspend;
  }

  get problems(): readonly Problem[] {
    return this.#problems.all;
  }

  /** Reads what earlier runs left: status, the mirror's newest commit, the last good inventory. Asks nobody. */
  async load(): Promise<void> {
    const { store, repo, clock, telemetry, suspend, source, inventory } = this.#options;
    this.#fleet = new Fleet(await store.load(repo), clock);
    const fleet = this.#fleet;
    const { log, hostTimeout: timeout } = this.#options;
    this.#saver = new StatusSaver({ repo, fleet, problems: this.#problems, store, log });
    const [groups, collector] = [this.#groups, new Collector({ source, fleet, groups: this.#groups })];
    this.#collector = collector;
    this.#reconciler = new HostReconciler({ ...this.#options, fleet, groups, collector, timeout });
    telemetry.observe(observeFleet(fleet, suspend));
    const commit = await source.head();
    if (commit === null || !(await this.#attempt("git", () => this.#takeCommit(commit)))) return;
    const answer = await inventory.lastGood([...fleet.desired.values()]);
    if (answer) await this.#takeAnswer(answer);
  }

  /** Starts workers and, unless suspended, the loops that poll; returns at once. */
  start(signal: AbortSignal): void {
    this.#startWorkers();
    if (this.#options.suspend) return;
    this.#running.push(this.#gitLoop.run(signal), this.#pollInventory(signal), this.#sweep(signal));
  }

  /** For one pass, before `load`: starts workers that touch what is asked for and nothing else. */
  serveRequests(): void {
    this.#onRequestOnly = true;
    this.#startWorkers();
  }

  #startWorkers(): void {
    for (let count = 0; count < this.#options.concurrency; count += 1) this.#running.push(this.#work());
  }

  #refreshGit(signal: AbortSignal): Promise<boolean> {
    return this.#attempt("git", async () => {
      const { source, telemetry, clock } = this.#options;
      try {
        const commit = await source.poll(signal);
        if (commit !== this.#commit) await this.#takeCommit(commit);
        telemetry.fetched("success", clock.now());
      } catch (error) {
        if (!signal.aborted) telemetry.fetched("failure", clock.now());
        throw error;
      }
      await this.#collector.collect();
    });
  }

  #refreshInventory(signal: AbortSignal): Promise<boolean> {
    return this.#attempt("inventory", async () => {
      const { inventory, telemetry, clock } = this.#options;
      const apps = [...this.#fleet.desired.values()];
      if (apps.length === 0) return;
      const answer = await inventory.refresh(apps, signal);
      if (signal.aborted) return;
      await this.#takeAnswer(answer);
      const failed = answer.problems.some(({ reason }) => reason !== "InvalidHost");
      telemetry.inventoryRefreshed(failed ? "failure" : "success", clock.now());
      return answer.problems;
    });
  }

  /** Asks Git and then the inventory, once, and takes the news in; what goes wrong is among `problems`. */
  async refresh(signal: AbortSignal): Promise<void> {
    await this.#gitLoop.poll(signal);
    await this.#inventoryLoop.poll(signal);
  }

  /**
   * Asks for the selected hosts to be looked at now, out of turn: those that lag, or all of them in
   * full. The operation ends when each was attempted once.
   */
  request(selection: Selection, wish: Wish): Operation {
    const wishes = new Map<HostKey, Map<AppKey, AppWish>>();
    if (this.#options.suspend) return this.#requests.open(wishes);
    for (const host of this.#fleet.hosts.values()) {
      if (selection.hosts && !selection.hosts.has(host.key)) continue;
      const apps = host.apps.filter((app) => this.#isMeant(app, host.key, selection, wish));
      if (apps.length > 0) wishes.set(host.key, new Map(apps.map((app) => [app, this.#wishFor(app, wish)])));
    }
    const operation = this.#requests.open(wishes);
    for (const key of wishes.keys()) this.#queue.add(key);
    return operation;
  }

  /** What a sync would do now; touches no host. */
  plan(selection: Selection): Promise<PlannedHost[]> {
    return planFleet(this.#fleet, this.#options.source, this.#options.prune, selection);
  }

  /** Takes no more work; resolves when the syncs under way are done, or ended because `kill` was called. */
  async drain(): Promise<void> {
    await this.#queue.shutDown();
    await Promise.all(this.#running);
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

  #pollLoop(interval: number, poll: (signal: AbortSignal) => Promise<boolean>): PollLoop {
    return new PollLoop({ clock: this.#options.clock, interval, maxInterval: BACKOFF.max, poll });
  }

  /** Runs one poll; turns what it throws into the repo's problems. */
  async #attempt(
    about: "git" | "inventory",
    poll: () => Promise<void | readonly { reason: Reason; message: string }[]>,
  ): Promise<boolean> {
    let found: readonly { reason: Reason; message: string }[];
    try {
      const result = await poll();
      found = Array.isArray(result) ? result : [];
    } catch (thrown) {
      const error = asFssyncError(thrown);
      if (error.reason === "Interrupted") return false;
      if (error.reason === "Internal") this.#options.log.error({ err: thrown }, "poll failed");
      found = [error];
    }
    const { fresh, changed } = this.#problems.set(about, found);
    this.#report.problems(about, fresh, changed && found.length === 0);
    await this.#saver.save({ repo: changed });
    return found.every(({ reason }) => reason === "InvalidHost");
  }

  async #takeCommit(commit: string): Promise<void> {
    const discovery = await this.#options.source.discover(commit);
    const before = this.#fleet.revision;
    const { changed, toStore } = this.#fleet.setDesired(discovery);
    this.#commit = commit;
    this.#collector.mark();
    if (before !== discovery.revision) this.#report.newRevision(discovery, changed.size);
    await this.#saver.save({ repo: true, apps: toStore.keys() });
    // Each host once: one that is added again after a worker took it would be worked on twice.
    for (const key of new Set([...changed].flatMap((app) => [...this.#fleet.hostsOf(app)])))
      this.#enqueueForCommit(key);
    if ([...changed].some((app) => this.#lacksHosts(app))) this.#inventoryLoop.trigger();
  }

  async #takeAnswer({ hosts }: InventoryAnswer): Promise<void> {
    const { added, removed, touched, toStore } = this.#fleet.setHosts(hosts);
    if (touched.size === 0) return;
    this.#collector.mark();
    this.#report.hosts(added, removed);
    await this.#saver.save({ apps: this.#fleet.dropRetired().keys(), hosts: toStore.keys() });
    for (const key of touched) this.#enqueue(key);
  }

  /** Whether the inventory has not named any host of the app; what only the store names does not count. */
  #lacksHosts(app: AppKey): boolean {
    const { desired, hosts } = this.#fleet;
    return (
      desired.has(app) &&
      !this.#fleet
        .hostsOf(app)
        .values()
        .some((key) => hosts.get(key)?.records.has(app))
    );
  }

  /** A host that was down keeps waiting for its turn; one that failed is tried with the new commit at once. */
  #enqueueForCommit(key: HostKey): void {
    if (this.#queue.isWaiting(key) && this.#wasUnreachable(key)) return;
    this.#enqueue(key);
  }

  #enqueue(key: HostKey): void {
    const host = this.#fleet.hosts.get(key);
    if (this.#onRequestOnly) return;
    if (host && !this.#options.suspend && hasWork(host, this.#fleet.desired)) this.#queue.add(key);
  }

  #enqueueLagging(): void {
    for (const key of laggingHosts(this.#fleet.hosts.values(), this.#fleet.desired)) {
      if (!this.#queue.isWaiting(key)) this.#queue.add(key);
    }
  }

  #wishFor(app: AppKey, { full, allowPrune }: Wish): AppWish {
    return { full, allowPrune: allowPrune ? this.#fleet.desired.get(app)!.digest : null };
  }

  #isMeant(app: AppKey, key: HostKey, { apps }: Selection, { full }: Wish): boolean {
    const desired = this.#fleet.desired.get(app);
    if (!desired || (apps && !apps.has(app))) return false;
    return full || needsReconcile(this.#fleet.hosts.get(key)?.records.get(app), desired);
  }

  #wasUnreachable(key: HostKey): boolean {
    const records = this.#fleet.hosts.get(key)?.records.values() ?? [];
    return [...records].some(({ failure }) => failure?.state === "Unreachable" || failure?.reason === "SyncTimeout");
  }

  async #work(): Promise<void> {
    for (let key = await this.#queue.get(); key !== undefined; key = await this.#queue.get()) {
      await this.#reconcile(key);
      this.#queue.done(key);
    }
  }

  async #reconcile(key: HostKey): Promise<void> {
    const { clock } = this.#options;
    const request = this.#requests.take(key);
    const started = clock.monotonic();
    let again: boolean;
    let failed: ReadonlySet<AppKey> | undefined;
    try {
      const outcomes = await this.#reconciler.reconcile(key, request.wishes, {
        onlyWishes: this.#onRequestOnly,
        signal: this.#kill.signal,
      });
      this.#report.outcomes(key, outcomes, (clock.monotonic() - started) / 1000);
      again = outcomes.some(mayHelpToRetry);
      if (outcomes.some(({ error }) => error === null)) this.#collector.mark();
      failed = new Set(outcomes.filter(({ error }) => error).map(({ desired }) => desired.key));
    } catch (err) {
      this.#report.notRecorded(key, err);
      again = true;
    }
    if (again && this.#options.retry) {
      request.keep(failed);
      this.#queue.addRateLimited(key);
    } else {
      this.#queue.forget(key);
    }
    request.attempted();
  }

  async #pollInventory(signal: AbortSignal): Promise<void> {
    using _ = this.#options.inventory.watch?.(() => this.#inventoryLoop.trigger());
    await this.#inventoryLoop.run(signal);
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const poll = () => {
      this.#enqueueLagging();
      return Promise.resolve(true);
    };
    await this.#pollLoop(SWEEP_INTERVAL, poll).run(signal);
  }
}

function mayHelpToRetry({ error }: AppOutcome): boolean {
  return error !== null && REASONS[error.reason].retry;
}
