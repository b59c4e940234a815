import { describe, expect, test } from "vitest";
import type { AppKey } from "../../../../src/model/app.ts";
import { FssyncError } from "../../../../src/model/errors.ts";
import { quiet } from "../../../support/fakes.ts";
import { API, h0, h1, INTERVAL, synced, WEB } from "./hosts.ts";

const WARN = 40;
const ERROR = 50;
const HEAL = { drift: { action: "heal" } } as const;
const NOBODY = { repo: false, apps: new Set<AppKey>(), hosts: new Set<string>() };
const FULL = { full: true, allowPrune: false };
const KEPT_ONLY = "versions changed by hand were kept, and laying Git's over them failed";
const RECURRING = "files drift again and again";

describe("healing", () => {
  test("sends the drifted files and no others, and says what it laid over", async () => {
    const hosts = await synced({ [WEB]: { "etc/a": "1", "etc/b": "1", "etc/c": "1" }, [API]: { d: "1" } }, HEAL);
    const { rig } = hosts;
    hosts.edit("etc/a");
    hosts.put(h0.key, "etc/b", { kind: "missing" });
    await hosts.turn();
    expect(hosts.sent()).toEqual([["etc/b", "etc/a"]]);
    const [{ change }] = rig.transport.applies as [(typeof rig.transport.applies)[0]];
    expect(change).toMatchObject({ keepVersions: 5, emptyFolders: [], apps: [{ app: WEB, delete: [] }] });
    expect(hosts.states()).toMatchObject({ states: { Synced: 1 }, driftedFiles: 0 });
    expect((await rig.stored(h0.key, WEB))?.drift).toMatchObject({
      files: [],
      count: 0,
      replaced: [
        { path: "etc/b", change: "missing" },
        { path: "etc/a", change: "content", kept: "/kept/etc/a" },
      ],
    });
    expect(hosts.told("files healed")).toMatchObject([
      {
        level: WARN,
        event: "ConfigDriftDetected",
        host: h0.key,
        app: WEB,
        files: ["/etc/b (missing)", "/etc/a (content, kept as /kept/etc/a)"],
      },
    ]);
    expect([rig.telemetry.replacedFiles, rig.telemetry.verifications]).toEqual([2, ["drifted"]]);
    expect(rig.telemetry.syncs).toHaveLength(1);
    await hosts.turn();
    expect(hosts.sent()).toHaveLength(1);
    expect(rig.telemetry.verifications).toEqual(["drifted", "clean"]);
  });

  test("of a file that is healed for the third time within a day is told loudly, and goes on", async () => {
    const hosts = await synced({ [WEB]: { a: "1", b: "1" } }, HEAL);
    for (let time = 1; time <= 4; time += 1) {
      hosts.edit("a");
      await hosts.turn();
      expect(hosts.told(RECURRING)).toHaveLength(Math.max(0, time - 2));
    }
    expect(hosts.told(RECURRING)[0]).toMatchObject({
      level: ERROR,
      event: "ConfigDriftDetected",
      files: ["/a"],
      app: WEB,
    });
    expect(hosts.states()).toMatchObject({ states: { Synced: 1 }, recurringFiles: 1 });
    expect(hosts.sent()).toHaveLength(4);
    await hosts.rig.pass(86_400_000, 600_000);
    expect(hosts.states().recurringFiles).toBe(0);
    expect(hosts.drift()).toBeUndefined();
  });

  test("three times in three days is nothing to shout about", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } }, HEAL);
    for (let time = 1; time <= 3; time += 1) {
      hosts.edit("a");
      await hosts.turn();
      await hosts.rig.pass(86_400_000, 600_000);
    }
    expect([hosts.sent().length, hosts.told(RECURRING).length]).toEqual([3, 0]);
  });

  test("that does not work is a failure, tried again with a look before it", async () => {
    const hosts = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } }, HEAL);
    const { rig } = hosts;
    hosts.edit("a");
    rig.transport.refuses = () => new FssyncError("NoSpace", "the disk is full");
    await hosts.turn();
    expect(rig.record(h0.key, WEB)).toMatchObject({
      failure: { reason: "NoSpace", state: "Failed", verifying: true },
      drift: { count: 1 },
    });
    expect(rig.record(h0.key, API)?.failure).toBeNull();
    expect(rig.telemetry.verifications[0]).toBe("failed");
    rig.transport.refuses = () => null;
    await rig.pass(6 * INTERVAL, 2500);
    expect(hosts.states()).toMatchObject({ states: { Synced: 1 }, driftedFiles: 0 });
    expect(hosts.looksAt()).toBeGreaterThanOrEqual(hosts.sent().length);
  });

  test("that does not work after hand-made versions were put away says where they are", async () => {
    const hosts = await synced({ [WEB]: { a: "1", b: "1" } }, HEAL);
    hosts.edit("a");
    hosts.put(h0.key, "b", { kind: "missing" });
    hosts.rig.transport.refuses = () => new FssyncError("NoSpace", "the disk is full");
    await hosts.rig.pass(5 * INTERVAL, 2500);
    expect(hosts.sent().length).toBeGreaterThan(3);
    // However often it is tried, it is one edit.
    expect(hosts.drift()).toMatchObject({ count: 2, replaced: [{ path: "a", kept: "/kept/a" }] });
    expect([hosts.told(KEPT_ONLY).length, hosts.told("files healed").length]).toEqual([1, 0]);
    expect([hosts.told("host not healed").length, hosts.told(RECURRING).length]).toEqual([1, 0]);
  });

  test("that does not work keeps its reason while somebody only looks, and loses it with the drift", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } }, HEAL);
    hosts.edit("a");
    hosts.rig.transport.refuses = () => new FssyncError("TargetIsFolder", "a folder stands there");
    await hosts.turn();
    await hosts.rig.controller.verify({}, { contents: false }).finished;
    expect(hosts.rig.record(h0.key, WEB)).toMatchObject({ failure: { reason: "TargetIsFolder" }, drift: { count: 1 } });
    hosts.edit("a", "1");
    await hosts.rig.controller.verify({}, { contents: false }).finished;
    expect(hosts.rig.record(h0.key, WEB)?.failure).toBeNull();
  });

  test("that the process is told to stop is no failure; it goes on after the restart", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } }, HEAL);
    const { rig } = hosts;
    hosts.edit("a");
    rig.transport.onApply = ({ key }) => rig.transport.hold(key);
    await hosts.turn();
    expect(hosts.sent()).toHaveLength(1);
    await rig.stop();
    expect((await rig.stored(h0.key, WEB))?.failure).toBeNull();
    expect(hosts.told("host not verified")).toEqual([]);
    expect(rig.telemetry.verifications).not.toContain("failed");
    rig.transport.onApply = () => {};
    rig.transport.release(h0.key);
    await rig.restart();
    await hosts.turn();
    expect(hosts.has("a")).not.toMatchObject({ checksum: "by hand" });
    expect(hosts.states()).toMatchObject({ states: { Synced: 1 }, driftedFiles: 0 });
    expect(hosts.drift()?.replaced.length).toBeGreaterThan(0);
  });

  test("does not touch what is held, refused, suspended or behind Git", async () => {
    const hosts = await synced({ [WEB]: { a: "1", b: "1", c: "1" }, [API]: { d: "1" } }, { ...HEAL, on: [h0, h1] });
    const { rig } = hosts;
    rig.source.push({ [WEB]: { a: "1" }, [API]: { d: "1" } });
    await rig.pollGit();
    rig.controller.suspend({ ...NOBODY, hosts: new Set([h1.key]) });
    hosts.edit("a");
    hosts.edit("d", "by hand", h1.key);
    await hosts.turn();
    expect(hosts.drift()?.count).toBe(1);
    expect([hosts.sent(), hosts.sent(h1.key)]).toEqual([[], []]);
  });

  test("does not touch what is suspended while the host is looked at", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } }, HEAL);
    const { rig } = hosts;
    hosts.edit("a");
    rig.transport.hold(h0.key);
    await hosts.turn();
    rig.controller.suspend({ ...NOBODY, apps: new Set([WEB]) });
    rig.transport.release(h0.key);
    await quiet();
    expect([hosts.sent().length, hosts.drift()?.count]).toEqual([0, 1]);
  });

  test("a commit that comes while the host is looked at goes first", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } }, HEAL);
    const { rig } = hosts;
    hosts.edit("a");
    rig.transport.hold(h0.key);
    await hosts.turn();
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    rig.transport.release(h0.key);
    await quiet();
    expect(rig.transport.appliesTo(h0.key).map(({ change }) => change.apps[0]!.send[0]!.blob)).toEqual([
      rig.controller.fleet.desired.get(WEB)!.manifest[0]!.blob,
    ]);
    expect(hosts.drift()?.replaced).toMatchObject([{ path: "a", change: "conflict", kept: "/kept/a" }]);
  });

  test("with report nothing is sent, for however long", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    hosts.edit("a");
    await hosts.rig.pass(20 * INTERVAL, 5000);
    expect([hosts.sent().length, hosts.drift()?.count]).toEqual([0, 1]);
  });
});

describe("what was laid over and cannot be recorded is logged all the same", () => {
  const message = "files changed by hand were laid over, and the store did not take it";

  test.for(["heal", "sync"])("by a %s", async (way) => {
    const hosts = await synced({ [WEB]: { a: "1" } }, way === "heal" ? HEAL : { drift: { interval: 0 } });
    const { rig } = hosts;
    hosts.edit("a");
    const save = rig.store.save.bind(rig.store);
    rig.transport.onApply = () => {
      rig.store.save = () => Promise.reject(new Error("disk full"));
    };
    if (way === "sync") rig.source.push({ [WEB]: { a: "2" } });
    await rig.pass(INTERVAL, 2500);
    expect(hosts.told(message)).toMatchObject([
      { level: WARN, event: "ConfigDriftDetected", host: h0.key, app: WEB, files: ["/a (kept as /kept/a)"] },
    ]);
    Object.assign(rig.transport, { onApply: () => {} });
    rig.store.save = save;
    await rig.pass(6 * INTERVAL, 5000);
    expect(hosts.states().states).toEqual({ Synced: 1 });
  });
});

test("one pass that was asked to sync an app looks at no other, and heals none", async () => {
  const hosts = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } }, HEAL);
  const { rig } = hosts;
  rig.transport.inspectError = () => new FssyncError("ConnectTimeout", "no answer");
  await hosts.turn();
  rig.transport.inspectError = () => null;
  for (const path of ["a", "b"]) hosts.edit(path);
  const before = rig.transport.inspections.length;
  await rig.stop();
  const once = rig.makeAnother({ retry: false });
  once.serveRequests();
  await once.load();
  await once.request({ apps: new Set([API]) }, { full: false, allowPrune: false }).finished;
  expect(rig.transport.inspections.slice(before).map(({ paths }) => paths)).toEqual([["b"]]);
  expect(hosts.sent()).toEqual([["b"]]);
});

describe("somebody who asks", () => {
  test("sees what there is, and nothing is healed for it", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } }, { drift: { action: "heal", interval: 0 } });
    hosts.edit("a");
    const asked = hosts.rig.controller.verify({}, { contents: false });
    await asked.finished;
    expect(asked.findings.get(h0.key)!.apps.get(WEB)!.files).toMatchObject([
      { change: "content", entry: { path: "a" } },
    ]);
    expect([hosts.sent().length, hosts.states().states]).toEqual([0, { Drifted: 1 }]);
  });

  test("sees only what was asked for, and also what is suspended", async () => {
    const hosts = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } }, { on: [h0, h1], drift: { interval: 0 } });
    hosts.rig.controller.suspend({ ...NOBODY, apps: new Set([API]) });
    const asked = hosts.rig.controller.verify({ apps: new Set([API]), hosts: new Set([h1.key]) }, { contents: false });
    const progress: unknown[] = [];
    asked.onAttempted((key, left) => progress.push([key, left]));
    await asked.finished;
    expect(hosts.rig.transport.inspections).toEqual([{ host: h1.key, paths: ["b"] }]);
    expect([[...asked.hosts], progress]).toEqual([[h1.key], [[h1.key, 0]]]);
  });

  test("sees contents that may be shown", async () => {
    const files = { a: "1", secret: { text: "1", secret: true }, closed: { text: "1", mode: 0o600 } } as const;
    const hosts = await synced({ [WEB]: files }, { drift: { interval: 0 } });
    for (const path of Object.keys(files)) {
      hosts.put(h0.key, path, { ...(hosts.has(path) as object), checksum: "0".repeat(64) } as never);
      hosts.rig.transport.contents.set(`${h0.key} ${path}`, Buffer.from("by hand"));
    }
    const asked = hosts.rig.controller.verify({}, { contents: true });
    await asked.finished;
    const shown = asked.findings.get(h0.key)!.apps.get(WEB)!.files;
    expect(
      shown.map(({ entry, contents }) => [entry.path, contents && asked.contents.get(contents)!.host.toString()]),
    ).toEqual([
      ["a", "by hand"],
      ["closed", undefined],
      ["secret", undefined],
    ]);
  });

  test("is answered when the host leaves, cannot be reached, or the store fails", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } }, { on: [h0, h1], drift: { interval: 0 } });
    const { rig } = hosts;
    rig.transport.inspectError = () => new FssyncError("ConnectTimeout", "no answer");
    const down = rig.controller.verify({ hosts: new Set([h0.key]) }, { contents: false });
    await down.finished;
    expect(down.findings.get(h0.key)!.apps.get(WEB)!.error).toMatchObject({ reason: "ConnectTimeout" });
    rig.transport.inspectError = () => null;
    hosts.edit("a", "by hand", h1.key);
    rig.store.nextSaveError = new Error("disk full");
    await rig.controller.verify({ hosts: new Set([h1.key]) }, { contents: false }).finished;
    rig.transport.hold(h1.key);
    const gone = [1, 2].map(() => rig.controller.verify({ hosts: new Set([h1.key]) }, { contents: false }));
    await quiet();
    rig.inventory.set(WEB, [h0]);
    rig.inventory.tell();
    await quiet();
    rig.transport.release(h1.key);
    await Promise.all(gone.map(({ finished }) => finished));
    await rig.controller.verify({ hosts: new Set(["nobody:22"]) }, { contents: false }).finished;
  });

  test("is answered although the sync of the same turn could not be recorded", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } }, { drift: { interval: 0 } });
    const { rig } = hosts;
    rig.transport.hold(h0.key);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    rig.store.save = () => Promise.reject(new Error("disk full"));
    const asked = rig.controller.verify({}, { contents: false });
    rig.transport.release(h0.key);
    await asked.finished;
    expect(asked.findings.size).toBe(0);
  });

  test("for a full sync heals, whatever drift.action says, and is told what was laid over", async () => {
    const hosts = await synced({ [WEB]: { a: "1", b: "1" } });
    hosts.edit("a");
    await hosts.turn();
    await hosts.rig.controller.request({}, FULL).finished;
    expect(hosts.sent()).toEqual([["a", "b"]]);
    expect(hosts.states()).toMatchObject({ states: { Synced: 1 }, driftedFiles: 0 });
    expect(hosts.drift()?.replaced).toMatchObject([{ path: "a", change: "content", kept: "/kept/a" }]);
  });
});

describe.for(["report", "heal"] as const)("a commit, with drift.action %s", (action) => {
  test("that changes a file which was edited by hand keeps that version and says conflict", async () => {
    const hosts = await synced({ [WEB]: { a: "1", b: "1", c: "1" } }, { drift: { action, interval: 0 } });
    const { rig } = hosts;
    for (const path of ["a", "b"]) hosts.edit(path);
    await rig.controller.verify({}, { contents: false }).finished;
    expect(hosts.drift()?.count).toBe(2);
    rig.source.push({ [WEB]: { a: "2", b: "1", c: "2" } });
    await rig.pollGit();
    expect(hosts.sent()).toEqual([["a", "c"]]);
    expect((await rig.stored(h0.key, WEB))?.drift).toMatchObject({
      files: [{ path: "b", change: "content" }],
      count: 1,
      replaced: [{ path: "a", change: "conflict", kept: "/kept/a" }],
    });
    expect(hosts.states()).toMatchObject({ states: { Drifted: 1 }, driftedFiles: 1 });
    expect(hosts.told("files changed by hand were laid over by a sync")).toMatchObject([
      { level: WARN, event: "ConfigDriftDetected", files: ["/a (conflict, kept as /kept/a)"] },
    ]);
    expect(rig.telemetry.replacedFiles).toBe(1);
  });

  test("that removes it keeps it too; one that brings what is there already is no conflict", async () => {
    const options = { drift: { action, interval: 0 }, prune: { prune: true, maxDeletePercent: 100 } };
    const hosts = await synced({ [WEB]: { a: "1", b: "1", c: "1" } }, options);
    hosts.edit("a");
    hosts.edit("b", "2");
    hosts.rig.source.push({ [WEB]: { b: "2", c: "1" } });
    await hosts.rig.pollGit();
    expect(hosts.drift()?.replaced).toMatchObject([{ path: "a", change: "conflict", kept: "/kept/a" }]);
    expect(hosts.states().states).toEqual({ Synced: 1 });
  });

  test("of a path that is ignored keeps what was there all the same", async () => {
    const isIgnored = (path: string) => path === "a";
    const hosts = await synced({ [WEB]: { a: "1", b: "1" } }, { drift: { action, interval: 0, isIgnored } });
    hosts.edit("a");
    hosts.rig.source.push({ [WEB]: { a: "2", b: "1" } });
    await hosts.rig.pollGit();
    expect(hosts.drift()).toMatchObject({ count: 0, replaced: [{ path: "a", change: "conflict", kept: "/kept/a" }] });
    expect(hosts.rig.events("ConfigDriftDetected")).toHaveLength(1);
  });

  test("that fails after versions were put away says so at once, and once", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } }, { drift: { action, interval: 0 } });
    const { rig } = hosts;
    hosts.edit("a");
    rig.transport.refuses = () => new FssyncError("NoSpace", "the disk is full");
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    await rig.pass(INTERVAL, 2500);
    expect(hosts.sent().length).toBeGreaterThan(3);
    expect((await rig.stored(h0.key, WEB))?.drift?.replaced).toMatchObject([{ path: "a", change: "conflict" }]);
    expect(hosts.states()).toMatchObject({ states: { Failed: 1 }, recurringFiles: 0 });
    expect(hosts.told(KEPT_ONLY)).toHaveLength(1);
    expect(hosts.told("files changed by hand were laid over by a sync")).toEqual([]);
    expect([rig.telemetry.replacedFiles, hosts.told(RECURRING).length]).toEqual([1, 0]);
  });
});
