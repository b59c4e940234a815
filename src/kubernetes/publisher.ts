import { isDeepStrictEqual } from "node:util";
import type { ConfigRepoStatus } from "../config/resources.ts";
import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import type { HostRecord } from "../model/record.ts";
import { sleep, type Clock } from "../ports/clock.ts";
import type { Events } from "../ports/events.ts";
import type { RepoController } from "../reconcile/repo-controller.ts";
import { summarizeApp, type AppSummary } from "./app-status.ts";
import { starting, summarizeRepo, type RepoSummary } from "./repo-status.ts";

/** An app is written at most this often, however many of its hosts move. */
const INTERVAL = 1000;
/** A host that lags for longer than this says so; one that is synced before costs one write only. */
const HOSTS_INTERVAL = 15_000;

export interface PublisherOptions {
  readonly controller: RepoController;
  /** Generation of the ConfigRepo that the controller works by, or of a ConfigApp. */
  readonly generation: (app?: AppKey) => number | undefined;
  /** What the objects said before this process. */
  readonly before: {
    readonly repo: RepoSummary | undefined;
    readonly app: (app: AppKey) => AppSummary | undefined;
  };
  readonly writeRepo: (status: Partial<ConfigRepoStatus>) => void;
  readonly writeApp: (app: AppKey, status: AppSummary) => void;
  /** Writes those of the hosts whose state is another one than was written the last time. */
  readonly restate: (hosts: readonly HostRecord[]) => void;
  readonly events: Events;
  readonly clock: Clock;
}

/**
 * Writes what ConfigApp and ConfigRepo say of their hosts. It looks once a second at what moved since the
 * last look, and at nothing else.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #apps = new Map<AppKey, AppSummary>();
  #repo: RepoSummary | undefined;
  /** Undefined until Git and the inventory have spoken. */
  #takeChanged: (() => ReadonlySet<AppKey>) | undefined;
  /** Apps that moved in this interval, and in the one before: a host that lags since then says so now. */
  #restless = new Set<AppKey>();
  #restlessBefore = new Set<AppKey>();
  #restatedAt: number;
  #problems: unknown;
  #suspended: unknown;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#repo = options.before.repo;
    this.#restatedAt = options.clock.monotonic();
  }

  /** Publishes until the signal aborts, and once more then. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      this.publish();
      await sleep(clock, INTERVAL, signal);
    }
    this.publish();
  }

  /** What moved since the last call. */
  publish(): void {
    const { controller, clock } = this.#options;
    if (!controller.known) return this.#publishStart();
    this.#takeChanged ??= controller.fleet.watch();
    const changed = this.#takeChanged();
    for (const app of changed) {
      this.#publishApp(app);
      this.#restless.add(app);
    }
    this.#restateHeld(changed);
    if (clock.monotonic() - this.#restatedAt >= HOSTS_INTERVAL) this.#restate();
    const { problems, suspension } = controller;
    const same = isDeepStrictEqual(problems, this.#problems) && suspension.now === this.#suspended;
    if (changed.size > 0 || !same) this.#publishRepo();
    this.#problems = problems;
    this.#suspended = suspension.now;
  }

  /** Writes what was last said of an app once more: somebody has removed it. */
  publishAgain(app: AppKey): void {
    const said = this.#apps.get(app);
    if (said) this.#options.writeApp(app, said);
  }

  /** Until Git and the inventory have spoken nothing is counted: what the objects say from before stands. */
  #publishStart(): void {
    const { controller, writeRepo } = this.#options;
    const suspended = controller.suspension.now.repo;
    if (suspended && this.#repo?.conditions) return;
    if (controller.problems.length > 0) return this.#publishRepo();
    const conditions = starting(this.#repo?.conditions, suspended, this.#at());
    if (isDeepStrictEqual(conditions, this.#repo?.conditions)) return;
    this.#repo = { ...this.#repo, conditions };
    writeRepo({ conditions });
  }

  #publishApp(key: AppKey): void {
    const { controller, before, writeApp } = this.#options;
    const app = controller.fleet.desired.get(key);
    if (!app) return void this.#apps.delete(key);
    const known = this.#apps.get(key) ?? before.app(key);
    const next = summarizeApp(controller.fleet, app, controller.suspension, known, this.#at(key));
    this.#apps.set(key, next);
    if (isDeepStrictEqual(next, known)) return;
    writeApp(key, next);
    this.#tellFinished(key, known, next);
  }

  #tellFinished(app: AppKey, before: AppSummary | undefined, { history = [] }: AppSummary): void {
    const [latest] = history;
    if (latest?.finishedAt === undefined) return;
    const known = before?.history?.[0];
    if (known?.digest === latest.digest && known.finishedAt !== undefined) return;
    const message = `${latest.revision} is on all ${latest.total} hosts`;
    this.#options.events.record({ app }, "Normal", "SyncSucceeded", message);
  }

  #publishRepo(): void {
    const { controller, writeRepo } = this.#options;
    const next = summarizeRepo(controller, this.#repo, this.#at());
    // Before Git and the inventory have spoken only what is wrong can be said.
    const told = controller.known ? next : { ...this.#repo, conditions: next.conditions };
    if (isDeepStrictEqual(told, this.#repo)) return;
    this.#repo = told;
    writeRepo(told);
  }

  /** What people hold back is not synced soon, unlike all else that lags: its hosts say so at once. */
  #restateHeld(apps: ReadonlySet<AppKey>): void {
    const { fleet, suspension } = this.#options.controller;
    const held = [...apps].flatMap((app) => [...fleet.hostsOf(app)].filter((key) => suspension.holds(app, key)));
    this.#restateHosts(new Set(held));
  }

  #restate(): void {
    const { controller, clock } = this.#options;
    this.#restatedAt = clock.monotonic();
    const apps = this.#restlessBefore;
    this.#restlessBefore = this.#restless;
    this.#restless = new Set();
    this.#restateHosts(new Set([...apps].flatMap((app) => [...controller.fleet.hostsOf(app)])));
  }

  #restateHosts(keys: ReadonlySet<HostKey>): void {
    const { controller, restate } = this.#options;
    const records = [...keys].map((key) => controller.fleet.recordOf(key)).filter((record) => record !== null);
    if (records.length > 0) restate(records);
  }

  #at(app?: AppKey) {
    return { now: this.#options.clock.now(), generation: this.#options.generation(app) };
  }
}
