import type { Logger } from "pino";
import type { AppKey } from "../model/app.ts";
import { asFssyncError, type Reason } from "../model/errors.ts";
import type { HostKey } from "../model/host.ts";
import { revisionCommit } from "../model/revision.ts";
import type { Clock } from "../ports/clock.ts";
import type { GitSource } from "../ports/git-source.ts";
import type { Inventory, InventoryAnswer } from "../ports/inventory.ts";
import type { RepoTelemetry } from "../ports/telemetry.ts";
import type { Collector } from "./collector.ts";
import type { Fleet } from "./fleet.ts";
import { PollLoop } from "./poll-loop.ts";
import type { Problems } from "./problems.ts";
import type { Report } from "./report.ts";
import type { StatusSaver } from "./status-saver.ts";

export interface PollsOptions {
  readonly gitInterval: number;
  readonly inventoryInterval: number;
  /** The longest pause after failures, milliseconds. */
  readonly maxInterval: number;
  /**
   * False: other processes, each with a disk of its own, may have worked since this disk was written. What
   * it holds may be older than what hosts have, and is not acted on before Git and the inventory were asked.
   */
  readonly alone?: boolean;
  readonly source: GitSource;
  readonly inventory: Inventory;
  readonly telemetry: RepoTelemetry;
  readonly clock: Clock;
  readonly log: Logger;
  readonly problems: Problems;
  readonly report: Report;
  /** While it says true nothing is asked by itself. */
  readonly paused: () => boolean;
  /** Apps of which what hosts shall have changed. */
  readonly onApps: (apps: ReadonlySet<AppKey>) => void;
  /** Hosts that came, went, or have other apps. */
  readonly onHosts: (hosts: ReadonlySet<HostKey>) => void;
}

/** What the polls work on; known once the store was read. */
export interface PolledParts {
  readonly fleet: Fleet;
  readonly saver: StatusSaver;
  readonly collector: Collector;
}

type Found = readonly { readonly reason: Reason; readonly message: string }[];

/** Asks Git and the inventory, and takes their news into the fleet. What they say is stored before anyone acts on it. */
export class Polls {
  readonly #options: PollsOptions;
  readonly #git: PollLoop;
  readonly #inventory: PollLoop;
  #parts!: PolledParts;
  #commit: string | null = null;
  #answered = false;
  #fetchedAt: number | null = null;

  constructor(options: PollsOptions) {
    this.#options = options;
    const { clock, maxInterval, paused, gitInterval, inventoryInterval } = options;
    const common = { clock, maxInterval, paused };
    this.#git = new PollLoop({ ...common, interval: gitInterval, poll: (signal) => this.#askGit(signal) });
    this.#inventory = new PollLoop({
      ...common,
      interval: inventoryInterval,
      poll: (signal) => this.#askInventory(signal),
    });
  }

  /** Whether Git and the inventory have both said something, in this run or in one before. */
  get known(): boolean {
    return this.#commit !== null && this.#answered;
  }

  get fetchedAt(): number | null {
    return this.#fetchedAt;
  }

  /** Whether both have said all that there is to know of the app: what is desired of it, and on which hosts. */
  knows(app: AppKey): boolean {
    return this.#commit !== null && this.#parts.fleet.isCovered(app);
  }

  /** Takes in what earlier runs left: the mirror's newest commit, the last good inventory. Asks nobody. */
  async load(parts: PolledParts): Promise<void> {
    this.#parts = parts;
    const { source, inventory, alone = true } = this.#options;
    inventory.adopt(parts.fleet.stored);
    if (!alone) return;
    const commit = await source.head();
    if (commit === null || !(await this.#attempt("git", () => this.#takeCommit(commit)))) return;
    const answer = await inventory.lastGood([...parts.fleet.desired.values()]);
    if (answer) await this.#takeAnswer(answer);
  }

  /** Polls at the intervals until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    using _ = this.#options.inventory.watch?.(() => this.#inventory.trigger());
    await Promise.all([this.#git.run(signal), this.#inventory.run(signal)]);
  }

  /** Polls both now, or as soon as the polls under way are over. */
  trigger(): void {
    this.#git.trigger();
    this.#inventory.trigger();
  }

  triggerGit(): void {
    this.#git.trigger();
  }

  /** The same for whoever may ask again and again: while Git does not answer it is asked once more in a pause. */
  hurryGit(): void {
    this.#git.hurry();
  }

  /** Asks Git and then the inventory, once; what goes wrong is among the problems. */
  async refresh(signal: AbortSignal): Promise<void> {
    await this.#git.poll(signal);
    await this.#inventory.poll(signal);
  }

  /** Asks Git once, paused or not; what goes wrong is among the problems. */
  async refreshGit(signal: AbortSignal): Promise<void> {
    await this.#git.poll(signal);
  }

  #askGit(signal: AbortSignal): Promise<boolean> {
    return this.#attempt("git", async () => {
      const { source, telemetry, clock } = this.#options;
      try {
        const commit = await source.poll(signal);
        if (commit !== this.#commit) await this.#takeCommit(commit);
        this.#fetchedAt = clock.now();
        telemetry.fetched("success", this.#fetchedAt);
      } catch (error) {
        if (!signal.aborted) {
          telemetry.fetched("failure", clock.now());
          await this.#takeKnown();
        }
        throw error;
      }
      await this.#parts.collector.collect();
    });
  }

  /** While Git is silent from the start: the mirror's commit, if it is what the store says was the newest. */
  async #takeKnown(): Promise<void> {
    const { revision } = this.#parts.fleet;
    if (this.#commit !== null || revision === null) return;
    const commit = await this.#options.source.head();
    if (commit === revisionCommit(revision)) await this.#takeCommit(commit);
  }

  #askInventory(signal: AbortSignal): Promise<boolean> {
    return this.#attempt("inventory", async () => {
      const { inventory, telemetry, clock } = this.#options;
      const apps = [...this.#parts.fleet.desired.values()];
      if (apps.length === 0) return;
      const answer = await inventory.refresh(apps, signal);
      if (signal.aborted) return;
      await this.#takeAnswer(answer);
      const failed = answer.problems.some(({ reason }) => reason !== "InvalidHost");
      telemetry.inventoryRefreshed(failed ? "failure" : "success", clock.now());
      return answer.problems;
    });
  }

  /** Runs one poll; turns what it throws into the repo's problems. */
  async #attempt(about: "git" | "inventory", poll: () => Promise<void | Found>): Promise<boolean> {
    let found: Found;
    try {
      found = (await poll()) ?? [];
    } catch (thrown) {
      const error = asFssyncError(thrown);
      if (error.reason === "Interrupted") return false;
      if (error.reason === "Internal") this.#options.log.error({ err: thrown }, "poll failed");
      found = [error];
    }
    const { problems, report } = this.#options;
    const { fresh, changed } = problems.set(about, found);
    report.problems(about, fresh, changed && found.length === 0);
    await this.#parts.saver.save({ repo: changed });
    return found.every(({ reason }) => reason === "InvalidHost");
  }

  async #takeCommit(commit: string): Promise<void> {
    const { source, report, onApps } = this.#options;
    const { fleet, collector, saver } = this.#parts;
    const discovery = await source.discover(commit);
    const before = fleet.revision;
    const { changed, toStore } = fleet.setDesired(discovery);
    this.#commit = commit;
    collector.mark();
    if (before !== discovery.revision) report.newRevision(discovery, changed.size);
    await saver.save({ repo: true, apps: toStore.keys() });
    onApps(changed);
    if ([...changed].some((app) => this.#lacksHosts(app))) this.#inventory.trigger();
  }

  async #takeAnswer({ hosts }: InventoryAnswer): Promise<void> {
    const { report, onHosts } = this.#options;
    const { fleet, collector, saver } = this.#parts;
    const { added, removed, touched, toStore } = fleet.setHosts(hosts);
    this.#answered ||= hosts.size > 0;
    if (touched.size === 0) return;
    collector.mark();
    report.hosts(added, removed);
    await saver.save({ apps: fleet.dropRetired().keys(), hosts: toStore.keys() });
    onHosts(touched);
  }

  /** Whether the inventory has not named any host of the app; what only the store names does not count. */
  #lacksHosts(app: AppKey): boolean {
    const { fleet } = this.#parts;
    const named = (key: HostKey) => fleet.hosts.get(key)?.records.has(app);
    return fleet.desired.has(app) && !fleet.hostsOf(app).values().some(named);
  }
}
