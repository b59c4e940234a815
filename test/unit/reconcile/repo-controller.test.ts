import { describe, expect, onTestFinished, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import type { Host } from "../../../src/model/host.ts";
import { revisionCommit } from "../../../src/model/revision.ts";
import type { RepoControllerOptions } from "../../../src/reconcile/repo-controller.ts";
import { quiet } from "../../support/fakes.ts";
import { makeApp, makeHost, type Files } from "../../support/factories.ts";
import { GIT_INTERVAL, INVENTORY_INTERVAL, Rig } from "./rig.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const ALL = {};
const FULL = { full: true, allowPrune: false };
const LAGGING = { full: false, allowPrune: false };

function setUp(overrides: Partial<RepoControllerOptions> = {}): Rig {
  const rig = new Rig(overrides);
  onTestFinished(() => rig[Symbol.asyncDispose]());
  return rig;
}

function hosts(count: number): Host[] {
  return Array.from({ length: count }, (_, index) => makeHost(`h${index}`));
}

/** A controller at rest: these apps, all on these hosts, all synced. */
async function synced(
  apps: Record<string, Files>,
  on: readonly Host[],
  overrides: Partial<RepoControllerOptions> = {},
) {
  const rig = setUp(overrides);
  rig.source.push(apps);
  for (const app of Object.keys(apps)) rig.inventory.set(app, on);
  await rig.start();
  for (const host of on)
    for (const app of Object.keys(apps)) expect(rig.record(host.key, app)?.digest).toBe(rig.digest(app));
  rig.transport.applies.length = 0;
  rig.source.lookups.length = 0;
  rig.log.lines.length = 0;
  return rig;
}

const unreachable = () => new FssyncError("ConnectTimeout", "no answer");
const diskFull = () => new FssyncError("NoSpace", "the disk is full");
const [h0, h1] = hosts(2) as [Host, Host];

test("the hosts of an app are known when Git was read and the inventory has answered for it", async () => {
  const rig = setUp();
  rig.source.error = new FssyncError("FetchFailed", "no route to the remote");
  rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "1" } });
  rig.inventory.set(WEB, [h0]);
  rig.inventory.silent.add(API);
  await rig.start();
  const known = () => [WEB, API, "gone/prod/app" as const].map((app) => rig.controller.knows(app));
  expect(known()).toEqual([false, false, false]);
  rig.source.error = null;
  await rig.pass(60_000, 5000);
  expect(known()).toEqual([true, false, true]);
  rig.inventory.silent.clear();
  await rig.pass(600_000, 10_000);
  expect(known()).toEqual([true, true, true]);
});

describe("from Git and inventory to the hosts", () => {
  test("at the first start every host gets all its apps in one run, and it is recorded", async () => {
    const rig = setUp();
    const revision = rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "1" } });
    rig.inventory.set(WEB, [h0, h1]);
    rig.inventory.set(API, [h0]);
    await rig.start();
    expect(rig.transport.applies.map(({ host, change }) => [host, change.apps.map(({ app }) => app).sort()])).toEqual([
      [h0.key, [API, WEB]],
      [h1.key, [WEB]],
    ]);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({
      digest: rig.digest(WEB),
      revision,
      unfinished: [],
      failure: null,
    });
    expect(rig.telemetry.syncs).toEqual(["success", "success"]);
    expect(rig.events("NewRevision")).toHaveLength(1);
    expect(rig.events("HostAdded")).toMatchObject([{ count: 2 }]);
    expect(rig.events("SyncSucceeded")).toHaveLength(2);
    expect(rig.source.pinned).toContain(revision.split(":")[1]);
  });

  test("at rest nothing is looked up, sent or written", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, hosts(5));
    const { saves } = rig.store;
    await rig.pass(20 * INVENTORY_INTERVAL, GIT_INTERVAL);
    expect(rig.source.polls).toBeGreaterThan(50);
    expect([rig.transport.applies.length, rig.source.lookups.length, rig.store.saves]).toEqual([0, 0, saves]);
  });

  test("a commit touches only the hosts of the apps it changes", async () => {
    const rig = setUp();
    rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "1" } });
    const all = hosts(10);
    rig.inventory.set(WEB, all.slice(0, 3));
    rig.inventory.set(API, all.slice(3));
    await rig.start();
    rig.transport.applies.length = rig.source.lookups.length = 0;
    rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "1" } });
    await rig.pollGit();
    expect(rig.transport.applies.map(({ host }) => host)).toEqual(all.slice(0, 3).map(({ key }) => key));
    expect(rig.source.lookups).toHaveLength(3);
    expect(rig.source.lookups.every((lookup) => lookup.startsWith(WEB))).toBe(true);
  });

  test("two commits between two polls are one exact change from what the host has", async () => {
    const rig = await synced({ [WEB]: { a: "1", b: "1", c: "1", d: "1", e: "1" } }, [h0]);
    rig.source.push({ [WEB]: { a: "2", b: "1", c: "1", d: "1", e: "1" } });
    rig.source.push({ [WEB]: { a: "2", b: "2", c: "1", d: "1" } });
    await rig.pollGit();
    const [{ change }] = rig.transport.applies as [(typeof rig.transport.applies)[0]];
    expect(change.apps[0]!.send.map(({ path }) => path)).toEqual(["a", "b"]);
    expect(change.apps[0]!.delete).toEqual(["e"]);
  });

  test("hosts that need the same share one preparation, whenever they come", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, hosts(20));
    expect(rig.transport.prepared).toHaveLength(1);
  });

  test("a host that the inventory adds is synced, and nobody else", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.inventory.set(WEB, [h0, h1]);
    await rig.pass(INVENTORY_INTERVAL * 1.1);
    expect(rig.transport.applies.map(({ host }) => host)).toEqual([h1.key]);
    expect(rig.events("HostAdded")).toMatchObject([{ hosts: [h1.key] }]);
  });

  test("a host that leaves the inventory is forgotten and its files are left alone", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0, h1]);
    rig.inventory.set(WEB, [h0]);
    await rig.pass(INVENTORY_INTERVAL * 1.1);
    expect(rig.transport.applies).toEqual([]);
    expect(await rig.stored(h1.key, WEB)).toBeUndefined();
    expect(rig.events("HostRemoved")).toMatchObject([{ hosts: [h1.key] }]);
  });

  test("an app that is new in Git has its hosts asked for at once", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.inventory.set(API, [h1]);
    rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "1" } });
    await rig.pollGit();
    expect(rig.transport.applies.map(({ host }) => host)).toEqual([h1.key]);
  });

  test("an inventory that tells of news is asked at once", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.inventory.set(WEB, [h0, h1]);
    rig.inventory.tell();
    await quiet();
    expect(rig.transport.applies.map(({ host }) => host)).toEqual([h1.key]);
  });

  test("an app that is gone from Git is removed from its hosts and then forgotten", async () => {
    const rig = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } }, [h0], {
      prune: { prune: true, maxDeletePercent: 100 },
    });
    rig.source.push({ [API]: { b: "1" } });
    await rig.pollGit();
    expect(rig.transport.applies.map(({ change }) => change.apps)).toMatchObject([
      [{ app: WEB, send: [], delete: ["a"] }],
    ]);
    expect(rig.controller.fleet.desired.has(WEB)).toBe(false);
    const { apps, hosts: kept } = await rig.store.load("repo");
    expect([...apps.keys()]).toEqual([API]);
    expect([...kept.get(h0.key)!.apps.keys()]).toEqual([API]);
  });

  test("an app that is gone is tried again when the store refuses to forget it", async () => {
    const rig = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } }, [h0], {
      prune: { prune: true, maxDeletePercent: 100 },
    });
    rig.transport.onApply = () => void (rig.store.nextSaveError = new Error("disk full"));
    rig.source.push({ [API]: { b: "1" } });
    await rig.pollGit();
    expect(rig.record(h0.key, WEB)).toMatchObject({ digest: makeApp(WEB, { a: "1" }).digest });
    rig.transport.onApply = () => {};
    await rig.pass(1000);
    expect(rig.transport.applies).toHaveLength(2);
    expect(await rig.stored(h0.key, WEB)).toBeUndefined();
    expect(rig.controller.fleet.desired.has(WEB)).toBe(false);
  });

  test("an app that comes back while it is being removed is synced anew", async () => {
    const rig = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } }, [h0], {
      prune: { prune: true, maxDeletePercent: 100 },
    });
    rig.source.push({ [API]: { b: "1" } });
    rig.transport.hold(h0.key);
    await rig.pollGit();
    rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "1" } });
    await rig.pollGit();
    rig.transport.release(h0.key);
    await quiet();
    expect(rig.transport.applies.map(({ change }) => change.apps[0]!.send.length)).toEqual([0, 1]);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: rig.digest(WEB), unfinished: [] });
  });
});

describe("what is recorded", () => {
  test("that a sync began, before the first byte is sent; success only after it", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    const revision = rig.source.push({ [WEB]: { a: "2" } });
    rig.transport.hold(h0.key);
    await rig.pollGit();
    const old = makeApp(WEB, { a: "1" }).digest;
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: old, unfinished: [revision] });
    rig.transport.release(h0.key);
    await quiet();
    expect(await rig.stored(h0.key, WEB)).toMatchObject({
      digest: rig.digest(WEB),
      revision,
      unfinished: [],
      lagSince: null,
    });
  });

  test("nothing is sent when that cannot be stored; it is tried again", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.source.push({ [WEB]: { a: "2" } });
    const save = rig.store.save.bind(rig.store);
    rig.store.save = async (repo, change) => {
      if (change.hosts?.has(h0.key)) throw new Error("disk full");
      return save(repo, change);
    };
    await rig.pollGit();
    expect(rig.transport.applies).toEqual([]);
    expect(rig.record(h0.key, WEB)!.unfinished).toEqual([]);
    rig.store.save = save;
    await rig.pass(1000);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: rig.digest(WEB) });
  });

  test("when the store refuses the success, nothing counts as synced and it is tried again", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.source.push({ [WEB]: { a: "2" } });
    rig.transport.onApply = () => void (rig.store.nextSaveError = new Error("disk full"));
    await rig.pollGit();
    expect(rig.record(h0.key, WEB)!.digest).not.toBe(rig.digest(WEB));
    rig.transport.onApply = () => {};
    await rig.pass(1000);
    expect(rig.transport.applies).toHaveLength(2);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: rig.digest(WEB), unfinished: [] });
  });

  test("a commit that could not be stored is stored with the next poll", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, []);
    rig.store.nextSaveError = new Error("disk full");
    const revision = rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    await rig.pollGit();
    const { repo, apps } = await rig.store.load("repo");
    expect(repo.revision).toBe(revision);
    expect(apps.get(WEB)).toMatchObject({ revision, digest: rig.digest(WEB) });
  });

  test("hosts that left while the store refused are removed from it later", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0, h1]);
    rig.inventory.set(WEB, [h0]);
    rig.store.nextSaveError = new Error("disk full");
    await rig.pass(INVENTORY_INTERVAL * 1.1);
    await rig.pollGit();
    expect(await rig.stored(h1.key, WEB)).toBeUndefined();
  });

  test("a failure of one app is that app's alone", async () => {
    const rig = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } }, [h0]);
    rig.transport.refuses = (_, app) => (app === API ? diskFull() : null);
    rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "2" } });
    await rig.pollGit();
    expect(rig.transport.applies).toHaveLength(1);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: rig.digest(WEB), failure: null });
    expect(await rig.stored(h0.key, API)).toMatchObject({
      digest: makeApp(API, { b: "1" }).digest,
      failure: { state: "Failed", reason: "NoSpace", message: "the disk is full", attempts: 1 },
    });
    rig.transport.refuses = () => null;
    await rig.pass(1000);
    expect(rig.transport.applies[1]!.change.apps.map(({ app }) => app)).toEqual([API]);
    expect(await rig.stored(h0.key, API)).toMatchObject({ digest: rig.digest(API), failure: null, unfinished: [] });
  });

  test("an app that the transport says nothing about is not synced", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.transport.forgets.add(WEB);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    expect(rig.record(h0.key, WEB)).toMatchObject({ failure: { reason: "Internal" } });
    expect(rig.record(h0.key, WEB)!.digest).not.toBe(rig.digest(WEB));
  });

  test("a sync that takes long is stored as such, a quick one is not", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.source.push({ [WEB]: { a: "2" } });
    rig.transport.hold(h0.key);
    await rig.pollGit();
    expect((await rig.stored(h0.key, WEB))!.syncingSince).toBeNull();
    await rig.pass(2000);
    expect((await rig.stored(h0.key, WEB))!.syncingSince).toBe(rig.clock.now());
    rig.transport.release(h0.key);
    await quiet();
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: rig.digest(WEB), syncingSince: null });
  });

  test("a late refusal to store `Syncing` takes nothing back", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.source.push({ [WEB]: { a: "2" } });
    rig.transport.hold(h0.key);
    await rig.pollGit();
    const save = rig.store.save.bind(rig.store);
    const late = Promise.withResolvers<void>();
    rig.store.save = () => late.promise;
    await rig.pass(2000);
    rig.store.save = save;
    rig.transport.release(h0.key);
    await quiet();
    late.reject(new Error("disk full"));
    await quiet();
    expect(rig.record(h0.key, WEB)).toMatchObject({ digest: rig.digest(WEB), syncingSince: null });
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: rig.digest(WEB) });
  });
});

describe("failures and retries", () => {
  test("a host that is down is tried again after 1 s, doubling to 5 min, and gets the newest digest", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.clock.chance = 0.5; // delays are three quarters of the full ones, polls beat without jitter
    rig.transport.refuses = unreachable;
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    const times: number[] = [];
    rig.transport.onApply = () => void times.push(rig.clock.monotonic());
    const start = rig.clock.monotonic();
    await rig.pass(3_000_000, 250);
    const gaps = times.map((time, index) => time - (times[index - 1] ?? start));
    expect(gaps.slice(0, 12)).toEqual([
      750, 1500, 3000, 6000, 12_000, 24_000, 48_000, 96_000, 192_000, 225_000, 225_000, 225_000,
    ]);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({
      failure: { state: "Unreachable", reason: "ConnectTimeout", attempts: times.length + 1 },
      unfinished: [],
    });
    rig.source.push({ [WEB]: { a: "3" } });
    await rig.pollGit();
    rig.transport.refuses = () => null;
    await rig.pass(300_000, 1000);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: rig.digest(WEB), failure: null });
    expect(rig.telemetry.syncs.at(-1)).toBe("success");
  });

  test("a commit does not hurry a host that is down, but one that failed", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0, h1]);
    rig.transport.refuses = (host) => (host === h0.key ? unreachable() : diskFull());
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pass(140_000, 1000); // the next retry is further away than the next poll
    rig.transport.applies.length = 0;
    rig.source.push({ [WEB]: { a: "3" } });
    await rig.pollGit();
    expect(rig.transport.applies.map(({ host }) => host)).toEqual([h1.key]);
  });

  test("the failure is told once; its repetitions are for debugging", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.transport.refuses = diskFull;
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    await rig.pass(60_000, 500);
    expect(rig.events("SyncFailed").map(({ level }) => level)).toEqual([
      40,
      ...Array(rig.transport.applies.length - 1).fill(20),
    ]);
  });

  test("Git goes back to what an unreachable host has: no connection is opened and the failure is over", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.transport.refuses = unreachable;
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    const { length } = rig.transport.applies;
    rig.source.push({ [WEB]: { a: "1" } });
    rig.transport.refuses = () => null;
    await rig.controller.refresh(new AbortController().signal); // before the retry
    await rig.pass(300_000, 1000);
    expect(rig.transport.applies).toHaveLength(length);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ failure: null, lagSince: null, digest: rig.digest(WEB) });
  });

  test("Git goes back after a sync that broke off: what it may have put there is put right", async () => {
    const rig = await synced({ [WEB]: { a: "1", b: "1" } }, [h0], { prune: { prune: true, maxDeletePercent: 100 } });
    rig.transport.refuses = () => new FssyncError("ConnectionLost", "gone");
    rig.source.push({ [WEB]: { a: "2", c: "1", b: "1" } });
    await rig.pollGit();
    expect((await rig.stored(h0.key, WEB))!.unfinished).toHaveLength(1);
    rig.transport.refuses = () => null;
    rig.source.push({ [WEB]: { a: "1", b: "1" } });
    await rig.controller.refresh(new AbortController().signal);
    await rig.pass(10_000, 500);
    const { apps } = rig.transport.applies.at(-1)!.change;
    expect(apps[0]!.send.map(({ path }) => path)).toEqual(["a"]);
    expect(apps[0]!.delete).toEqual(["c"]);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: rig.digest(WEB), unfinished: [], failure: null });
  });

  test("Git goes back after a sync that broke off and only added files, with prune off: the host is synced", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0], { prune: { prune: false, maxDeletePercent: 20 } });
    rig.transport.refuses = () => new FssyncError("ConnectionLost", "gone");
    rig.source.push({ [WEB]: { a: "1", b: "1" } });
    await rig.pollGit();
    rig.source.push({ [WEB]: { a: "1" } });
    await rig.controller.refresh(new AbortController().signal);
    await rig.pass(10_000, 500);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ unfinished: [], failure: null, lagSince: null });
  });

  test("a snapshot that could not be written once is tried again by the retry", async () => {
    const rig = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } }, [h0]);
    const { tree } = makeApp(WEB, { a: "2" });
    rig.source.broken.set(tree, new FssyncError("ControllerNoSpace", "disk full"));
    rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "2" } });
    await rig.pollGit();
    expect(await rig.stored(h0.key, API)).toMatchObject({ digest: rig.digest(API) });
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ failure: { reason: "ControllerNoSpace" } });
    await rig.pass(2000, 250);
    rig.source.broken.clear();
    await rig.pass(60_000, 500);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: rig.digest(WEB), failure: null });
  });

  test("the controller's full disk while preparing is every host's failure, and over with it", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0, h1]);
    rig.transport.nextPrepareError = new FssyncError("ControllerNoSpace", "disk full");
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    await rig.pass(2000, 250);
    for (const host of [h0, h1])
      expect(await rig.stored(host.key, WEB)).toMatchObject({ digest: rig.digest(WEB), failure: null });
  });

  test("without retry, a failed host waits for somebody to ask", async () => {
    const rig = setUp({ retry: false });
    rig.source.push({ [WEB]: { a: "1" } });
    rig.inventory.set(WEB, [h0]);
    rig.transport.refuses = diskFull;
    await rig.start();
    await rig.pass(300_000, 10_000);
    expect(rig.transport.applies).toHaveLength(1);
  });
});

describe("held changes", () => {
  const ten = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`f${index}`, "1"]));
  const five = Object.fromEntries(Object.entries(ten).slice(5));

  async function held() {
    const rig = await synced({ [WEB]: ten }, [h0, h1]);
    rig.source.push({ [WEB]: five });
    await rig.pollGit();
    return rig;
  }

  test("are neither retried nor written again, and told once", async () => {
    const rig = await held();
    expect(await rig.stored(h0.key, WEB)).toMatchObject({
      failure: { state: "Failed", reason: "PruneLimitExceeded", attempts: 1 },
    });
    const { saves } = rig.store;
    await rig.pass(3_600_000, 60_000);
    expect(rig.transport.applies).toEqual([]);
    expect(rig.store.saves).toBe(saves);
    expect(rig.events("PruneLimitExceeded").filter(({ level }) => level === 40)).toHaveLength(2);
  });

  test("go through when somebody allows it, for that host alone", async () => {
    const rig = await held();
    await rig.controller.request({ hosts: new Set([h0.key]) }, { full: false, allowPrune: true }).finished;
    expect(rig.transport.applies.map(({ host, change }) => [host, change.apps[0]!.delete.length])).toEqual([
      [h0.key, 5],
    ]);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: rig.digest(WEB), failure: null });
    expect(await rig.stored(h1.key, WEB)).toMatchObject({ failure: { reason: "PruneLimitExceeded" } });
  });

  test("what was allowed for one change is not allowed for the next one", async () => {
    const rig = await held();
    rig.transport.refuses = unreachable;
    await rig.controller.request({ hosts: new Set([h0.key]) }, { full: false, allowPrune: true }).finished;
    rig.source.push({ [WEB]: { f9: "1" } });
    await rig.controller.refresh(new AbortController().signal);
    rig.transport.refuses = () => null;
    rig.transport.applies.length = 0;
    await rig.pass(600_000, 5000);
    expect(rig.transport.applies).toEqual([]);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ failure: { reason: "PruneLimitExceeded" } });
  });

  test("two apps that claim one path: both are in conflict, and both are free when one gives up", async () => {
    const rig = setUp();
    rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "1" } });
    for (const app of [WEB, API]) rig.inventory.set(app, [h0]);
    await rig.start();
    rig.source.push({ [WEB]: { a: "1" }, [API]: { a: "2", b: "1" } });
    await rig.pollGit();
    for (const app of [WEB, API])
      expect(await rig.stored(h0.key, app)).toMatchObject({ failure: { state: "Conflict" } });
    expect(rig.transport.applies).toHaveLength(1);
    rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "1" } });
    await rig.pollGit();
    for (const app of [WEB, API])
      expect(await rig.stored(h0.key, app)).toMatchObject({ failure: null, digest: rig.digest(app) });
    expect(rig.transport.applies).toHaveLength(1);
  });

  test("an app that a line above it refuses is looked at again when the line is mended", async () => {
    const rig = setUp();
    const app = makeApp(WEB, { a: "1" });
    const refused = { reason: "InvalidAttributes", message: "owner=$(id)" } as const;
    rig.source.push({ [WEB]: { ...app, refused } });
    rig.inventory.set(WEB, [h0]);
    await rig.start();
    expect(rig.transport.applies).toEqual([]);
    expect(rig.record(h0.key, WEB)).toMatchObject({ failure: { reason: "InvalidAttributes" } });
    rig.source.push({ [WEB]: app });
    await rig.pollGit();
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: app.digest, failure: null });
  });
});

describe("many at a time", () => {
  test("one host is never worked on twice at a time; a commit during its sync is synced afterwards", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.source.push({ [WEB]: { a: "2" } });
    rig.transport.hold(h0.key);
    await rig.pollGit();
    for (const text of ["3", "4"]) {
      rig.source.push({ [WEB]: { a: text } });
      await rig.pollGit();
    }
    expect(rig.transport.applies).toHaveLength(1);
    rig.transport.release(h0.key);
    await quiet();
    expect(rig.transport.applies).toHaveLength(2);
    expect(rig.transport.mostPerHost).toBe(1);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: rig.digest(WEB) });
  });

  test("a commit that changes several apps of a host that is down costs one attempt", async () => {
    const rig = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } }, hosts(3));
    rig.transport.refuses = unreachable;
    rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "2" } });
    await rig.pollGit();
    expect(rig.transport.applies).toHaveLength(3);
  });

  test("of 64 hosts one hangs: the others finish", async () => {
    const all = hosts(64);
    const rig = await synced({ [WEB]: { a: "1" } }, all, { concurrency: 8 });
    rig.transport.hold(all[0]!.key);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    expect(all.filter(({ key }) => rig.record(key, WEB)!.digest === rig.digest(WEB))).toHaveLength(63);
    expect(rig.transport.mostAtOnce).toBeLessThanOrEqual(8);
  });

  test("hosts that are known to be down never take more than half of the workers", async () => {
    const down = hosts(30);
    const up = makeHost("up");
    const rig = await synced({ [WEB]: { a: "1" } }, [...down, up], { concurrency: 8 });
    rig.transport.refuses = (host) => (host === up.key ? null : unreachable());
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    for (const { key } of down) rig.transport.hold(key);
    await rig.pass(300_000, 1000);
    expect(rig.transport.running.size).toBe(4);
    rig.source.push({ [WEB]: { a: "3" } });
    await rig.pollGit();
    expect(rig.record(up.key, WEB)!.digest).toBe(rig.digest(WEB));
  });
});

describe("requests", () => {
  test("full: synced hosts are sent everything again, with nothing deleted by guess", async () => {
    const rig = await synced({ [WEB]: { a: "1", b: "1" } }, [h0, h1]);
    const operation = rig.controller.request(ALL, FULL);
    const left: number[] = [];
    operation.onAttempted((_, rest) => void left.push(rest));
    await operation.finished;
    expect([...operation.hosts]).toEqual([h0.key, h1.key]);
    expect(left).toEqual([1, 0]);
    expect(
      rig.transport.applies.map(({ change }) => [change.apps[0]!.send.length, change.apps[0]!.delete.length]),
    ).toEqual([
      [2, 0],
      [2, 0],
    ]);
  });

  test("full of one app leaves the others of the host alone", async () => {
    const rig = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } }, [h0]);
    await rig.controller.request({ apps: new Set([API]) }, FULL).finished;
    expect(rig.transport.applies.map(({ change }) => change.apps.map(({ app }) => app))).toEqual([[API]]);
  });

  test("not full: hosts that lag or failed, at once; none when none does", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0, h1]);
    await rig.controller.request(ALL, LAGGING).finished;
    expect(rig.transport.applies).toEqual([]);
    rig.transport.refuses = (host) => (host === h0.key ? unreachable() : null);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    rig.transport.applies.length = 0;
    const operation = rig.controller.request(ALL, LAGGING);
    await operation.finished;
    expect([...operation.hosts]).toEqual([h0.key]);
    expect(rig.transport.applies.map(({ host }) => host)).toEqual([h0.key]);
  });

  test("one that comes while the host is worked on gets an attempt of its own", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.transport.hold(h0.key);
    const first = rig.controller.request(ALL, FULL);
    await quiet();
    let done = false;
    const second = rig.controller.request(ALL, FULL).finished.then(() => (done = true));
    rig.transport.release(h0.key);
    rig.transport.hold(h0.key);
    await first.finished;
    await quiet();
    expect([rig.transport.applies.length, done]).toEqual([2, false]);
    rig.transport.release(h0.key);
    await second;
  });

  test("a full sync that failed is full at the retry too, for the app that failed", async () => {
    const rig = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } }, [h0]);
    rig.transport.refuses = (_, app) => (app === WEB ? unreachable() : null);
    await rig.controller.request(ALL, FULL).finished;
    rig.transport.refuses = () => null;
    await rig.pass(1000);
    expect(rig.transport.applies.map(({ change }) => change.apps.map(({ app, send }) => [app, send.length]))).toEqual([
      [
        [API, 1],
        [WEB, 1],
      ],
      [[WEB, 1]],
    ]);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ failure: null });
  });

  test("a host that leaves meanwhile does not keep the request waiting", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0, h1], { concurrency: 1 });
    rig.transport.hold(h0.key);
    const operation = rig.controller.request(ALL, FULL);
    await quiet();
    rig.inventory.set(WEB, [h0]);
    await rig.controller.refresh(new AbortController().signal);
    rig.transport.release(h0.key);
    await operation.finished;
    expect(rig.transport.applies.map(({ host }) => host)).toEqual([h0.key]);
  });
});

describe("stop and start", () => {
  test("suspended: no polls, no syncs, and a request finds nothing to do", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.source.push({ [WEB]: { a: "2" } });
    const { polls } = rig.source;
    await rig.restart({ suspend: true });
    await rig.pass(600_000, 10_000);
    await rig.controller.request(ALL, FULL).finished;
    expect([rig.source.polls, rig.transport.applies.length]).toEqual([polls, 0]);
    expect([...rig.telemetry.fleet!.takeChanged()][0]!.current!.hosts.Synced).toBe(1);
  });

  test("suspended: Git is read when somebody has it read, and no host gets what it says", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0], { suspend: false });
    await rig.restart({ suspend: true });
    const revision = rig.source.push({ [WEB]: { a: "2" } });
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 9 }, () => rig.controller.readGit(signal)));
    expect(rig.controller.fleet.revision).toBe(revision);
    await rig.pass(600_000, 10_000);
    expect(rig.transport.applies).toEqual([]);
    rig.controller.suspend({ repo: false, apps: new Set(), hosts: new Set() });
    await quiet();
    expect(rig.record(h0.key, WEB)?.digest).toBe(rig.digest(WEB));
  });

  test("drain waits for the syncs under way, which are recorded, and begins no more", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0, h1], { concurrency: 1 });
    rig.source.push({ [WEB]: { a: "2" } });
    rig.transport.hold(h0.key);
    await rig.pollGit();
    let drained = false;
    const stopping = rig.stop({ kill: false }).then(() => (drained = true));
    await quiet();
    expect(drained).toBe(false);
    rig.transport.release(h0.key);
    await stopping;
    expect(rig.transport.applies.map(({ host }) => host)).toEqual([h0.key]);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: rig.digest(WEB), unfinished: [] });
    expect(rig.clock.timers).toBe(0);
  });

  test("kill ends the syncs under way: not synced, not failed, and run again after the start", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    const revision = rig.source.push({ [WEB]: { a: "2" } });
    rig.transport.hold(h0.key);
    await rig.pollGit();
    await rig.stop();
    expect(await rig.stored(h0.key, WEB)).toMatchObject({
      digest: makeApp(WEB, { a: "1" }).digest,
      unfinished: [revision],
      failure: null,
    });
    expect(rig.clock.timers).toBe(0);
    rig.transport.release(h0.key);
    await rig.restart();
    expect(rig.transport.applies).toHaveLength(2);
    expect(await rig.stored(h0.key, WEB)).toMatchObject({ digest: rig.digest(WEB), unfinished: [] });
  });

  test("after a restart with Git and inventory down, what is known goes on", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0, h1]);
    rig.transport.refuses = (host) => (host === h1.key ? unreachable() : null);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    rig.transport.applies.length = 0;
    rig.transport.refuses = () => null;
    rig.source.error = new FssyncError("FetchFailed", "down");
    rig.inventory.silent.add(WEB);
    await rig.stop();
    rig.inventory.silent.delete(WEB); // what it remembers
    rig.inventory.nextError = new FssyncError("InventoryFailed", "down");
    await rig.restart();
    expect(rig.transport.applies.map(({ host }) => host)).toEqual([h1.key]);
    expect(rig.events("NewRevision")).toHaveLength(1);
    expect(rig.events("HostAdded")).toEqual([]);
  });

  test("after a restart without a remembered inventory, it is asked as soon as Git is known", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.stop();
    rig.source.head = async () => null;
    rig.inventory.lastGood = async () => null;
    await rig.restart();
    expect(rig.transport.applies.map(({ host }) => host)).toEqual([h0.key]);
  });
});

describe("where other processes work on the repo in turn", () => {
  /** This one synced the first commit; another one has brought the host to the second. */
  async function returned(): Promise<{ rig: Rig; old: string }> {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    const old = (await rig.source.head())!;
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    await rig.stop();
    rig.transport.applies.length = 0;
    return { rig, old };
  }

  test("an old mirror is not acted on", async () => {
    const { rig, old } = await returned();
    rig.source.head = async () => old;
    await rig.restart({ alone: false });
    await rig.pollGit();
    expect(rig.transport.applies).toEqual([]);
    expect(rig.events("NewRevision")).toHaveLength(1);
  });

  test("nor while Git is down; what the store says was the newest is", async () => {
    const { rig, old } = await returned();
    const { head } = rig.source;
    rig.source.error = new FssyncError("FetchFailed", "down");
    rig.source.head = async () => old;
    await rig.restart({ alone: false });
    await rig.pollGit();
    expect(rig.transport.applies).toEqual([]);
    expect(rig.controller.known).toBe(false);
    rig.source.head = head;
    await rig.restart({ alone: false });
    await rig.pollGit();
    expect(rig.controller.known).toBe(true);
    expect(rig.transport.applies).toEqual([]);
  });
});

describe("trouble with Git and the inventory", () => {
  test("Git down: a problem, stored and told once; the polls slow down; it is resolved with the first success", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.source.error = new FssyncError("FetchFailed", "connection refused");
    await rig.pollGit();
    const since = rig.clock.now();
    await rig.pass(600_000, 1000);
    expect(rig.source.polls).toBeLessThan(12);
    const problem = { reason: "FetchFailed", message: "connection refused", since };
    expect((await rig.store.load("repo")).repo.problems).toEqual([problem]);
    expect(rig.log.lines.filter(({ reason }) => reason === "FetchFailed")).toHaveLength(1);
    expect(rig.telemetry.fetches.filter((result) => result === "failure").length).toBeGreaterThan(3);
    rig.source.error = null;
    await rig.pass(300_000, 10_000);
    expect((await rig.store.load("repo")).repo.problems).toEqual([]);
    expect(rig.log.lines.filter(({ msg, about }) => msg === "in order again" && about === "git")).toHaveLength(1);
  });

  test("a commit without apps is held: no host is touched", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.source.push({});
    await rig.pollGit();
    expect(rig.controller.problems).toMatchObject([{ reason: "EmptyTree" }]);
    expect(rig.transport.applies).toEqual([]);
    expect(rig.record(h0.key, WEB)!.digest).toBe(rig.digest(WEB));
  });

  test("an inventory that fails for one app keeps its hosts and goes on with the others", async () => {
    const rig = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } }, [h0]);
    rig.inventory.silent.add(WEB);
    rig.inventory.set(API, [h0, h1]);
    await rig.pass(INVENTORY_INTERVAL * 1.1);
    expect(rig.transport.applies.map(({ host }) => host)).toEqual([h1.key]);
    expect([...rig.controller.fleet.hostsOf(WEB)]).toEqual([h0.key]);
    expect(rig.controller.problems).toMatchObject([{ reason: "InventoryFailed" }]);
    expect(rig.telemetry.refreshes.at(-1)).toBe("failure");
  });

  test("an inventory that throws is a problem, and the hosts stay", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.inventory.nextError = new Error("bug");
    await rig.pass(INVENTORY_INTERVAL * 1.1);
    expect(rig.controller.problems).toMatchObject([{ reason: "Internal" }]);
    expect(rig.controller.fleet.hosts.size).toBe(1);
  });

  test("a host that is refused by name is told and does not slow the inventory down", async () => {
    const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
    rig.inventory.problems = [{ reason: "InvalidHost", app: WEB, message: "-oProxyCommand=x" }];
    const before = rig.inventory.refreshes;
    await rig.pass(4 * INVENTORY_INTERVAL, 5000);
    expect(rig.inventory.refreshes - before).toBeGreaterThanOrEqual(3);
    expect(rig.log.lines.filter(({ reason }) => reason === "InvalidHost")).toHaveLength(1);
  });
});

test("propagation is measured from the moment a revision was seen, or the host came", async () => {
  const rig = await synced({ [WEB]: { a: "1" } }, [h0]);
  rig.telemetry.propagations.length = 0;
  rig.transport.hold(h0.key);
  rig.source.push({ [WEB]: { a: "2" } });
  await rig.pollGit();
  await rig.pass(3000);
  rig.transport.release(h0.key);
  await quiet();
  rig.inventory.set(WEB, [h0, h1]);
  await rig.pass(INVENTORY_INTERVAL * 1.1);
  expect(rig.telemetry.propagations).toEqual([3, 0]);
});

test("snapshots and pins are kept for what is wanted and what hosts have, and collected at rest", async () => {
  const rig = await synced({ [WEB]: { a: "1" } }, [h0, h1]);
  rig.transport.refuses = (host) => (host === h1.key ? unreachable() : null);
  const old = rig.record(h1.key, WEB)!.revision!;
  const revision = rig.source.push({ [WEB]: { a: "2" } });
  await rig.pollGit();
  await rig.pass(30_000, 500);
  const kept = rig.source.collected.at(-1)!;
  expect([...kept.commits].sort()).toEqual([old, revision].map((text) => revisionCommit(text)).sort());
  expect(kept.trees).toContain(makeApp(WEB, { a: "2" }).tree);
});

describe("hosts worked on at a time", () => {
  async function begun(concurrency: number): Promise<string[]> {
    const rig = setUp({ concurrency });
    const on = hosts(10);
    rig.source.push({ [WEB]: { a: "1" } });
    rig.inventory.set(WEB, on);
    for (const { key } of on) rig.transport.hold(key);
    await rig.start();
    await rig.pass(9000, 1000);
    return rig.transport.applies.map(({ host }) => host);
  }

  test.for([1, 2, 3])(
    "are never more than %d, also when they hang: whoever sets so few means it",
    async (concurrency) => {
      expect(await begun(concurrency)).toHaveLength(concurrency);
    },
  );

  test("that hang make room for as many others", async () => {
    expect(await begun(4)).toHaveLength(8);
  });
});
