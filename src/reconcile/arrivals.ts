import type { AppKey } from "../model/app.ts";
import type { Digest } from "../model/manifest.ts";
import { lags } from "../plan/state.ts";
import { sleep, type Clock } from "../ports/clock.ts";
import type { Events } from "../ports/events.ts";
import type { Fleet } from "./fleet.ts";

/** Milliseconds between two looks. */
const INTERVAL = 1000;

export interface ArrivalsOptions {
  readonly fleet: Fleet;
  readonly events: Events;
  readonly clock: Clock;
}

/** Tells of each version of an app when the last of its hosts has synced it. In Kubernetes the publisher does. */
export class Arrivals {
  readonly #options: ArrivalsOptions;
  readonly #takeMoved: () => ReadonlySet<AppKey>;
  readonly #since: number;
  /** What all hosts of an app are known to have. */
  readonly #everywhere = new Map<AppKey, Digest>();

  constructor(options: ArrivalsOptions) {
    this.#options = options;
    this.#since = options.clock.now();
    this.#takeMoved = options.fleet.watch();
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.look();
      await sleep(this.#options.clock, INTERVAL, signal);
    }
  }

  look(): void {
    for (const app of this.#takeMoved()) this.#lookAt(app);
  }

  #lookAt(app: AppKey): void {
    const { fleet, events } = this.#options;
    const desired = fleet.desired.get(app);
    const hosts = fleet.hostsOf(app);
    if (!desired || desired.retired || hosts.size === 0) return void this.#everywhere.delete(app);
    let newest = 0;
    for (const key of hosts) {
      const record = fleet.hosts.get(key)?.records.get(app);
      if (lags(record, desired)) return void this.#everywhere.delete(app);
      newest = Math.max(newest, record?.syncedAt ?? 0);
    }
    const known = this.#everywhere.get(app) === desired.digest;
    this.#everywhere.set(app, desired.digest);
    // What an earlier run synced is no news.
    if (known || newest < this.#since) return;
    const everywhere = hosts.size === 1 ? "its host" : `all ${hosts.size} hosts`;
    events.record({ app }, "Normal", "SyncSucceeded", `${desired.revision} is on ${everywhere}`);
  }
}
