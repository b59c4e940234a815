import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { appId, type AppKey } from "../model/app.ts";
import { STATES } from "../model/state.ts";
import type { Revision } from "../model/revision.ts";
import type { Clock } from "../ports/clock.ts";
import type { FleetObservation, RepoTelemetry, SuspendedObject } from "../ports/telemetry.ts";
import { QueueInstruments } from "./queue-instruments.ts";

const SYNC_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const PROPAGATION_BUCKETS = [0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14_400, 86_400];
const APP = ["repo", "mod", "env", "app"] as const;

/** All metrics of the design in one registry; docs/metrics.md lists them. */
export class Metrics {
  readonly registry = new Registry();
  readonly #clock: Clock;
  readonly #queues = new QueueInstruments(this.registry);
  readonly #fleets = new Map<string, RepoFleet>();

  readonly #appHosts = this.#gauge("fssync_app_hosts", "Hosts of an app by state.", [...APP, "state"]);
  readonly #appInfo = this.#gauge("fssync_app_info", "Always 1; the revision that an app shall have.", [
    ...APP,
    "revision",
  ]);
  readonly #lag = this.#gauge(
    "fssync_app_oldest_lag_seconds",
    "Seconds since the host of an app that lags the longest began to lag behind Git; 0 when none does.",
    APP,
  );
  readonly #syncs = this.#counter("fssync_sync_total", "Syncs of one host by result.", ["repo", "result"]);
  readonly #syncDuration = new Histogram({
    name: "fssync_sync_duration_seconds",
    help: "Seconds that the sync of one host took.",
    labelNames: ["repo"],
    buckets: SYNC_BUCKETS,
    registers: [this.registry],
  });
  readonly #propagation = new Histogram({
    name: "fssync_propagation_seconds",
    help: "Seconds from the moment a revision was seen to the moment a host had it.",
    labelNames: ["repo"],
    buckets: PROPAGATION_BUCKETS,
    registers: [this.registry],
  });
  readonly #fetches = this.#counter("fssync_git_fetch_total", "Polls of the Git remote by result.", ["repo", "result"]);
  readonly #fetched = this.#gauge(
    "fssync_git_last_success_timestamp_seconds",
    "When the Git remote last answered, as a Unix time.",
    ["repo"],
  );
  readonly #refreshes = this.#counter("fssync_inventory_refresh_total", "Refreshes of the inventory by result.", [
    "repo",
    "result",
  ]);
  readonly #refreshed = this.#gauge(
    "fssync_inventory_last_success_timestamp_seconds",
    "When the inventory last answered in full, as a Unix time.",
    ["repo"],
  );
  readonly #hosts = this.#gauge("fssync_inventory_hosts", "Hosts in the inventory.", ["repo"]);
  readonly #suspended = this.#gauge("fssync_suspended", "1 while work is suspended.", ["repo", "kind", "name"]);

  readonly #leader = this.#gauge("fssync_leader", "1 while this process is the one that syncs.", []);

  constructor({ clock, version }: { clock: Clock; version: string }) {
    this.#clock = clock;
    this.#gauge("fssync_build_info", "Always 1; the version of fssync.", ["version"]).set({ version }, 1);
  }

  /** The metrics in Prometheus' text format, brought up to date first. */
  async expose(): Promise<string> {
    for (const [repo, fleet] of this.#fleets) this.#refresh(repo, fleet);
    this.#queues.refresh();
    return await this.registry.metrics();
  }

  /** Whether this process is the one that syncs. */
  leader(leads: boolean): void {
    this.#leader.set(leads ? 1 : 0);
  }

  /** Counters of the repo start at zero. Disposing it removes every series of the repo. */
  forRepo(repo: string): RepoTelemetry {
    for (const result of ["success", "failed", "unreachable"]) this.#syncs.inc({ repo, result }, 0);
    for (const result of ["success", "failure"]) {
      this.#fetches.inc({ repo, result }, 0);
      this.#refreshes.inc({ repo, result }, 0);
    }
    this.#syncDuration.zero({ repo });
    this.#propagation.zero({ repo });
    const queue = this.#queues.forQueue(repo);
    return {
      queue,
      fetched: (result, at) => {
        this.#fetches.inc({ repo, result });
        if (result === "success") this.#fetched.set({ repo }, at / 1000);
      },
      inventoryRefreshed: (result, at) => {
        this.#refreshes.inc({ repo, result });
        if (result === "success") this.#refreshed.set({ repo }, at / 1000);
      },
      synced: (result, seconds) => {
        this.#syncs.inc({ repo, result });
        this.#syncDuration.observe({ repo }, seconds);
      },
      verified: () => undefined,
      replaced: () => undefined,
      propagated: (seconds) => this.#propagation.observe({ repo }, seconds),
      observe: (fleet) =>
        void this.#fleets.set(repo, { fleet, revisions: new Map(), lagging: new Map(), suspended: [] }),
      [Symbol.dispose]: () => {
        queue[Symbol.dispose]();
        this.#remove(repo);
      },
    };
  }

  #remove(repo: string): void {
    for (const app of this.#fleets.get(repo)?.revisions.keys() ?? []) this.#removeApp(repo, app);
    for (const { kind, name } of this.#fleets.get(repo)?.suspended ?? []) this.#suspended.remove({ repo, kind, name });
    this.#fleets.delete(repo);
    for (const result of ["success", "failed", "unreachable"]) this.#syncs.remove({ repo, result });
    for (const result of ["success", "failure"]) {
      this.#fetches.remove({ repo, result });
      this.#refreshes.remove({ repo, result });
    }
    for (const each of [this.#syncDuration, this.#propagation, this.#fetched, this.#refreshed, this.#hosts]) {
      each.remove({ repo });
    }
  }

  #removeApp(repo: string, app: AppKey): void {
    const { revisions, lagging } = this.#fleets.get(repo)!;
    const labels = { repo, ...appId(app) };
    const revision = revisions.get(app);
    if (revision !== undefined) this.#appInfo.remove({ ...labels, revision });
    revisions.delete(app);
    lagging.delete(app);
    this.#lag.remove(labels);
    for (const state of STATES) this.#appHosts.remove({ ...labels, state });
  }

  #refresh(repo: string, { fleet, revisions, lagging, suspended }: RepoFleet): void {
    this.#hosts.set({ repo }, fleet.hosts);
    this.#refreshSuspended(repo, fleet, suspended);
    for (const { app, current } of fleet.takeChanged()) {
      const labels = { repo, ...appId(app) };
      const before = revisions.get(app);
      if (before && before !== current?.revision) this.#appInfo.remove({ ...labels, revision: before });
      if (current) {
        revisions.set(app, current.revision);
        lagging.set(app, current.lagSince);
        this.#appInfo.set({ ...labels, revision: current.revision }, 1);
        for (const state of STATES) this.#appHosts.set({ ...labels, state }, current.hosts[state]);
      } else {
        this.#removeApp(repo, app);
      }
    }
    const now = this.#clock.now();
    for (const [app, since] of lagging) {
      this.#lag.set({ repo, ...appId(app) }, since === null ? 0 : Math.max(0, now - since) / 1000);
    }
  }

  #refreshSuspended(repo: string, fleet: FleetObservation, shown: SuspendedObject[]): void {
    for (const { kind, name } of shown) this.#suspended.remove({ repo, kind, name });
    shown.splice(0, shown.length, ...fleet.suspended());
    for (const { kind, name, suspended } of shown) this.#suspended.set({ repo, kind, name }, suspended ? 1 : 0);
  }

  #gauge<Label extends string>(name: string, help: string, labelNames: readonly Label[]): Gauge<Label> {
    return new Gauge({ name, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  #counter<Label extends string>(name: string, help: string, labelNames: readonly Label[]): Counter<Label> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.registry] });
  }
}

interface RepoFleet {
  readonly fleet: FleetObservation;
  /** The revision whose `fssync_app_info` series stands. */
  readonly revisions: Map<AppKey, Revision>;
  readonly lagging: Map<AppKey, number | null>;
  /** The objects whose `fssync_suspended` series stand. */
  readonly suspended: SuspendedObject[];
}
