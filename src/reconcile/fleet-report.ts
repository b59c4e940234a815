import type { AppKey } from "../model/app.ts";
import { hostKey, parseHostText, type HostKey } from "../model/host.ts";
import { hostOrder } from "../model/host-order.ts";
import { comparePaths } from "../model/path.ts";
import type { AppRecord } from "../model/record.ts";
import { countStates, type AppReport, type DesiredOfApp } from "../plan/status-report.ts";
import type { Clock } from "../ports/clock.ts";
import { Turns } from "../ports/turns.ts";
import type { FleetHost } from "./fleet.ts";
import { Paced } from "./paced.ts";
import { appItem, hostItem, type AppItem, type HostItem, type ItemParts } from "./report-items.ts";
import { unknownApp, unknownHost } from "./selection.ts";
import type { Suspended } from "./suspension.ts";

export interface FleetReportOptions extends ItemParts {
  readonly clock: Clock;
}

/** An app of the list. `item` is another object whenever it says something else. */
export interface ReportedApp {
  readonly key: AppKey;
  /** What the list is sorted by. */
  readonly order: string;
  readonly item: AppItem;
}

export interface ReportedHost {
  readonly key: HostKey;
  readonly order: string;
  readonly item: HostItem;
}

export interface FleetCounts {
  /** By the worst host of each. */
  readonly apps: AppReport["hosts"];
  /** By the worst app of each. */
  readonly hosts: AppReport["hosts"];
}

let lastVersion = 0;

function nextVersion(): number {
  return (lastVersion += 1);
}

/** With what the items were made of. */
type AppEntry = ReportedApp & { item: AppItem; desired: DesiredOfApp };
type HostEntry = ReportedHost & { item: HostItem; host: FleetHost | undefined; records: readonly AppRecord[] };

/**
 * What there is to say of each app and host of a fleet, for people who ask while it works. Only of what moved
 * it is said anew, in small pieces between which syncs go on, and not more often than `Paced` lets it.
 */
export class FleetReport {
  readonly #parts: ItemParts;
  readonly #clock: Clock;
  readonly #takeMoved: () => ReadonlySet<AppKey>;
  readonly #looks: Paced;
  readonly #apps = new Map<AppKey, AppEntry>();
  readonly #hosts = new Map<HostKey, HostEntry>();
  /** Apps that moved and were not looked at since. */
  #moved: Set<AppKey>;
  /** What people had stopped at the last look; null before the first. */
  #suspended: Suspended | null = null;
  #sortedApps: readonly AppEntry[] | null = null;
  #sortedHosts: readonly HostEntry[] | null = null;
  #counts: FleetCounts | null = null;
  /** Never one that the report of another fleet had: a repo may go and come again under its name. */
  #version = nextVersion();

  constructor({ clock, ...parts }: FleetReportOptions) {
    this.#parts = parts;
    this.#clock = clock;
    this.#takeMoved = parts.fleet.watch();
    this.#moved = new Set(parts.fleet.known.keys());
    this.#looks = new Paced({ clock, work: () => this.#look() });
  }

  /** Brings it up to date with all that was so before the call. */
  async upToDate(): Promise<void> {
    for (const app of this.#takeMoved()) this.#moved.add(app);
    // What only the store knows does not move when it is suspended.
    const isStale = this.#moved.size > 0 || this.#suspended !== this.#parts.suspension.now;
    await (isStale ? this.#looks.run() : this.#looks.settled);
  }

  /** Another number whenever something else is said than before. */
  get version(): number {
    return this.#version;
  }

  /** By name. */
  get apps(): readonly ReportedApp[] {
    return (this.#sortedApps ??= sorted(this.#apps.values()));
  }

  /** By address: by number where it is one. */
  get hosts(): readonly ReportedHost[] {
    return (this.#sortedHosts ??= sorted(this.#hosts.values()));
  }

  has(app: string): boolean {
    return this.#apps.has(app as AppKey);
  }

  /** Throws UnknownName. */
  app(name: string): ReportedApp {
    const found = this.#apps.get(name as AppKey);
    if (found) return found;
    throw unknownApp(name, new Set(this.#apps.keys()));
  }

  /** All at an address, or the one at an address and port; at least one. Throws UnknownName. */
  hostsNamed(name: string): readonly ReportedHost[] {
    const found = this.#hostsAt(parseHostText(name));
    if (found.length === 0) throw unknownHost(name);
    return found;
  }

  get counts(): FleetCounts {
    return (this.#counts ??= {
      apps: countStates([...this.#apps.values()].map(({ item }) => item.state)),
      hosts: countStates([...this.#hosts.values()].map(({ item }) => item.state)),
    });
  }

  #hostsAt(named: ReturnType<typeof parseHostText>): readonly ReportedHost[] {
    if (named?.port === undefined) return this.hosts.filter(({ item }) => item.address === named?.address);
    const found = this.#hosts.get(hostKey(named.address, named.port));
    return found ? [found] : [];
  }

  async #look(): Promise<void> {
    const turns = new Turns(this.#clock);
    const moved = this.#moved.union(this.#takeMoved());
    this.#moved = new Set();
    const hosts = this.#suspended === null ? this.#allHosts() : this.#movedHosts(moved, this.#suspended);
    this.#suspended = this.#parts.suspension.now;
    // As it was when the hosts were chosen: what Git wants may change on the way, and is then looked at next time.
    const desired = [...moved].map((app) => [app, this.#parts.fleet.known.get(app)] as const);
    for (const [app, wanted] of desired) {
      this.#lookAtApp(app, wanted);
      await turns.pause();
    }
    for (const key of hosts) {
      this.#lookAtHost(key);
      await turns.pause();
    }
  }

  #allHosts(): ReadonlySet<HostKey> {
    const { hosts, stored } = this.#parts.fleet;
    return new Set([...hosts.keys(), ...[...stored].map(({ key }) => key)]);
  }

  /** Hosts of which something moved, and all hosts of apps that Git or people want otherwise now. */
  #movedHosts(moved: ReadonlySet<AppKey>, suspended: Suspended): ReadonlySet<HostKey> {
    const { fleet, suspension } = this.#parts;
    const found = new Set<HostKey>();
    for (const [key, { host }] of this.#hosts) {
      // What is known from the store only is not an object that is replaced when it changes.
      if (host === undefined || host !== fleet.hosts.get(key)) found.add(key);
    }
    for (const app of moved) {
      const all = suspended !== suspension.now || this.#apps.get(app)?.desired !== fleet.known.get(app);
      for (const key of fleet.hostsOf(app)) if (all || !this.#hosts.has(key)) found.add(key);
    }
    return found;
  }

  #lookAtApp(key: AppKey, desired: DesiredOfApp | undefined): void {
    const before = this.#apps.get(key);
    if (!desired) {
      if (!this.#apps.delete(key)) return;
      this.#sortedApps = null;
      return this.#changed();
    }
    const item = appItem(this.#parts, desired);
    if (!before) {
      this.#apps.set(key, { key, order: key, item, desired });
      this.#sortedApps = null;
      return this.#changed();
    }
    before.desired = desired;
    if (JSON.stringify(before.item) === JSON.stringify(item)) return;
    before.item = item;
    this.#changed();
  }

  #lookAtHost(key: HostKey): void {
    const { fleet } = this.#parts;
    const record = fleet.recordOf(key);
    const item = record && hostItem(this.#parts, record);
    const before = this.#hosts.get(key);
    if (!item) {
      if (!this.#hosts.delete(key)) return;
      this.#sortedHosts = null;
      return this.#changed();
    }
    const host = fleet.hosts.get(key);
    const records = item.apps.map(({ app }) => record.apps.get(app)!);
    if (!before) {
      this.#hosts.set(key, { key, order: orderOf(item, key), item, host, records });
      this.#sortedHosts = null;
      return this.#changed();
    }
    before.host = host;
    if (saysTheSame(before, item, records)) return;
    before.item = item;
    before.records = records;
    this.#changed();
  }

  #changed(): void {
    this.#version = nextVersion();
    this.#counts = null;
  }
}

/** No two hosts have the same, though an IPv6 address may be written in several ways. */
function orderOf({ address, port }: HostItem, key: HostKey): string {
  return `${hostOrder(address, port)} ${key}`;
}

/** Whether nothing of what the item is made of is another one. */
function saysTheSame(before: HostEntry, item: HostItem, records: readonly AppRecord[]): boolean {
  if (before.item.suspended !== item.suspended || before.item.fallback !== item.fallback) return false;
  if (before.records.length !== records.length) return false;
  return item.apps.every((next, at) => {
    const { app, state, message } = before.item.apps[at]!;
    return before.records[at] === records[at] && app === next.app && state === next.state && message === next.message;
  });
}

function sorted<Entry extends { readonly order: string }>(entries: Iterable<Entry>): readonly Entry[] {
  return [...entries].sort((a, b) => comparePaths(a.order, b.order));
}
