import { setInterval } from "node:timers/promises";
import type { FastifyInstance } from "fastify";
import { systemClock } from "../../../src/clock/system-clock.ts";
import { listen } from "../../../src/http/listen.ts";
import { metricsServer } from "../../../src/http/server.ts";
import { Metrics } from "../../../src/metrics/metrics.ts";
import type { AppKey } from "../../../src/model/app.ts";
import type { Drift } from "../../../src/model/drift.ts";
import type { AppRecord, Problem } from "../../../src/model/record.ts";
import type { HttpTelemetry } from "../../../src/ports/http-telemetry.ts";
import type { RepoTelemetry } from "../../../src/ports/telemetry.ts";
import { Fleet } from "../../../src/reconcile/fleet.ts";
import { observeFleet } from "../../../src/reconcile/observation.ts";
import { Suspension } from "../../../src/reconcile/suspension.ts";
import { makeApp, makeFailure, makeHost, makeRecord, revisionOf } from "../../support/factories.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";

interface Telemetries {
  readonly repo: RepoTelemetry;
  readonly http: HttpTelemetry;
}

/** Metrics behind HTTP of a repo in which everything happens all the time: no series is missing, and all rates are above zero. */
export class BusyRepo implements AsyncDisposable {
  readonly url: string;
  readonly #server: FastifyInstance;
  readonly #ended = new AbortController();
  readonly #busy: Promise<void>;

  private constructor(url: string, server: FastifyInstance, telemetries: Telemetries) {
    this.url = url;
    this.#server = server;
    this.#busy = work(telemetries, this.#ended.signal);
  }

  static async start(repo: string): Promise<BusyRepo> {
    const metrics = new Metrics({ clock: systemClock, version: "0.1.0" });
    metrics.leader(true);
    const telemetry = metrics.forRepo(repo);
    const fleet = troubledFleet();
    const suspension = new Suspension(false);
    suspension.set({ repo: false, apps: new Set([API]), hosts: new Set() }, fleet);
    const problems: Problem[] = [{ reason: "InventoryFailed", message: "no answer", since: Date.now() }];
    const now = () => systemClock.now();
    telemetry.observe(observeFleet({ repo, fleet, suspension, connections: () => 4, problems: () => problems, now }));
    const server = metricsServer({ metrics: () => metrics.expose(), notReady: () => null });
    return new BusyRepo(await listen(server, "127.0.0.1:0"), server, { repo: telemetry, http: metrics.http });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#busy;
    await this.#server.close();
  }
}

/** Hosts of which one is synced, one is down and lags, one has no space left, and one is edited by hand again and again. */
function troubledFleet(): Fleet {
  const fleet = new Fleet({ repo: { revision: null, problems: [] }, apps: new Map(), hosts: new Map() }, systemClock);
  const web = makeApp(WEB, { "etc/web.conf": "1" });
  const api = makeApp(API, { "etc/api.conf": "1" });
  fleet.setDesired({ apps: new Map([web, api].map((app) => [app.key, app])), revision: revisionOf("1") });
  const now = Date.now();
  const replaced = [3, 2, 1].map((hours) => ({
    path: "etc/web.conf",
    change: "content" as const,
    at: now - hours * 3_600_000,
  }));
  const drift: Drift = { files: [{ path: "etc/web.conf", change: "content", since: now }], count: 1, replaced };
  const records: AppRecord[] = [
    makeRecord(web),
    makeRecord(null, { failure: makeFailure({ state: "Unreachable", reason: "ConnectTimeout" }) }),
    makeRecord(web, { failure: makeFailure({ reason: "NoSpace" }) }),
    makeRecord(web, { drift }),
  ];
  const hosts = records.map((_, number) => makeHost(`10.0.0.${number + 1}`));
  fleet.setHosts(
    new Map([
      [WEB, hosts],
      [API, hosts.slice(0, 1)],
    ]),
  );
  hosts.forEach(({ key }, number) => fleet.put(key, new Map([[WEB, records[number]!]])));
  return fleet;
}

/** Counts everything, and again ten times a second until the signal aborts. */
async function work({ repo, http }: Telemetries, signal: AbortSignal): Promise<void> {
  repo.queue.unfinished(() => 0.5);
  http.connected();
  http.certificateExpires(Date.now() + 90 * 86_400_000);
  const count = () => {
    countEverything(repo);
    http.answered({ method: "GET", route: "/api/v1/apps", code: 200, seconds: 0.01 });
  };
  count();
  try {
    for await (const _ of setInterval(100, undefined, { signal })) count();
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function countEverything(telemetry: RepoTelemetry): void {
  for (const result of ["success", "failed", "unreachable"] as const) telemetry.synced(result, 0.1);
  for (const result of ["clean", "drifted", "failed", "unreachable"] as const) telemetry.verified(result, 0.1);
  for (const result of ["success", "failure"] as const) {
    telemetry.fetched(result, Date.now());
    telemetry.inventoryRefreshed(result, Date.now());
  }
  for (const result of ["accepted", "ignored"] as const) telemetry.webhook(result);
  telemetry.replaced(1);
  telemetry.propagated(2);
  telemetry.queue.depth(1);
  telemetry.queue.added();
  telemetry.queue.retried();
  telemetry.queue.queued(0.01);
  telemetry.queue.worked(0.1);
}
