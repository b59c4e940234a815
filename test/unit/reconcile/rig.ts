import type { AppKey } from "../../../src/model/app.ts";
import type { HostKey } from "../../../src/model/host.ts";
import type { AppRecord } from "../../../src/model/record.ts";
import { RepoController, type RepoControllerOptions } from "../../../src/reconcile/repo-controller.ts";
import {
  FakeGitSource,
  FakeInventory,
  FakeTransport,
  quiet,
  recordedLog,
  SilentTelemetry,
} from "../../support/fakes.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryStatusStore } from "../../support/memory-store.ts";

export const GIT_INTERVAL = 10_000;
export const INVENTORY_INTERVAL = 60_000;

/** One controller among fakes; `restart` is a new process on the same Git, inventory, hosts and store. */
export class Rig implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly source = new FakeGitSource();
  readonly inventory = new FakeInventory();
  readonly transport = new FakeTransport();
  readonly store = new MemoryStatusStore();
  readonly telemetry = new SilentTelemetry();
  readonly log = recordedLog();
  readonly #overrides: Partial<RepoControllerOptions>;
  controller: RepoController;
  #stop = new AbortController();

  constructor(overrides: Partial<RepoControllerOptions> = {}) {
    this.#overrides = overrides;
    this.controller = this.#make();
  }

  async start(): Promise<void> {
    await this.controller.load();
    this.controller.start(this.#stop.signal);
    await quiet();
  }

  async restart(overrides: Partial<RepoControllerOptions> = {}): Promise<void> {
    await this.stop();
    this.inventory.remembers = true;
    this.controller = this.#make(overrides);
    this.#stop = new AbortController();
    await this.start();
  }

  /** As SIGTERM does; with `kill` as after its deadline. */
  async stop({ kill = true } = {}): Promise<void> {
    this.#stop.abort();
    if (kill) this.controller.kill();
    await this.controller.drain();
  }

  /** Moves on by some milliseconds and lets everything run that falls due; in small steps, as time passes. */
  async pass(milliseconds: number, step = milliseconds): Promise<void> {
    for (let passed = 0; passed < milliseconds; passed += step) {
      this.clock.advance(Math.min(step, milliseconds - passed));
      await quiet();
    }
  }

  /** Until Git was polled once more. */
  pollGit(): Promise<void> {
    return this.pass(GIT_INTERVAL);
  }

  async stored(host: HostKey, app: string): Promise<AppRecord | undefined> {
    return (await this.store.load("repo")).hosts.get(host)?.apps.get(app as AppKey);
  }

  record(host: HostKey, app: string): AppRecord | undefined {
    return this.controller.fleet.hosts.get(host)?.records.get(app as AppKey);
  }

  digest(app: string): string {
    return this.controller.fleet.desired.get(app as AppKey)!.digest;
  }

  events(name: string): Record<string, unknown>[] {
    return this.log.lines.filter(({ event }) => event === name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.controller[Symbol.asyncDispose]();
  }

  /** A process for one pass, which its test loads. The one before must have stopped. */
  makeAnother(overrides: Partial<RepoControllerOptions> = {}): RepoController {
    this.inventory.remembers = true;
    return (this.controller = this.#make(overrides));
  }

  #make(overrides: Partial<RepoControllerOptions> = {}): RepoController {
    return new RepoController({
      repo: "repo",
      gitInterval: GIT_INTERVAL,
      inventoryInterval: INVENTORY_INTERVAL,
      concurrency: 64,
      hostTimeout: 300_000,
      prune: { prune: true, maxDeletePercent: 20 },
      drift: { interval: 0, action: "report", concurrency: 8, keepVersions: 5, isIgnored: () => false },
      sudo: false,
      suspend: false,
      retry: true,
      source: this.source,
      inventory: this.inventory,
      transport: this.transport,
      store: this.store,
      telemetry: this.telemetry,
      clock: this.clock,
      log: this.log.log,
      ...this.#overrides,
      ...overrides,
    });
  }
}
