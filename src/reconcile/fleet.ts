import type { AppKey } from "../model/app.ts";
import type { Host, HostKey } from "../model/host.ts";
import type { AppRecord, DesiredRecord, HostRecord, Problem } from "../model/record.ts";
import type { Revision } from "../model/revision.ts";
import type { HostView } from "../plan/lagging.ts";
import { lags } from "../plan/state.ts";
import type { Clock } from "../ports/clock.ts";
import type { Discovery } from "../ports/git-source.ts";
import type { RepoStatus } from "../ports/status-store.ts";
import { Changes } from "./changes.ts";
import { DesiredApps, type DesiredChange, type FleetApp } from "./desired-apps.ts";
import { StoredHosts } from "./stored-hosts.ts";

/** A host with one record for each app that the inventory puts there. */
export interface FleetHost extends HostView {
  readonly host: Host;
  /** See `HostRecord.fallback`. */
  readonly fallback?: string;
}

export interface HostsChange {
  readonly added: ReadonlySet<HostKey>;
  readonly removed: ReadonlySet<HostKey>;
  /** Every host of which something changed, or that was known from the store only. */
  readonly touched: ReadonlySet<HostKey>;
  readonly toStore: ReadonlyMap<HostKey, HostRecord | null>;
}

const NEVER_SYNCED: AppRecord = {
  digest: null,
  revision: null,
  syncedAt: null,
  unfinished: [],
  lagSince: null,
  failure: null,
  syncingSince: null,
};

/**
 * Everything known of one repo's fleet, in memory: what Git wants, which hosts there are, what each
 * has. It takes news in and answers what changed and what must be stored; it stores nothing itself.
 */
export class Fleet {
  readonly #clock: Clock;
  readonly #desired: DesiredApps;
  readonly #hosts = new Map<HostKey, FleetHost>();
  /** Those of them with a `fallback`: counted without a look at all. */
  readonly #fallbacks = new Set<HostKey>();
  /** Hosts of each app, those included that are known from the store only. */
  readonly #members = new Map<AppKey, Set<HostKey>>();
  /** What the store held at the start of hosts that the inventory has not named since. */
  readonly #storedHosts: StoredHosts;
  /** Apps in Git of which the inventory has said, since they are there, on which hosts they are. */
  readonly #covered = new Set<AppKey>();
  readonly #changes = new Changes<AppKey>();

  constructor(stored: RepoStatus, clock: Clock) {
    this.#clock = clock;
    this.#desired = new DesiredApps(stored, clock);
    this.#storedHosts = new StoredHosts(stored.hosts.values());
    for (const { key, apps } of stored.hosts.values()) for (const app of apps.keys()) this.#membersOf(app).add(key);
  }

  get revision(): Revision | null {
    return this.#desired.revision;
  }

  get desired(): ReadonlyMap<AppKey, FleetApp> {
    return this.#desired.apps;
  }

  /** See `DesiredApps`. */
  get known(): ReadonlyMap<AppKey, FleetApp | DesiredRecord> {
    return this.#desired.known;
  }

  /** See `DesiredApps`. */
  get wasRead(): boolean {
    return this.#desired.wasRead;
  }

  get hosts(): ReadonlyMap<HostKey, FleetHost> {
    return this.#hosts;
  }

  /** Hosts that the inventory names and whose last sync got plain rsync though batches are what is meant for all. */
  get fallbackHosts(): number {
    return this.#fallbacks.size;
  }

  /** What the store named at the start and the inventory has not named since. */
  get stored(): Iterable<HostRecord> {
    return this.#storedHosts.values();
  }

  /** Whether the inventory names the host, or the store did at the start and nobody has spoken of it since. */
  has(key: HostKey): boolean {
    return this.#hosts.has(key) || this.#storedHosts.get(key) !== undefined;
  }

  hostsOf(app: AppKey): ReadonlySet<HostKey> {
    return this.#members.get(app) ?? new Set();
  }

  /**
   * Whether the hosts of the app are known: the inventory has named them, or has said that there are none.
   * Of an app that Git does not hold there is nothing to learn from it.
   */
  isCovered(app: AppKey): boolean {
    const desired = this.desired.get(app);
    return !desired || desired.retired === true || this.#covered.has(app);
  }

  /** Gives, at each call, the apps whose hosts or records moved since the call before, or since `watch`. */
  watch(): () => ReadonlySet<AppKey> {
    return this.#changes.watch(this.desired.keys());
  }

  /** The apps count as moved: what people have suspended changes how they look. */
  touch(apps: Iterable<AppKey>): void {
    for (const app of apps) this.#changes.note(app);
  }

  /** All of it as the store shall have it. */
  status(problems: readonly Problem[]): RepoStatus {
    const hosts = [...new Set([...this.#hosts.keys(), ...this.#storedHosts.keys()])];
    return {
      repo: { revision: this.revision, problems },
      apps: this.#desired.records,
      hosts: new Map(hosts.map((key) => [key, this.recordOf(key)!])),
    };
  }

  /** Takes the apps of a commit in. */
  setDesired({ apps, revision }: Pick<Discovery, "apps" | "revision">): DesiredChange {
    const retired = [...this.#members].filter(([key, hosts]) => !apps.has(key) && hosts.size > 0).map(([key]) => key);
    const change = this.#desired.take({ apps, revision }, retired);
    for (const app of this.#covered) if (!apps.has(app)) this.#covered.delete(app);
    for (const app of change.changed) this.#noteLag(app);
    return change;
  }

  /**
   * Takes an inventory answer in. Apps that it does not name keep their hosts. A host that leaves an
   * app is forgotten there: should it return, it is a new one. Apps that Git does not hold any more
   * (they went while the inventory was asked) are passed over.
   */
  setHosts(answer: ReadonlyMap<AppKey, readonly Host[]>): HostsChange {
    const known = new Set([...this.#hosts.keys(), ...this.#storedHosts.keys()]);
    const touched = new Set<HostKey>();
    const stale = new Set<HostKey>();
    for (const [app, listed] of answer) {
      const desired = this.desired.get(app);
      if (!desired) continue;
      this.#cover(desired);
      const hosts = desired.retired ? listed.filter(({ key }) => this.hostsOf(app).has(key)) : listed;
      this.#setMembers(app, hosts, touched, stale);
    }
    return {
      touched,
      added: new Set([...touched].filter((key) => this.#hosts.has(key) && !known.has(key))),
      removed: new Set([...touched].filter((key) => !this.#hosts.has(key))),
      toStore: new Map([...stale].map((key) => [key, this.recordOf(key)])),
    };
  }

  /**
   * Puts records of apps on a host; null takes the app off it. Apps that the inventory took off the
   * host meanwhile are passed over. `fallback` is for the host as a whole: null for none, as it was when
   * absent. Returns what undoes it; a record that has changed since stays.
   */
  put(key: HostKey, records: ReadonlyMap<AppKey, AppRecord | null>, fallback?: string | null): () => void {
    const undo: (() => void)[] = [];
    for (const [app, record] of records) {
      const host = this.#hosts.get(key);
      const before = host?.records.get(app);
      if (!host || !before) continue;
      if (record) this.#setRecord(key, app, this.#withLag(app, record));
      else this.#leave(app, key);
      const after = this.#hosts.get(key)?.records.get(app);
      undo.push(() => {
        if (this.#hosts.get(key)?.records.get(app) === after) this.#restore(host, app, before);
      });
    }
    if (fallback !== undefined) undo.push(this.#setFallback(key, fallback ?? undefined));
    return () => undo.forEach((each) => each());
  }

  /** What the store shall hold of a host; null when nothing is left of it. */
  recordOf(key: HostKey): HostRecord | null {
    const host = this.#hosts.get(key);
    const stored = this.#storedHosts.get(key);
    const named: Pick<HostRecord, "address" | "port" | "root" | "user"> | undefined = host?.host ?? stored;
    if (!named) return null;
    const others = stored?.root === named.root ? stored.apps : [];
    const apps = new Map([...others, ...(host?.records ?? [])]);
    const { address, port, root, user } = named;
    const login = user === undefined ? {} : { user };
    return { key, address, port, root, ...login, ...fallbackOf(host ?? stored), apps };
  }

  /** Forgets the apps that Git no longer holds and no host has any more; returns what to store. */
  dropRetired(): ReadonlyMap<AppKey, null> {
    const retired = [...this.desired.values()].filter((app) => app.retired && this.hostsOf(app.key).size === 0);
    const done = retired.map(({ key }) => key);
    if (done.length > 0) this.#desired.drop(done);
    this.touch(done);
    return new Map(done.map((key) => [key, null]));
  }

  #cover({ key, retired }: FleetApp): void {
    if (retired || this.#covered.has(key)) return;
    this.#covered.add(key);
    this.#changes.note(key);
  }

  /** `stale` are those of the touched hosts that the store does not have as they are now. */
  #setMembers(app: AppKey, hosts: readonly Host[], touched: Set<HostKey>, stale: Set<HostKey>): void {
    const members = this.#membersOf(app);
    const listed = new Set(hosts.map(({ key }) => key));
    for (const host of hosts) {
      const joined = this.#join(app, host);
      if (joined !== "same") touched.add(host.key);
      if (joined === "changed") stale.add(host.key);
    }
    for (const key of members) {
      if (listed.has(key)) continue;
      this.#leave(app, key);
      touched.add(key);
      stale.add(key);
    }
  }

  /** Makes sure that the app is on the host as the inventory describes it; `restored` from what the store has. */
  #join(app: AppKey, host: Host): "same" | "restored" | "changed" {
    const before = this.#hosts.get(host.key);
    if (before?.records.has(app) && before.host.user === host.user && before.host.root === host.root) return "same";
    this.#membersOf(app).add(host.key);
    const records = new Map(before?.records);
    // Not every store keeps the login; to one that does it must be told when it is another one now.
    const login = (before?.host ?? this.#storedHosts.get(host.key))?.user ?? host.user;
    const fallback = fallbackOf(before ?? this.#storedHosts.get(host.key));
    const stored = this.#storedHosts.take(host.key, app, host.root);
    const record = records.get(app) ?? stored ?? NEVER_SYNCED;
    records.set(app, this.#withLag(app, { ...record, syncingSince: null }));
    this.#changes.note(app);
    if (before && before.host.root !== host.root) this.#forgetAll(records);
    this.#setHost({ key: host.key, host, ...fallback, apps: [...records.keys()].sort(), records });
    return stored && login === host.user && !before?.records.has(app) ? "restored" : "changed";
  }

  /** Under another root there is nothing of ours yet. */
  #forgetAll(records: Map<AppKey, AppRecord>): void {
    for (const app of records.keys()) {
      records.set(app, this.#withLag(app, NEVER_SYNCED));
      this.#changes.note(app);
    }
  }

  #restore(before: FleetHost, app: AppKey, record: AppRecord): void {
    const { key } = before;
    this.#membersOf(app).add(key);
    if (!this.#hosts.has(key)) this.#setHost({ ...before, apps: [], records: new Map() });
    this.#setRecord(key, app, this.#withLag(app, record));
  }

  #leave(app: AppKey, key: HostKey): void {
    this.#changes.note(app);
    this.#membersOf(app).delete(key);
    if (this.#membersOf(app).size === 0) this.#members.delete(app);
    this.#storedHosts.take(key, app);
    const before = this.#hosts.get(key);
    if (!before) return;
    const records = new Map(before.records);
    records.delete(app);
    if (records.size > 0) return this.#setHost({ ...before, apps: [...records.keys()], records });
    this.#hosts.delete(key);
    this.#fallbacks.delete(key);
  }

  #setHost(host: FleetHost): void {
    this.#hosts.set(host.key, host);
    if (host.fallback === undefined) this.#fallbacks.delete(host.key);
    else this.#fallbacks.add(host.key);
  }

  #setRecord(key: HostKey, app: AppKey, record: AppRecord): void {
    const before = this.#hosts.get(key)!;
    const records = new Map(before.records).set(app, record);
    this.#changes.note(app);
    const apps = before.records.has(app) ? before.apps : [...records.keys()].sort();
    this.#setHost({ ...before, apps, records });
  }

  /** Returns what undoes it. */
  #setFallback(key: HostKey, fallback: string | undefined): () => void {
    const before = this.#hosts.get(key);
    if (!before || before.fallback === fallback) return () => undefined;
    const { fallback: known, ...host } = before;
    this.#setHost({ ...host, ...fallbackOf({ fallback }) });
    return () => {
      if (this.#hosts.get(key)?.fallback === fallback) this.#setFallback(key, known);
    };
  }

  #noteLag(app: AppKey): void {
    this.#changes.note(app);
    for (const key of this.hostsOf(app)) {
      const record = this.#hosts.get(key)?.records.get(app);
      if (!record) continue;
      const next = this.#withLag(app, record);
      if (next !== record) this.#setRecord(key, app, next);
    }
  }

  /** Keeps `lagSince` true: the moment the record began to differ from what is desired now. */
  #withLag(app: AppKey, record: AppRecord): AppRecord {
    const desired = this.desired.get(app);
    const lagging = desired !== undefined && lags(record, desired);
    if (lagging === (record.lagSince !== null)) return record;
    return { ...record, lagSince: lagging ? this.#clock.now() : null };
  }

  #membersOf(app: AppKey): Set<HostKey> {
    let members = this.#members.get(app);
    if (!members) this.#members.set(app, (members = new Set()));
    return members;
  }
}

function fallbackOf(host: { readonly fallback?: string | undefined } | undefined): Pick<FleetHost, "fallback"> {
  return host?.fallback === undefined ? {} : { fallback: host.fallback };
}
