import { describe, expect, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import type { Host } from "../../../src/model/host.ts";
import type { DesiredApp } from "../../../src/model/manifest.ts";
import type { AppRecord, DesiredRecord, HostRecord } from "../../../src/model/record.ts";
import { STATES } from "../../../src/model/state.ts";
import { desiredRecord } from "../../../src/reconcile/desired-apps.ts";
import { Fleet } from "../../../src/reconcile/fleet.ts";
import { observeFleet } from "../../../src/reconcile/observation.ts";
import { Suspension } from "../../../src/reconcile/suspension.ts";
import { makeApp, makeFailure, makeHost, makeRecord, revisionOf, type Files } from "../../support/factories.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { here } from "../../support/machine.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const web = (files: Files) => makeApp(WEB, files);
const api = (files: Files) => makeApp(API, files);
const [h1, h2, h3] = ["h1", "h2", "h3"].map((name) => makeHost(name)) as [Host, Host, Host];

function setUp(stored: { apps?: DesiredRecord[]; hosts?: HostRecord[] } = {}) {
  const clock = new ManualClock();
  const fleet = new Fleet(
    {
      repo: { revision: null, problems: [] },
      apps: new Map((stored.apps ?? []).map((app) => [app.key, app])),
      hosts: new Map((stored.hosts ?? []).map((host) => [host.key, host])),
    },
    clock,
  );
  let commits = 0;
  /** Takes in a commit that holds these apps. */
  function commit(...apps: DesiredApp[]) {
    commits += 1;
    const revision = revisionOf(String(commits));
    return fleet.setDesired({ apps: new Map(apps.map((app) => [app.key, { ...app, revision }])), revision });
  }
  const put = (host: Host, app: AppKey, record: AppRecord | null) => fleet.put(host.key, new Map([[app, record]]));
  const recordOf = (host: Host, app: AppKey) => fleet.hosts.get(host.key)?.records.get(app);
  return { clock, fleet, commit, put, recordOf };
}

function answer(hosts: Record<string, readonly Host[]>): ReadonlyMap<AppKey, readonly Host[]> {
  return new Map(Object.entries(hosts) as [AppKey, readonly Host[]][]);
}

function stored(host: Host, apps: Record<string, AppRecord>): HostRecord {
  const { key, address, port, root } = host;
  return { key, address, port, root, apps: new Map(Object.entries(apps) as [AppKey, AppRecord][]) };
}

describe("whether the hosts of an app are known", () => {
  test("they are when the inventory has spoken of it, were it to say that there are none", () => {
    const { fleet, commit } = setUp({ hosts: [stored(h1, { [API]: makeRecord(api({ b: "1" })) })] });
    commit(web({ a: "1" }), api({ b: "1" }));
    const moved = fleet.watch();
    moved();
    expect([fleet.isCovered(WEB), fleet.isCovered(API)]).toEqual([false, false]);
    fleet.setHosts(answer({ [WEB]: [] }));
    expect([fleet.isCovered(WEB), fleet.isCovered(API)]).toEqual([true, false]);
    expect([...moved()]).toEqual([WEB]);
    fleet.setHosts(answer({ [WEB]: [] }));
    expect([...moved()]).toEqual([]);
    fleet.setHosts(answer({ [API]: [h1] }));
    expect(fleet.isCovered(API)).toBe(true);
  });

  test("an app that went from Git and comes back must be spoken of again; while it is gone there is nothing to say", () => {
    const { fleet, commit, put } = setUp();
    commit(web({ a: "1" }), api({ b: "1" }));
    fleet.setHosts(answer({ [WEB]: [h1], [API]: [] }));
    put(h1, WEB, makeRecord(web({ a: "1" })));
    commit(api({ b: "1" }));
    fleet.setHosts(answer({ [WEB]: [h1], [API]: [] }));
    expect(fleet.desired.get(WEB)?.retired).toBe(true);
    expect(fleet.isCovered(WEB)).toBe(true);
    put(h1, WEB, null);
    commit(web({ a: "1" }), api({ b: "1" }));
    expect([fleet.isCovered(WEB), fleet.isCovered(API)]).toEqual([false, true]);
  });
});

describe("what Git wants", () => {
  test("an app's revision is the one at which its digest was first seen", () => {
    const { clock, fleet, commit } = setUp();
    commit(web({ a: "1" }), api({ b: "1" }));
    const seenAt = clock.now();
    clock.advance(1000);
    const { changed, toStore } = commit(web({ a: "1" }), api({ b: "2" }));
    expect([...changed]).toEqual([API]);
    expect([...toStore.keys()]).toEqual([API]);
    expect(fleet.desired.get(WEB)).toMatchObject({ revision: revisionOf("1"), seenAt });
    expect(fleet.desired.get(API)).toMatchObject({ revision: revisionOf("2"), seenAt: clock.now() });
    expect(fleet.revision).toBe(revisionOf("2"));
  });

  test("also across a restart", () => {
    const first = setUp();
    first.commit(web({ a: "1" }));
    const known = desiredRecord(first.fleet.desired.get(WEB)!);
    const { clock, fleet, commit } = setUp({ apps: [{ ...known, revision: revisionOf("old"), seenAt: 5 }] });
    clock.advance(9999);
    expect(commit(web({ a: "1" })).toStore.size).toBe(0);
    expect(fleet.desired.get(WEB)).toMatchObject({ revision: revisionOf("old"), seenAt: 5 });
  });

  test("a digest that comes back is seen anew: it is a change", () => {
    const { fleet, commit } = setUp();
    for (const text of ["1", "2", "1"]) commit(web({ a: text }));
    expect(fleet.desired.get(WEB)!.revision).toBe(revisionOf("3"));
  });

  test("a commit that changes no app changes nothing and stores nothing", () => {
    const { commit } = setUp();
    commit(web({ a: "1" }));
    const { changed, toStore } = commit(web({ a: "1" }));
    expect([changed.size, toStore.size]).toEqual([0, 0]);
  });

  test("an app that is gone and never was on a host is forgotten", () => {
    const { fleet, commit } = setUp();
    commit(web({ a: "1" }), api({ b: "1" }));
    const { changed, toStore } = commit(api({ b: "1" }));
    expect([...changed]).toEqual([WEB]);
    expect(toStore.get(WEB)).toBeNull();
    expect(fleet.desired.has(WEB)).toBe(false);
  });

  test("an app that the store knows and Git does not is forgotten at the first commit", () => {
    const { commit } = setUp({
      apps: [{ key: API, digest: "d", revision: revisionOf("0"), seenAt: 1, refused: null }],
    });
    expect(commit(web({})).toStore.get(API)).toBeNull();
  });

  test("an app that becomes refused, or is no longer, without a change of its digest has changed", () => {
    const { fleet, commit } = setUp();
    const refused = { ...web({ a: "1" }), refused: { reason: "InvalidAttributes", message: "owner=$(id)" } } as const;
    commit(web({ a: "1" }));
    expect([...commit(refused).changed]).toEqual([WEB]);
    expect(fleet.desired.get(WEB)!.revision).toBe(revisionOf("1"));
    expect([...commit(refused).changed]).toEqual([]);
    const { changed, toStore } = commit(web({ a: "1" }));
    expect([...changed]).toEqual([WEB]);
    expect(toStore.get(WEB)!.refused).toBeNull();
  });
});

describe("which hosts there are", () => {
  test("a new host is added with nothing synced and lags from now on", () => {
    const { clock, fleet, commit, recordOf } = setUp();
    commit(web({ a: "1" }));
    const { added, removed, toStore } = fleet.setHosts(answer({ [WEB]: [h1, h2] }));
    expect([...added]).toEqual([h1.key, h2.key]);
    expect(removed.size).toBe(0);
    expect(toStore.get(h1.key)).toMatchObject({ address: "h1", port: 22 });
    expect(recordOf(h1, WEB)).toEqual(makeRecord(null, { lagSince: clock.now() }));
    expect([...fleet.hostsOf(WEB)]).toEqual([h1.key, h2.key]);
  });

  test("the same answer again changes nothing", () => {
    const { fleet, commit } = setUp();
    commit(web({ a: "1" }));
    fleet.setHosts(answer({ [WEB]: [h1] }));
    const { added, removed, toStore } = fleet.setHosts(answer({ [WEB]: [{ ...h1 }] }));
    expect([added.size, removed.size, toStore.size]).toEqual([0, 0, 0]);
  });

  test("a host that leaves one app keeps the other; one that leaves its last app is removed", () => {
    const { fleet, commit } = setUp();
    commit(web({ a: "1" }), api({ b: "1" }));
    fleet.setHosts(answer({ [WEB]: [h1, h2], [API]: [h1] }));
    const { removed, toStore } = fleet.setHosts(answer({ [WEB]: [], [API]: [h1] }));
    expect([...removed]).toEqual([h2.key]);
    expect(toStore.get(h2.key)).toBeNull();
    expect([...toStore.get(h1.key)!.apps.keys()]).toEqual([API]);
    expect(fleet.hosts.get(h1.key)!.apps).toEqual([API]);
  });

  test("a host that returns is a new one", () => {
    const { fleet, commit, put, recordOf } = setUp();
    const app = web({ a: "1" });
    commit(app);
    fleet.setHosts(answer({ [WEB]: [h1] }));
    put(h1, WEB, makeRecord(app));
    fleet.setHosts(answer({ [WEB]: [] }));
    expect([...fleet.setHosts(answer({ [WEB]: [h1] })).added]).toEqual([h1.key]);
    expect(recordOf(h1, WEB)!.digest).toBeNull();
  });

  test("apps that the answer does not name keep their hosts", () => {
    const { fleet, commit } = setUp();
    commit(web({ a: "1" }), api({ b: "1" }));
    fleet.setHosts(answer({ [WEB]: [h1], [API]: [h2] }));
    const { removed } = fleet.setHosts(answer({ [WEB]: [h3] }));
    expect([...removed]).toEqual([h1.key]);
    expect([...fleet.hostsOf(API)]).toEqual([h2.key]);
  });

  test("another user changes the host and forgets nothing", () => {
    const { fleet, commit, put, recordOf } = setUp();
    const app = web({ a: "1" });
    commit(app);
    fleet.setHosts(answer({ [WEB]: [h1] }));
    put(h1, WEB, makeRecord(app));
    const { added, toStore } = fleet.setHosts(answer({ [WEB]: [{ ...h1, user: "deploy" }] }));
    expect([added.size, toStore.size]).toEqual([0, 1]);
    expect(fleet.hosts.get(h1.key)!.host.user).toBe("deploy");
    expect(recordOf(h1, WEB)!.digest).toBe(app.digest);
  });

  test("another root forgets what was synced of every app, and every app lags", () => {
    const { clock, fleet, commit, put, recordOf } = setUp();
    const apps = [web({ a: "1" }), api({ b: "1" })];
    commit(...apps);
    fleet.setHosts(answer({ [WEB]: [h1], [API]: [h1] }));
    for (const app of apps) put(h1, app.key, makeRecord(app));
    const takeChanged = fleet.watch();
    takeChanged();
    clock.advance(5000);
    const moved = { ...h1, root: "/srv" };
    fleet.setHosts(answer({ [WEB]: [moved], [API]: [moved] }));
    for (const app of apps) expect(recordOf(h1, app.key)).toEqual(makeRecord(null, { lagSince: clock.now() }));
    expect([...takeChanged()].sort()).toEqual([API, WEB]);
  });

  test("an answer about an app that Git does not hold (any more) is passed over", () => {
    const { fleet, commit } = setUp();
    commit(web({ a: "1" }));
    expect(fleet.setHosts(answer({ [API]: [h1] })).toStore.size).toBe(0);
    expect(fleet.hosts.size).toBe(0);
  });

  test("hosts of the same apps list them in the same order, whatever came first", () => {
    const { fleet, commit } = setUp();
    commit(web({ a: "1" }), api({ b: "1" }));
    fleet.setHosts(answer({ [WEB]: [h1], [API]: [h2] }));
    fleet.setHosts(answer({ [WEB]: [h1, h2], [API]: [h1, h2] }));
    expect(fleet.hosts.get(h1.key)!.apps).toEqual(fleet.hosts.get(h2.key)!.apps);
  });
});

describe("after a restart", () => {
  const app = web({ a: "1" });
  const other = api({ b: "1" });
  const syncing = makeRecord(app, { syncingSince: 7 });

  test("a host that the store knows is not added anew and keeps its record; `Syncing` is not believed", () => {
    const { fleet, commit, recordOf } = setUp({ hosts: [stored(h1, { [WEB]: syncing })] });
    commit(app);
    const { added } = fleet.setHosts(answer({ [WEB]: [h1] }));
    expect(added.size).toBe(0);
    expect(recordOf(h1, WEB)).toEqual(makeRecord(app));
  });

  test("a host that the store knows and the inventory does not is removed", () => {
    const { fleet, commit } = setUp({ hosts: [stored(h1, { [WEB]: syncing })] });
    commit(app);
    const { removed, toStore } = fleet.setHosts(answer({ [WEB]: [] }));
    expect([...removed]).toEqual([h1.key]);
    expect(toStore.get(h1.key)).toBeNull();
  });

  test("records of apps that were not answered are kept in the store and in mind", () => {
    const { fleet, commit, recordOf } = setUp({
      hosts: [stored(h1, { [WEB]: makeRecord(app), [API]: makeRecord(other) })],
    });
    commit(app, other);
    fleet.setHosts(answer({ [WEB]: [h1] }));
    expect([...fleet.recordOf(h1.key)!.apps.keys()].sort()).toEqual([API, WEB]);
    expect(fleet.recordOf(h1.key)!.apps.get(API)).toEqual(makeRecord(other));
    fleet.setHosts(answer({ [API]: [h1] }));
    expect(recordOf(h1, API)).toEqual(makeRecord(other));
  });

  test("hosts that are as the store has them are looked at, and not stored again", () => {
    const { fleet, commit } = setUp({ hosts: [stored(h1, { [WEB]: makeRecord(app) })] });
    commit(app);
    const { touched, toStore } = fleet.setHosts(answer({ [WEB]: [h1, h2] }));
    expect([...touched].sort()).toEqual([h1.key, h2.key].sort());
    expect([...toStore.keys()]).toEqual([h2.key]);
  });

  test("a host whose login changed meanwhile keeps its records, and a store that keeps logins learns it", () => {
    const had = { [WEB]: makeRecord(app), [API]: makeRecord(other) };
    const { fleet, commit, recordOf } = setUp({
      hosts: [
        { ...stored(h1, had), user: "before" },
        { ...stored(h2, had), user: "root" },
      ],
    });
    commit(app, other);
    const { toStore } = fleet.setHosts(answer({ [WEB]: [h1, h2], [API]: [h1, h2] }));
    expect([...toStore.keys()]).toEqual([h1.key]);
    expect(toStore.get(h1.key)).toEqual({ ...stored(h1, had), user: "root" });
    expect(recordOf(h1, API)).toEqual(makeRecord(other));
  });

  test("a host whose root changed meanwhile has nothing of ours, and the store learns it", () => {
    const { fleet, commit, recordOf } = setUp({
      hosts: [stored(h1, { [WEB]: makeRecord(app), [API]: makeRecord(other) })],
    });
    commit(app, other);
    const moved = { ...h1, root: "/elsewhere" };
    const { toStore } = fleet.setHosts(answer({ [WEB]: [moved] }));
    expect(recordOf(h1, WEB)).toMatchObject({ digest: null });
    expect(toStore.get(h1.key)).toMatchObject({ root: "/elsewhere" });
    expect([...toStore.get(h1.key)!.apps.keys()]).toEqual([WEB]);
    fleet.setHosts(answer({ [API]: [moved] }));
    expect(recordOf(h1, API)).toMatchObject({ digest: null });
  });

  test("a host that left one app keeps the stored record of another that was not answered", () => {
    const { fleet, commit } = setUp({ hosts: [stored(h1, { [WEB]: makeRecord(app), [API]: makeRecord(other) })] });
    commit(app, other);
    const { toStore } = fleet.setHosts(answer({ [WEB]: [] }));
    expect(toStore.get(h1.key)).toEqual(stored(h1, { [API]: makeRecord(other) }));
  });

  test("lagSince of the store holds while the host still lags", () => {
    const { clock, fleet, commit, recordOf } = setUp({
      hosts: [stored(h1, { [WEB]: makeRecord(app, { lagSince: 42 }) })],
    });
    clock.advance(1000);
    commit(web({ a: "2" }));
    fleet.setHosts(answer({ [WEB]: [h1] }));
    expect(recordOf(h1, WEB)!.lagSince).toBe(42);
  });
});

describe("an app that Git no longer holds", () => {
  function retired() {
    const all = setUp();
    const app = web({ a: "1" });
    all.commit(app, api({ b: "1" }));
    all.fleet.setHosts(answer({ [WEB]: [h1, h2], [API]: [h1] }));
    all.put(h1, WEB, makeRecord(app));
    return { ...all, app, change: all.commit(api({ b: "1" })) };
  }

  test("stays wanted without files while hosts may have it", () => {
    const { fleet, change } = retired();
    expect([...change.changed]).toEqual([WEB]);
    expect(fleet.desired.get(WEB)).toMatchObject({
      retired: true,
      manifest: [],
      mod: "nginx",
      env: "prod",
      app: "web",
    });
  });

  test("takes no new hosts, and lets hosts go", () => {
    const { fleet } = retired();
    fleet.setHosts(answer({ [WEB]: [h1, h3] }));
    expect([...fleet.hostsOf(WEB)]).toEqual([h1.key]);
    expect(fleet.hosts.has(h3.key)).toBe(false);
  });

  test("is dropped when the last host has given it up, not before", () => {
    const { fleet, put } = retired();
    put(h1, WEB, null);
    expect(fleet.dropRetired().size).toBe(0);
    put(h2, WEB, null);
    expect([...fleet.dropRetired()]).toEqual([[WEB, null]]);
    expect(fleet.desired.has(WEB)).toBe(false);
    expect(fleet.hosts.get(h1.key)!.apps).toEqual([API]);
    expect(fleet.hosts.has(h2.key)).toBe(false);
  });

  test("also hosts that never synced it are let go", () => {
    const { fleet, commit } = setUp();
    commit(web({ a: "1" }));
    fleet.setHosts(answer({ [WEB]: [h1] }));
    commit(api({ b: "1" }));
    expect(fleet.desired.get(WEB)).toMatchObject({ retired: true });
    expect([...fleet.hostsOf(WEB)]).toEqual([h1.key]);
  });

  test("comes back as it was: the hosts that still have it do not lag", () => {
    const { fleet, app, commit, recordOf } = retired();
    commit(app, api({ b: "1" }));
    expect(fleet.desired.get(WEB)!.retired).toBeUndefined();
    expect(recordOf(h1, WEB)!.lagSince).toBeNull();
  });

  test("after a restart it is still known as retired, since the same time", () => {
    const { fleet } = retired();
    const known = desiredRecord(fleet.desired.get(WEB)!);
    const again = setUp({ apps: [known], hosts: [stored(h1, { [WEB]: makeRecord(web({ a: "1" })) })] });
    again.clock.advance(60_000);
    again.commit(api({ b: "1" }));
    expect(again.fleet.desired.get(WEB)).toMatchObject({
      retired: true,
      revision: known.revision,
      seenAt: known.seenAt,
    });
  });
});

describe("since when a host lags", () => {
  test("from the commit it has not, through further commits, until it is synced", () => {
    const { clock, fleet, commit, put, recordOf } = setUp();
    const first = web({ a: "1" });
    commit(first);
    fleet.setHosts(answer({ [WEB]: [h1] }));
    put(h1, WEB, makeRecord(first));
    expect(recordOf(h1, WEB)!.lagSince).toBeNull();
    clock.advance(1000);
    const began = clock.now();
    commit(web({ a: "2" }));
    clock.advance(1000);
    commit(web({ a: "3" }));
    expect(recordOf(h1, WEB)!.lagSince).toBe(began);
    put(h1, WEB, { ...recordOf(h1, WEB)!, failure: makeFailure() });
    expect(recordOf(h1, WEB)!.lagSince).toBe(began);
    put(h1, WEB, makeRecord(web({ a: "3" })));
    expect(recordOf(h1, WEB)!.lagSince).toBeNull();
  });

  test("not at all when Git goes back to what the host has", () => {
    const { fleet, commit, put, recordOf } = setUp();
    const first = web({ a: "1" });
    commit(first);
    fleet.setHosts(answer({ [WEB]: [h1] }));
    put(h1, WEB, makeRecord(first));
    commit(web({ a: "2" }));
    commit(first);
    expect(recordOf(h1, WEB)!.lagSince).toBeNull();
  });
});

describe("putting records", () => {
  function synced() {
    const all = setUp();
    const apps = [web({ a: "1" }), api({ b: "1" })] as const;
    all.commit(...apps);
    all.fleet.setHosts(answer({ [WEB]: [h1], [API]: [h1] }));
    return { ...all, apps };
  }

  test("undo brings back what was there", () => {
    const { fleet, put, recordOf, apps } = synced();
    const before = fleet.recordOf(h1.key);
    const undo = put(h1, WEB, makeRecord(apps[0]));
    expect(recordOf(h1, WEB)!.digest).toBe(apps[0].digest);
    undo();
    expect(fleet.recordOf(h1.key)).toEqual(before);
  });

  test("undo puts an app back on the host, and a host back into the fleet", () => {
    const { fleet, apps } = synced();
    fleet.put(h1.key, new Map(apps.map((app) => [app.key, makeRecord(app)])));
    const before = fleet.recordOf(h1.key);
    const undo = fleet.put(h1.key, new Map(apps.map(({ key }) => [key, null])));
    expect(fleet.hosts.size).toBe(0);
    expect(fleet.recordOf(h1.key)).toBeNull();
    undo();
    expect(fleet.recordOf(h1.key)).toEqual(before);
    expect([...fleet.hostsOf(WEB)]).toEqual([h1.key]);
  });

  test("undo leaves a record alone that has changed since", () => {
    const { put, recordOf, apps } = synced();
    const undo = put(h1, WEB, makeRecord(null, { syncingSince: 5 }));
    put(h1, WEB, makeRecord(apps[0]));
    undo();
    expect(recordOf(h1, WEB)!.digest).toBe(apps[0].digest);
  });

  test("an app or a host that the inventory took away meanwhile is passed over", () => {
    const { fleet, put, apps } = synced();
    fleet.setHosts(answer({ [WEB]: [] }));
    put(h1, WEB, makeRecord(apps[0]));
    put(h2, WEB, makeRecord(apps[0]));
    expect(fleet.hosts.get(h1.key)!.apps).toEqual([API]);
    expect(fleet.hosts.has(h2.key)).toBe(false);
  });

  test("undo does not bring a host back that the inventory took away meanwhile", () => {
    const { fleet, put, apps } = synced();
    const undo = put(h1, WEB, makeRecord(apps[0]));
    fleet.setHosts(answer({ [WEB]: [], [API]: [] }));
    undo();
    expect(fleet.hosts.size).toBe(0);
  });

  test("a look that was taken before does not change under its reader", () => {
    const { fleet, put, apps } = synced();
    const seen = fleet.hosts.get(h1.key)!;
    put(h1, WEB, makeRecord(apps[0]));
    expect(seen.records.get(WEB)!.digest).toBeNull();
  });
});

describe("what moved since the last look", () => {
  test("all at first, then only the apps whose hosts or records moved, and those that are gone", () => {
    const { fleet, commit, put } = setUp();
    const observed = observeFleet({
      repo: "files",
      fleet,
      suspension: new Suspension(false),
      connections: () => 0,
      problems: () => [],
      now: () => 0,
    });
    const app = web({ a: "1" });
    commit(app, api({ b: "1" }));
    fleet.setHosts(answer({ [WEB]: [h1, h2], [API]: [h3] }));
    expect([...observed.takeChanged()].map((one) => one.app).sort()).toEqual([API, WEB]);
    expect([...observed.takeChanged()]).toEqual([]);
    put(h1, WEB, makeRecord(app));
    const [moved] = [...observed.takeChanged()];
    const none = Object.fromEntries(STATES.map((state) => [state, 0]));
    expect(moved!.current!.hosts).toEqual({ ...none, Synced: 1, Pending: 1 });
    expect(observed.hosts).toBe(3);
    commit(api({ b: "1" }));
    for (const host of [h1, h2]) put(host, WEB, null);
    fleet.dropRetired();
    expect([...observed.takeChanged()]).toEqual([{ app: WEB, current: null }]);
  });

  test("the oldest lag of an app is told; a suspended host is not late", () => {
    const { clock, fleet, commit } = setUp();
    commit(web({ a: "1" }));
    const began = clock.now();
    fleet.setHosts(answer({ [WEB]: [h1] }));
    clock.advance(1000);
    fleet.setHosts(answer({ [WEB]: [h1, h2] }));
    const common = { repo: "files", fleet, connections: () => 0, problems: () => [], now: () => 0 };
    const [app] = [...observeFleet({ ...common, suspension: new Suspension(false) }).takeChanged()];
    expect(app!.current).toMatchObject({ lagSince: began, hosts: { Pending: 2 } });
    const [held] = [...observeFleet({ ...common, suspension: new Suspension(true) }).takeChanged()];
    expect(held!.current).toMatchObject({ lagSince: null, hosts: { Suspended: 2 } });
  });
});

test("100,000 pairs: the first answer, and the same answer again", () => {
  const { fleet, commit } = setUp();
  const keys = Array.from({ length: 10 }, (_, index): AppKey => `mod/prod/app${index}`);
  commit(...keys.map((key) => makeApp(key, { a: "1" })));
  const hosts = Array.from({ length: 10_000 }, (_, index) => makeHost(`10.${index >> 8}.${index & 255}.1`));
  const all = new Map(keys.map((key) => [key, hosts]));
  const start = performance.now();
  expect(fleet.setHosts(all).added.size).toBe(10_000);
  const first = performance.now() - start;
  expect(fleet.setHosts(all).toStore.size).toBe(0);
  const again = performance.now() - start - first;
  console.log(`setHosts of 100,000 pairs: first ${first.toFixed(0)} ms, unchanged ${again.toFixed(0)} ms`);
  expect(first).toBeLessThan(here(3000));
  expect(again).toBeLessThan(here(500));
});
