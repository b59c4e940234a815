import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Clock } from "../ports/clock.ts";
import type { RepoTelemetry, SyncResult, VerifyResult, WebhookResult } from "../ports/telemetry.ts";
import { FleetInstruments } from "./fleet-instruments.ts";
import type { MetricFamily } from "./gauge-lines.ts";
import { HttpInstruments } from "./http-instruments.ts";
import { QueueInstruments } from "./queue-instruments.ts";
import { Turns } from "../ports/turns.ts";

const SYNC_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const VERIFY_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const PROPAGATION_BUCKETS = [0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14_400, 86_400];

const SYNC_RESULTS = ["success", "failed", "unreachable"] as const satisfies SyncResult[];
const VERIFY_RESULTS = ["clean", "drifted", "failed", "unreachable"] as const satisfies VerifyResult[];
const WEBHOOK_RESULTS = ["accepted", "ignored"] as const satisfies WebhookResult[];
const ANSWERS = ["success", "failure"] as const;

/** All metrics of the design; docs/metrics.md lists them. */
export class Metrics {
  readonly #clock: Clock;
  readonly #registry = new Registry();
  readonly #queues = new QueueInstruments(this.#registry);
  /** For the HTTP server. */
  readonly http = new HttpInstruments(this.#registry);
  readonly #fleets: FleetInstruments;
  #exposing: Promise<string> | null = null;

  readonly #syncs = this.#counter("fssync_sync_total", "Syncs of one host by result.", ["repo", "result"]);
  readonly #syncDuration = this.#histogram(
    "fssync_sync_duration_seconds",
    "Seconds that the sync of one host took.",
    SYNC_BUCKETS,
  );
  readonly #propagation = this.#histogram(
    "fssync_propagation_seconds",
    "Seconds from the moment a revision was seen to the moment a host had it.",
    PROPAGATION_BUCKETS,
  );
  readonly #verifications = this.#counter("fssync_verify_total", "Looks at what one host has, by result.", [
    "repo",
    "result",
  ]);
  readonly #verifyDuration = this.#histogram(
    "fssync_verify_duration_seconds",
    "Seconds that the look at what one host has took.",
    VERIFY_BUCKETS,
  );
  readonly #replaced = this.#counter(
    "fssync_drift_replaced_files_total",
    "Files that somebody else had changed on a host and that fssync laid its own over.",
    ["repo"],
  );
  readonly #fetches = this.#counter("fssync_git_fetch_total", "Polls of the Git remote by result.", ["repo", "result"]);
  readonly #fetched = this.#gauge(
    "fssync_git_last_success_timestamp_seconds",
    "When the Git remote last answered, as a Unix time.",
    ["repo"],
  );
  readonly #webhooks = this.#counter(
    "fssync_webhook_total",
    "Webhooks that a secret of the repo verified, by result.",
    ["repo", "result"],
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
  readonly #leader = this.#gauge("fssync_leader", "1 while this process is the one that syncs.", []);

  constructor({ clock, version }: { clock: Clock; version: string }) {
    this.#clock = clock;
    this.#fleets = new FleetInstruments(clock);
    this.#gauge("fssync_build_info", "Always 1; the version of fssync.", ["version"]).set({ version }, 1);
  }

  /**
   * The metrics in Prometheus' text format, brought up to date first. However large the fleet, the
   * event loop is never held for long; scrapes that come meanwhile get the same text.
   */
  expose(): Promise<string> {
    this.#exposing ??= this.#expose().finally(() => (this.#exposing = null));
    return this.#exposing;
  }

  /** All metrics, those without a series included. */
  get families(): readonly MetricFamily[] {
    const counted = this.#registry.getMetricsAsArray() as unknown as MetricFamily[];
    return [...counted, ...this.#fleets.families];
  }

  /** Whether this process is the one that syncs. */
  leader(leads: boolean): void {
    this.#leader.set(leads ? 1 : 0);
  }

  /** Counters of the repo start at zero. Disposing it removes every series of the repo. */
  forRepo(repo: string): RepoTelemetry {
    this.#begin(repo);
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
      verified: (result, seconds) => {
        this.#verifications.inc({ repo, result });
        this.#verifyDuration.observe({ repo }, seconds);
      },
      replaced: (files) => this.#replaced.inc({ repo }, files),
      webhook: (result) => this.#webhooks.inc({ repo, result }),
      propagated: (seconds) => this.#propagation.observe({ repo }, seconds),
      observe: (fleet) => this.#fleets.observe(repo, fleet),
      [Symbol.dispose]: () => {
        queue[Symbol.dispose]();
        this.#end(repo);
      },
    };
  }

  async #expose(): Promise<string> {
    const turns = new Turns(this.#clock);
    await this.#fleets.refresh(turns);
    this.#queues.refresh();
    return [await this.#registry.metrics(), ...this.#fleets.families, ""].join("\n");
  }

  #begin(repo: string): void {
    for (const result of SYNC_RESULTS) this.#syncs.inc({ repo, result }, 0);
    for (const result of VERIFY_RESULTS) this.#verifications.inc({ repo, result }, 0);
    for (const result of WEBHOOK_RESULTS) this.#webhooks.inc({ repo, result }, 0);
    for (const result of ANSWERS) {
      this.#fetches.inc({ repo, result }, 0);
      this.#refreshes.inc({ repo, result }, 0);
    }
    this.#replaced.inc({ repo }, 0);
    for (const timed of [this.#syncDuration, this.#verifyDuration, this.#propagation]) timed.zero({ repo });
  }

  #end(repo: string): void {
    this.#fleets.remove(repo);
    for (const result of SYNC_RESULTS) this.#syncs.remove({ repo, result });
    for (const result of VERIFY_RESULTS) this.#verifications.remove({ repo, result });
    for (const result of WEBHOOK_RESULTS) this.#webhooks.remove({ repo, result });
    for (const result of ANSWERS) {
      this.#fetches.remove({ repo, result });
      this.#refreshes.remove({ repo, result });
    }
    for (const timed of [this.#syncDuration, this.#verifyDuration, this.#propagation]) timed.remove({ repo });
    for (const each of [this.#replaced, this.#fetched, this.#refreshed]) each.remove({ repo });
  }

  #gauge<Label extends string>(name: string, help: string, labelNames: readonly Label[]): Gauge<Label> {
    return new Gauge({ name, help, labelNames: [...labelNames], registers: [this.#registry] });
  }

  #counter<Label extends string>(name: string, help: string, labelNames: readonly Label[]): Counter<Label> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.#registry] });
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram<"repo"> {
    return new Histogram({ name, help, labelNames: ["repo"], buckets, registers: [this.#registry] });
  }
}
