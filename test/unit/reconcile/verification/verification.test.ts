import { describe, expect, test } from "vitest";
import type { AppKey } from "../../../../src/model/app.ts";
import { FssyncError } from "../../../../src/model/errors.ts";
import type { Transport } from "../../../../src/ports/transport.ts";
import { quiet } from "../../../support/fakes.ts";
import { makeHost } from "../../../support/factories.ts";
import { API, h0, h1, INTERVAL, synced, WEB } from "./hosts.ts";

const ERROR = 50;
const unreachable = () => new FssyncError("ConnectTimeout", "no answer");
const NOBODY = { repo: false, apps: new Set<AppKey>(), hosts: new Set<string>() };
const CHANGED = "files on a host were changed by somebody else";

describe("turns", () => {
  test("each host is looked at once an interval, its apps together", async () => {
    const on = Array.from({ length: 12 }, (_, index) => makeHost(`h${index}`));
    const hosts = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } }, { on });
    await hosts.rig.pass(5 * INTERVAL, 2500);
    for (const { key } of on) {
      expect(hosts.looksAt(key)).toBeGreaterThanOrEqual(4);
      expect(hosts.looksAt(key)).toBeLessThanOrEqual(5);
    }
    expect(hosts.rig.transport.inspections.every(({ paths }) => paths.toSorted().join() === "a,b")).toBe(true);
    expect(hosts.rig.transport.applies).toEqual([]);
    expect(new Set(hosts.rig.telemetry.verifications)).toEqual(new Set(["clean"]));
  });

  test("no more hosts at a time than drift.concurrency says", async () => {
    const on = Array.from({ length: 12 }, (_, index) => makeHost(`h${index}`));
    const hosts = await synced({ [WEB]: { a: "1" } }, { on, drift: { concurrency: 2 } });
    hosts.rig.transport.mostAtOnce = 0;
    for (const { key } of on) hosts.rig.transport.hold(key);
    await hosts.turn();
    expect(hosts.rig.transport.inspections).toHaveLength(2);
    for (const { key } of on) hosts.rig.transport.release(key);
    await quiet();
    expect(hosts.rig.transport.mostAtOnce).toBe(2);
  });

  test("with an interval of 0 nobody is looked at, unless somebody asks", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } }, { drift: { interval: 0 } });
    await hosts.rig.pass(20 * INTERVAL, INTERVAL);
    expect(hosts.looksAt()).toBe(0);
    await hosts.rig.controller.verify({}, { contents: false }).finished;
    expect(hosts.looksAt()).toBe(1);
  });

  test("a host whose sync is under way is not looked at, whoever asks, before it is over", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    const { rig } = hosts;
    rig.transport.hold(h0.key);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    const before = hosts.looksAt();
    const asked = rig.controller.verify({}, { contents: false });
    await rig.pass(3 * INTERVAL, 2500);
    expect([rig.transport.running.get(h0.key), hosts.looksAt()]).toEqual([1, before]);
    rig.transport.release(h0.key);
    await asked.finished;
    expect(hosts.looksAt()).toBe(before + 1);
    expect(asked.findings.get(h0.key)!.apps.get(WEB)).toEqual({ files: [], error: null });
    expect(rig.transport.mostPerHost).toBe(1);
  });

  test("a commit waits for the look under way at its host", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    const { rig } = hosts;
    rig.transport.hold(h0.key);
    await hosts.turn();
    expect(hosts.looksAt()).toBe(1);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    expect(hosts.sent()).toEqual([]);
    rig.transport.release(h0.key);
    await quiet();
    expect(hosts.sent()).toEqual([["a"]]);
    expect(rig.transport.mostPerHost).toBe(1);
    expect(rig.record(h0.key, WEB)?.digest).toBe(rig.digest(WEB));
  });

  test("what is suspended is left alone; a host on which something else is down too", async () => {
    const hosts = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } }, { on: [h0, h1] });
    hosts.rig.controller.suspend({ ...NOBODY, apps: new Set([WEB]), hosts: new Set([h1.key]) });
    await hosts.turn();
    expect(hosts.rig.transport.inspections).toEqual([{ host: h0.key, paths: ["b"] }]);
    hosts.rig.controller.suspend({ ...NOBODY, repo: true });
    await hosts.turn();
    expect(hosts.rig.transport.inspections).toHaveLength(1);
  });

  test("an app that was suspended while its host was down keeps nobody from looking at the others", async () => {
    const hosts = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } });
    const { rig } = hosts;
    rig.transport.refuses = (_, app) => (app === WEB ? unreachable() : null);
    rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "1" } });
    await rig.pollGit();
    rig.controller.suspend({ ...NOBODY, apps: new Set([WEB]) });
    await quiet();
    const before = hosts.looksAt();
    await rig.pass(2 * INTERVAL, 2500);
    expect(hosts.looksAt()).toBeGreaterThan(before);
  });

  test("an app that is held is looked at nevertheless, and stays held", async () => {
    const hosts = await synced({ [WEB]: { a: "1", b: "1", c: "1" } });
    const { rig } = hosts;
    rig.source.push({ [WEB]: { a: "1" } });
    await rig.pollGit();
    hosts.edit("a");
    await hosts.turn();
    expect(hosts.drift()?.files).toMatchObject([{ path: "a", change: "content" }]);
    const held = rig.record(h0.key, WEB)!.failure!;
    expect(held.reason).toBe("PruneLimitExceeded");
    rig.transport.inspectError = unreachable;
    await hosts.turn();
    expect(rig.record(h0.key, WEB)?.failure).toEqual(held);
    expect(hosts.sent()).toEqual([]);
  });

  test("what was never synced is not looked at", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    const { rig } = hosts;
    rig.transport.refuses = () => new FssyncError("NoSpace", "the disk is full");
    rig.inventory.set(WEB, [h0, h1]);
    await rig.pass(4 * INTERVAL, 2500);
    expect(rig.transport.appliesTo(h1.key).length).toBeGreaterThan(1);
    expect(hosts.looksAt(h1.key)).toBe(0);
  });
});

describe("drift", () => {
  test("is recorded and stored, and told once; it is over when the file is right again", async () => {
    const hosts = await synced({ [WEB]: { "etc/a": "1", "etc/b": "1" } }, { on: [h0, h1] });
    const { rig } = hosts;
    hosts.edit("etc/a");
    hosts.put(h0.key, "etc/b", { kind: "missing" });
    await hosts.turn();
    expect((await rig.stored(h0.key, WEB))?.drift).toMatchObject({
      files: [
        { path: "etc/b", change: "missing" },
        { path: "etc/a", change: "content" },
      ],
      count: 2,
      replaced: [],
    });
    expect(hosts.states()).toMatchObject({ states: { Drifted: 1, Synced: 1 }, driftedFiles: 2 });
    expect(rig.events("ConfigDriftDetected")).toMatchObject([
      { host: h0.key, app: WEB, count: 2, files: ["/etc/b (missing)", "/etc/a (content)"], msg: CHANGED },
    ]);
    const since = hosts.drift()!.files[1]!.since;
    const { saves } = rig.store;
    await rig.pass(3 * INTERVAL, 2500);
    expect(rig.events("ConfigDriftDetected")).toHaveLength(1);
    expect([rig.store.saves, hosts.drift()!.files[1]!.since]).toEqual([saves, since]);
    hosts.edit("etc/a", "1");
    await hosts.turn();
    expect(hosts.drift()?.files).toEqual([{ path: "etc/b", change: "missing", since }]);
    hosts.edit("etc/b", "1");
    await hosts.turn();
    expect(hosts.drift()).toBeUndefined();
    expect((await rig.stored(h0.key, WEB))?.drift).toBeUndefined();
    expect(hosts.states()).toMatchObject({ states: { Synced: 2 }, driftedFiles: 0 });
    expect(hosts.sent()).toEqual([]);
  });

  test("another verdict of a file is told anew, and so is it when it comes back", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    hosts.edit("a");
    await hosts.turn();
    hosts.put(h0.key, "a", { kind: "missing" });
    await hosts.turn();
    hosts.edit("a", "1");
    await hosts.turn();
    hosts.put(h0.key, "a", { kind: "missing" });
    await hosts.turn();
    expect(hosts.told(CHANGED).map(({ files }) => files)).toEqual([
      ["/a (content)"],
      ["/a (missing)"],
      ["/a (missing)"],
    ]);
  });

  test("of hundreds of files a hundred are kept and all are counted; nothing is told again", async () => {
    const files = Object.fromEntries(Array.from({ length: 250 }, (_, index) => [`f${index}`, "1"]));
    const hosts = await synced({ [WEB]: files });
    for (const path of Object.keys(files)) hosts.edit(path);
    await hosts.turn();
    expect([hosts.drift()?.files.length, hosts.drift()?.count, hosts.states().driftedFiles]).toEqual([100, 250, 250]);
    await hosts.rig.pass(3 * INTERVAL, 2500);
    expect(hosts.told(CHANGED)).toHaveLength(1);
    await hosts.rig.controller.request({}, { full: true, allowPrune: false }).finished;
    expect(hosts.drift()?.count).toBe(0);
  });

  test("a path that is ignored may differ", async () => {
    const hosts = await synced({ [WEB]: { a: "1", b: "1" } }, { drift: { isIgnored: (path) => path === "a" } });
    hosts.edit("a");
    await hosts.turn();
    expect(hosts.rig.transport.inspections[0]!.paths).toEqual(["b"]);
    expect(hosts.drift()).toBeUndefined();
  });

  test("one file that cannot be read hides no other; the app is not called clean", async () => {
    const hosts = await synced({ [WEB]: { a: "1", b: "1" } });
    hosts.edit("b");
    hosts.put(h0.key, "a", { ...(hosts.has("a") as object), checksum: null } as never);
    await hosts.turn();
    expect(hosts.drift()?.files).toMatchObject([{ path: "b", change: "content" }]);
    expect(hosts.rig.record(h0.key, WEB)?.failure).toMatchObject({ reason: "PermissionDenied", verifying: true });
    expect(hosts.rig.telemetry.verifications).not.toContain("clean");
  });

  test("a file that cannot be read since its owner was changed is drift like any other", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    hosts.put(h0.key, "a", { ...(hosts.has("a") as object), checksum: null, owner: "ben" } as never);
    await hosts.turn();
    expect(hosts.drift()?.files).toMatchObject([{ path: "a", change: "owner" }]);
    expect(hosts.states().states).toEqual({ Drifted: 1 });
  });

  test("what the store does not take, memory does not keep, and it is told when it does", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    const { rig } = hosts;
    hosts.edit("a");
    const save = rig.store.save.bind(rig.store);
    rig.store.save = () => Promise.reject(new Error("disk full"));
    await hosts.turn();
    expect([hosts.drift(), rig.events("ConfigDriftDetected").length]).toEqual([undefined, 0]);
    rig.store.save = save;
    await rig.pass(6 * INTERVAL, 2500);
    expect(hosts.drift()?.count).toBe(1);
    expect(rig.events("ConfigDriftDetected")).toHaveLength(1);
  });

  test("a restart takes it up: nothing is told again, and it is over when it is over", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    hosts.edit("a");
    await hosts.turn();
    await hosts.rig.restart();
    expect(hosts.states()).toMatchObject({ states: { Drifted: 1 }, driftedFiles: 1 });
    await hosts.turn();
    expect(hosts.told(CHANGED)).toHaveLength(1);
    hosts.edit("a", "1");
    await hosts.turn();
    expect(hosts.states()).toMatchObject({ states: { Synced: 1 }, driftedFiles: 0 });
  });

  test("goes with its app", async () => {
    const hosts = await synced(
      { [WEB]: { a: "1" }, [API]: { b: "1" } },
      { prune: { prune: true, maxDeletePercent: 100 } },
    );
    hosts.edit("a");
    await hosts.turn();
    hosts.rig.source.push({ [API]: { b: "1" } });
    await hosts.rig.pollGit();
    expect(hosts.rig.record(h0.key, WEB)).toBeUndefined();
    const observed = [...hosts.rig.telemetry.fleet!.takeChanged()];
    expect(observed.find(({ app }) => app === WEB)).toEqual({ app: WEB, current: null });
  });
});

describe("while a host is looked at", () => {
  test("its app goes from Git: it is removed, and nothing of the look stays", async () => {
    const hosts = await synced(
      { [WEB]: { a: "1" }, [API]: { b: "1" } },
      { prune: { prune: true, maxDeletePercent: 100 } },
    );
    const { rig } = hosts;
    hosts.edit("a");
    rig.transport.hold(h0.key);
    await hosts.turn();
    rig.source.push({ [API]: { b: "1" } });
    await rig.pollGit();
    rig.transport.release(h0.key);
    await quiet();
    expect(rig.record(h0.key, WEB)).toBeUndefined();
    expect((await rig.store.load("repo")).apps.has(WEB)).toBe(false);
  });

  test("the inventory gives it another root: what was seen counts for nothing", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    const { rig } = hosts;
    hosts.edit("a");
    rig.transport.hold(h0.key);
    await hosts.turn();
    rig.inventory.set(WEB, [makeHost("h0", { root: "/other" })]);
    rig.inventory.tell();
    await quiet();
    rig.transport.release(h0.key);
    await quiet();
    expect(hosts.drift()).toBeUndefined();
    expect(rig.record(h0.key, WEB)?.digest).toBe(rig.digest(WEB));
  });

  test("it leaves the inventory: nothing of it comes back", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } }, { on: [h0, h1] });
    const { rig } = hosts;
    hosts.edit("a");
    rig.transport.hold(h0.key);
    await hosts.turn();
    rig.inventory.set(WEB, [h1]);
    rig.inventory.tell();
    await quiet();
    rig.transport.release(h0.key);
    await quiet();
    expect([...rig.controller.fleet.hosts.keys()]).toEqual([h1.key]);
    expect([...(await rig.store.load("repo")).hosts.keys()]).toEqual([h1.key]);
  });

  test("the process is told to stop: nothing is recorded, and it is no failure", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    const { rig } = hosts;
    hosts.edit("a");
    const inspect: Transport["inspect"] = (_host, _files, { signal }) => {
      const { promise, reject } = Promise.withResolvers<never>();
      signal.addEventListener("abort", () => reject(new FssyncError("Interrupted", "told to stop")));
      return promise;
    };
    Object.assign(rig.transport, { inspect });
    await hosts.turn();
    await rig.stop();
    expect((await rig.stored(h0.key, WEB))?.failure).toBeNull();
    expect(hosts.drift()).toBeUndefined();
    expect(rig.telemetry.verifications).toEqual([]);
  });
});

describe("a host that cannot be looked at", () => {
  test("is Unreachable, tried again with looks and not with syncs, and Synced when it answers", async () => {
    const hosts = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } });
    const { rig } = hosts;
    rig.transport.inspectError = unreachable;
    await hosts.turn();
    expect(rig.record(h0.key, WEB)?.failure).toMatchObject({
      state: "Unreachable",
      reason: "ConnectTimeout",
      verifying: true,
    });
    expect(hosts.states()).toMatchObject({ states: { Unreachable: 1 } });
    expect(rig.telemetry.verifications[0]).toBe("unreachable");
    const told = hosts.told("host not verified");
    expect(told).toMatchObject([{ level: 40, apps: [API, WEB] }]);
    await rig.pass(5 * INTERVAL, 2500);
    const tried = hosts.looksAt();
    // A backoff that doubles from a second: some six looks until it is past a minute, and few from then on.
    expect(tried).toBeGreaterThan(4);
    expect(tried).toBeLessThan(12);
    expect(rig.record(h0.key, WEB)!.failure!.attempts).toBe(tried);
    expect(hosts.told("host not verified")).toHaveLength(1);
    // Its turns are not for it: at most one look in half of the longest backoff.
    await rig.pass(20 * INTERVAL, 5000);
    const before = hosts.looksAt();
    await rig.pass(10 * INTERVAL, 5000);
    expect(hosts.looksAt() - before).toBeLessThanOrEqual(4);
    rig.transport.inspectError = () => null;
    await rig.pass(6 * INTERVAL, 2500);
    expect(hosts.states()).toMatchObject({ states: { Synced: 1 } });
    expect((await rig.stored(h0.key, WEB))?.failure).toBeNull();
    expect(hosts.sent()).toEqual([]);
  });

  test("keeps what was known of its drift", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    hosts.edit("a");
    await hosts.turn();
    hosts.rig.transport.inspectError = unreachable;
    await hosts.turn();
    expect(hosts.states()).toMatchObject({ states: { Unreachable: 1 }, driftedFiles: 1 });
  });

  test("gets a new commit with a sync, after which it is Synced", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    const { rig } = hosts;
    rig.transport.inspectError = () => new FssyncError("AuthFailed", "wrong key");
    await hosts.turn();
    expect(hosts.states()).toMatchObject({ states: { Failed: 1 } });
    rig.transport.inspectError = () => null;
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    expect(hosts.sent()).toEqual([["a"]]);
    expect(hosts.states()).toMatchObject({ states: { Synced: 1 } });
  });

  test("is taken up by a restart: a look, and no sync, tells that it is over", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    hosts.rig.transport.inspectError = unreachable;
    await hosts.turn();
    hosts.rig.transport.inspectError = () => null;
    const before = hosts.looksAt();
    await hosts.rig.restart();
    expect(hosts.looksAt()).toBe(before + 1);
    expect(hosts.states()).toMatchObject({ states: { Synced: 1 } });
    expect(hosts.sent()).toEqual([]);
  });

  test("is not asked a second time in a turn whose sync did not reach it", async () => {
    const hosts = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } });
    const { rig } = hosts;
    rig.transport.inspectError = rig.transport.refuses = unreachable;
    await hosts.turn();
    rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "2" } });
    await rig.pollGit();
    const before = hosts.looksAt();
    await rig.pass(5 * INTERVAL, 5000);
    expect(hosts.looksAt()).toBe(before);
    expect(hosts.sent().length).toBeGreaterThan(0);
    expect(rig.record(h0.key, WEB)?.failure).toMatchObject({ verifying: true });
    rig.transport.inspectError = rig.transport.refuses = () => null;
    await rig.pass(10 * INTERVAL, 5000);
    for (const app of [WEB, API]) expect(rig.record(h0.key, app)?.failure).toBeNull();
  });

  test("has no place in a plan of what a sync would do", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    hosts.rig.transport.inspectError = unreachable;
    await hosts.turn();
    expect(await hosts.rig.controller.plan({})).toEqual([]);
  });

  test("is no news to a sync's own failure", async () => {
    const hosts = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } });
    const { rig } = hosts;
    rig.transport.refuses = (_, app) => (app === WEB ? new FssyncError("NoSpace", "the disk is full") : null);
    rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "1" } });
    await rig.pollGit();
    rig.transport.inspectError = unreachable;
    await hosts.turn();
    expect(rig.record(h0.key, WEB)?.failure).toMatchObject({ reason: "NoSpace" });
    expect(rig.record(h0.key, WEB)?.failure).not.toHaveProperty("verifying");
  });

  test("whose answer makes no sense is Failed", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    hosts.rig.transport.inspect = () => Promise.resolve([]);
    await hosts.turn();
    expect(hosts.rig.record(h0.key, WEB)?.failure).toMatchObject({
      state: "Failed",
      reason: "Internal",
      verifying: true,
    });
    expect(hosts.told("verification failed")[0]).toMatchObject({ level: ERROR });
  });
});
