import { pino } from "pino";
import { systemClock } from "../../../src/clock/system-clock.ts";
import type { ApiServer } from "../../../src/http/api-server.ts";
import { listen } from "../../../src/http/listen.ts";
import { publicServer } from "../../../src/http/server.ts";
import type { SiteDesk } from "../../../src/http/site.ts";
import { Metrics } from "../../../src/metrics/metrics.ts";
import type { AppKey } from "../../../src/model/app.ts";
import type { Host } from "../../../src/model/host.ts";
import type { DesiredApp } from "../../../src/model/manifest.ts";
import type { AppRecord } from "../../../src/model/record.ts";
import { Fleet } from "../../../src/reconcile/fleet.ts";
import { FleetReport } from "../../../src/reconcile/fleet-report.ts";
import { Suspension } from "../../../src/reconcile/suspension.ts";
import { makeApp, makeHost, makeRecord, revisionOf } from "../../support/factories.ts";

/** So many hosts with so many neighbours of all the apps each, behind the HTTP API; nothing is synced. */
export class BigFleet implements AsyncDisposable {
  readonly fleet: Fleet;
  readonly reports: FleetReport;
  readonly #keys: readonly AppKey[];
  readonly #server: ApiServer;
  #apps: ReadonlyMap<AppKey, DesiredApp> = new Map();
  #commits = 0;
  #url = "";

  private constructor(fleet: Fleet, reports: FleetReport, server: ApiServer, keys: readonly AppKey[]) {
    this.fleet = fleet;
    this.reports = reports;
    this.#server = server;
    this.#keys = keys;
  }

  static async start({ hosts, appsOfHost, apps }: Record<"hosts" | "appsOfHost" | "apps", number>): Promise<BigFleet> {
    const clock = systemClock;
    const nothing = { repo: { revision: null, problems: [] }, apps: new Map(), hosts: new Map() };
    const [fleet, suspension, repo] = [new Fleet(nothing, clock), new Suspension(false), "serverfiles"];
    const reports = new FleetReport({ repo, fleet, suspension, clock });
    // What reads ask of a repo, and nothing else of it.
    const controller = { repo, fleet, suspension, reports, problems: [], fetchedAt: null };
    const desk = {
      controller: { repos: [controller], running: [controller], awaited: new Set(), repo: () => controller },
    } as unknown as SiteDesk;
    const server = await publicServer({
      site: {
        version: "0.1.0",
        metrics: () => Promise.resolve(""),
        telemetry: new Metrics({ clock, version: "0.1.0" }).http,
        notReady: () => null,
        desk: () => desk,
      },
      access: null,
      metricsElsewhere: false,
      clock,
      log: pino({ level: "silent" }),
    });
    const keys = Array.from({ length: apps }, (_, app): AppKey => `loadbalancer-${app % 7}/production/customer-${app}`);
    const made = new BigFleet(fleet, reports, server, keys);
    made.commit();
    made.#place(hosts, appsOfHost);
    made.record();
    made.#url = await listen(server, "127.0.0.1:0");
    return made;
  }

  get url(): string {
    return this.#url;
  }

  /** A commit that changes every app: every host lags. */
  commit(): void {
    this.#commits += 1;
    const revision = revisionOf(`commit ${this.#commits}`);
    const made = this.#keys.map((key) => makeApp(key, { "etc/a.conf": String(this.#commits) }, { revision }));
    this.#apps = new Map(made.map((app) => [app.key, app]));
    this.fleet.setDesired({ apps: this.#apps, revision });
  }

  /** Every host has this record of each of its apps; what Git wants unless given. */
  record(recordOf: (app: DesiredApp) => AppRecord = (app) => makeRecord(app, { syncedAt: Date.now() })): void {
    for (const key of this.fleet.hosts.keys()) this.recordOn(key, recordOf);
  }

  recordOn(key: string, recordOf: (app: DesiredApp) => AppRecord): void {
    const { apps } = this.fleet.hosts.get(key)!;
    this.fleet.put(key, new Map(apps.map((app) => [app, recordOf(this.#apps.get(app)!)])));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.close();
  }

  #place(count: number, appsOfHost: number): void {
    const hosts = new Map<AppKey, Host[]>(this.#keys.map((key) => [key, []]));
    for (let number = 0; number < count; number += 1) {
      const host = makeHost(`10.0.${number >> 8}.${number & 255}`);
      const first = (number * appsOfHost) % this.#keys.length;
      for (const key of this.#keys.slice(first, first + appsOfHost)) hosts.get(key)!.push(host);
    }
    this.fleet.setHosts(hosts);
  }
}
