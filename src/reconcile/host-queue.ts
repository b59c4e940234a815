import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import { laggingHosts } from "../plan/lagging.ts";
import { isDown } from "../plan/state.ts";
import type { Clock } from "../ports/clock.ts";
import type { QueueMetrics } from "../ports/telemetry.ts";
import { Backoff } from "../queue/rate-limiter.ts";
import { RateLimitingQueue } from "../queue/rate-limiting-queue.ts";
import type { Fleet, FleetHost } from "./fleet.ts";
import type { Suspension } from "./suspension.ts";

/** Backoff of failed hosts and the longest pause of a failing poll, milliseconds (design: 1 s to 5 min). */
export const BACKOFF = { base: 1000, max: 300_000 };

/** Share of the workers that hosts which were not reachable the last time may take. */
const SLOW_SHARE = 0.5;

/** Milliseconds after which a host gives its place to the next one: one that hangs must not hold up the others. */
const PATIENCE = 3000;

/** Whoever sets so few workers means it: one host after the other. Then nobody gives a place away. */
const FEW_WORKERS = 3;

export interface HostQueueOptions {
  /** Hosts that are worked on at a time. */
  readonly concurrency: number;
  readonly suspension: Suspension;
  /** Undefined until it was loaded. */
  readonly fleet: () => Fleet | undefined;
  readonly metrics: QueueMetrics;
  readonly clock: Clock;
}

/** The hosts of one repo that wait for a worker, and the rules by which news puts them there. */
export class HostQueue extends RateLimitingQueue<HostKey> {
  /** Workers that it keeps busy. More than places: a host that hangs keeps its worker when it has given its place away. */
  readonly workers: number;
  readonly #fleet: () => Fleet | undefined;
  readonly #suspension: Suspension;

  constructor({ concurrency, suspension, fleet, metrics, clock }: HostQueueOptions) {
    const lateLimit = concurrency <= FEW_WORKERS ? 0 : concurrency;
    super({
      clock,
      metrics,
      backoff: new Backoff({ clock, ...BACKOFF }),
      isSlow: (key) => this.#wasDown(key),
      slowLimit: Math.max(1, Math.floor(concurrency * SLOW_SHARE)),
      limit: concurrency,
      patience: PATIENCE,
      lateLimit,
    });
    this.workers = concurrency + lateLimit;
    this.#fleet = fleet;
    this.#suspension = suspension;
  }

  /** Those of the hosts that lag; none while the repo is suspended. */
  addLagging(among: Iterable<HostKey>): void {
    const hosts = this.#fleet()?.hosts;
    const known = [...among].flatMap((key) => hosts?.get(key) ?? []);
    for (const key of this.#lagging(known)) this.add(key);
  }

  /** A host that was down keeps waiting for its turn; one that failed is tried with the new commit at once. */
  addForCommit(apps: ReadonlySet<AppKey>): void {
    // Each host once: one that is added again after a worker took it would be worked on twice.
    const hosts = new Set([...apps].flatMap((app) => [...(this.#fleet()?.hostsOf(app) ?? [])]));
    this.addLagging([...hosts].filter((key) => !this.isWaiting(key) || !this.#wasDown(key)));
  }

  /** Every host that lags and does not wait for its time; `all` also those that do. */
  sweep({ all = false } = {}): void {
    for (const key of this.#lagging(this.#fleet()?.hosts.values() ?? []))
      if (all || !this.isWaiting(key)) this.add(key);
  }

  #lagging(hosts: Iterable<FleetHost>): readonly HostKey[] {
    const fleet = this.#fleet();
    return !fleet || this.#suspension.now.repo ? [] : laggingHosts(hosts, fleet.desired);
  }

  #wasDown(key: HostKey): boolean {
    const records = this.#fleet()?.hosts.get(key)?.records.values() ?? [];
    return [...records].some(({ failure }) => failure !== null && isDown(failure.reason));
  }
}
