import { appId, type AppKey } from "../model/app.ts";
import { STATES } from "../model/state.ts";
import type { Clock } from "../ports/clock.ts";
import type { AppObservation, FleetObservation } from "../ports/telemetry.ts";
import { GaugeLines, labelText, type GaugeSeries } from "./gauge-lines.ts";
import type { Turns } from "../ports/turns.ts";

const APP = ["repo", "mod", "env", "app"];

/** What the fleets look like now: the gauges that are asked for at a scrape. A scrape writes the apps that moved anew. */
export class FleetInstruments {
  readonly #clock: Clock;
  readonly #fleets = new Map<string, ShownFleet>();
  readonly #gauges = {
    appHosts: new GaugeLines("fssync_app_hosts", "Hosts of an app by state.", [...APP, "state"]),
    appInfo: new GaugeLines("fssync_app_info", "Always 1; the revision that an app shall have.", [...APP, "revision"]),
    lag: new GaugeLines(
      "fssync_app_oldest_lag_seconds",
      "Seconds since the host of an app that lags the longest began to lag behind Git; 0 when none does.",
      APP,
    ),
    failures: new GaugeLines(
      "fssync_app_failures",
      "Hosts of an app that failed, were not reached or are held, by reason.",
      [...APP, "reason"],
    ),
    driftedFiles: new GaugeLines(
      "fssync_drifted_files",
      "Files on the hosts of an app that somebody else changed.",
      APP,
    ),
    recurringFiles: new GaugeLines(
      "fssync_drift_recurring_files",
      "Files on the hosts of an app that drifted three times or more within a day.",
      APP,
    ),
    problems: new GaugeLines("fssync_problems", "What is wrong with Git and the inventory now, by reason.", [
      "repo",
      "reason",
    ]),
    hosts: new GaugeLines("fssync_inventory_hosts", "Hosts in the inventory.", ["repo"]),
    fallbackHosts: new GaugeLines("fssync_fallback_hosts", "Hosts that got plain rsync instead of a batch.", ["repo"]),
    connections: new GaugeLines("fssync_ssh_connections", "Connections to hosts, open or being opened.", ["repo"]),
    suspended: new GaugeLines("fssync_suspended", "1 while work is suspended.", ["repo", "kind", "name"]),
  };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  observe(repo: string, fleet: FleetObservation): void {
    this.remove(repo);
    this.#fleets.set(repo, { repo, fleet, apps: new Map(), lagging: new Map() });
  }

  /** Removes every series of the repo. */
  remove(repo: string): void {
    const shown = this.#fleets.get(repo);
    if (!shown) return;
    for (const labels of shown.apps.values()) this.#removeApp(labels);
    for (const gauge of this.#ofRepo) gauge.remove(repo);
    this.#fleets.delete(repo);
  }

  /** Brings the gauges up to date. A repo that is removed meanwhile stays removed. */
  async refresh(turns: Turns): Promise<void> {
    for (const shown of this.#fleets.values()) await this.#refreshFleet(shown, turns);
  }

  get families(): readonly GaugeLines[] {
    return Object.values(this.#gauges);
  }

  get #ofRepo(): GaugeLines[] {
    const { problems, hosts, fallbackHosts, connections, suspended } = this.#gauges;
    return [problems, hosts, fallbackHosts, connections, suspended];
  }

  async #refreshFleet(shown: ShownFleet, turns: Turns): Promise<void> {
    const { repo, fleet } = shown;
    for (const observed of fleet.takeChanged()) {
      if (this.#fleets.get(repo) !== shown) return;
      this.#refreshApp(shown, observed);
      await turns.pause();
    }
    if (this.#fleets.get(repo) === shown) this.#refreshRepo(shown);
  }

  #refreshRepo({ repo, fleet, apps, lagging }: ShownFleet): void {
    const gauges = this.#gauges;
    gauges.hosts.set(repo, [{ labels: labelText({ repo }), value: fleet.hosts }]);
    gauges.fallbackHosts.set(repo, [{ labels: labelText({ repo }), value: fleet.fallbackHosts }]);
    gauges.connections.set(repo, [{ labels: labelText({ repo }), value: fleet.connections }]);
    gauges.problems.set(repo, byReason(labelText({ repo }), fleet.problems()));
    const objects = fleet.suspended().map(({ kind, name, suspended }) => ({
      labels: labelText({ repo, kind, name }),
      value: suspended ? 1 : 0,
    }));
    gauges.suspended.set(repo, objects);
    const now = this.#clock.now();
    for (const [app, since] of lagging) {
      const labels = apps.get(app)!;
      gauges.lag.set(labels, [{ labels, value: Math.max(0, now - since) / 1000 }]);
    }
  }

  #refreshApp({ repo, apps, lagging }: ShownFleet, { app, current }: AppObservation): void {
    const labels = apps.get(app) ?? labelText({ repo, ...appId(app) });
    lagging.delete(app);
    if (!current) {
      apps.delete(app);
      this.#removeApp(labels);
      return;
    }
    apps.set(app, labels);
    if (current.lagSince !== null) lagging.set(app, current.lagSince);
    this.#showApp(labels, current);
  }

  #showApp(labels: string, { revision, hosts, driftedFiles, recurringFiles, failures }: ShownApp): void {
    const gauges = this.#gauges;
    const byState = STATES.map((state) => ({ labels: `${labels},state="${state}"`, value: hosts[state] }));
    gauges.appHosts.set(labels, byState);
    gauges.appInfo.set(labels, [{ labels: `${labels},${labelText({ revision })}`, value: 1 }]);
    gauges.lag.set(labels, [{ labels, value: 0 }]);
    gauges.failures.set(labels, byReason(labels, failures));
    gauges.driftedFiles.set(labels, [{ labels, value: driftedFiles }]);
    gauges.recurringFiles.set(labels, [{ labels, value: recurringFiles }]);
  }

  #removeApp(labels: string): void {
    for (const gauge of this.families) gauge.remove(labels);
  }
}

function byReason(labels: string, counts: ReadonlyMap<string, number>): GaugeSeries[] {
  return [...counts].map(([reason, value]) => ({ labels: `${labels},reason="${reason}"`, value }));
}

type ShownApp = NonNullable<AppObservation["current"]>;

interface ShownFleet {
  readonly repo: string;
  readonly fleet: FleetObservation;
  /** Labels of each app whose series stand. */
  readonly apps: Map<AppKey, string>;
  /** Since when, of the apps that lag. */
  readonly lagging: Map<AppKey, number>;
}
