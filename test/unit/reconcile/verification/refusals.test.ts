import { describe, expect, test } from "vitest";
import type { AppKey } from "../../../../src/model/app.ts";
import { FssyncError, type Reason } from "../../../../src/model/errors.ts";
import type { Transport } from "../../../../src/ports/transport.ts";
import { quiet } from "../../../support/fakes.ts";
import { makeHost } from "../../../support/factories.ts";
import { API, h0, h1, INTERVAL, synced, WEB } from "./hosts.ts";

const NOBODY = { repo: false, apps: new Set<AppKey>(), hosts: new Set<string>() };
const unreachable = () => new FssyncError("ConnectTimeout", "no answer");
const ask = { contents: false };

describe("what the login may not look at", () => {
  test("fails its app by its name; the app's other files and other apps have their verdicts", async () => {
    const hosts = await synced({ [WEB]: { "etc/a": "1", "etc/b": "1" }, [API]: { c: "1" } });
    hosts.put(h0.key, "etc/a", { kind: "unseen" });
    hosts.edit("etc/b");
    hosts.edit("c");
    await hosts.turn();
    expect(hosts.rig.record(h0.key, WEB)).toMatchObject({
      failure: { reason: "PermissionDenied", message: expect.stringContaining("/etc/a"), verifying: true },
      drift: { files: [{ path: "etc/b", change: "content" }], count: 1 },
    });
    expect(hosts.rig.record(h0.key, API)).toMatchObject({ failure: null, drift: { count: 1 } });
  });

  test.for<[Reason, string]>([
    ["PermissionDenied", "Failed"],
    ["SudoDenied", "Failed"],
    ["ProtocolError", "Failed"],
  ])("%s: the host waits for its turn, and shows it until then", async ([reason, state]) => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    const { rig } = hosts;
    rig.transport.inspectError = () => new FssyncError(reason, "no");
    await hosts.turn();
    expect([hosts.looksAt(), hosts.states().states]).toEqual([1, { [state]: 1 }]);
    // The sweep that looks for what lags does not make it come sooner either.
    await rig.pass(20 * INTERVAL, 2500);
    expect(hosts.looksAt()).toBe(21);
    expect(hosts.states().states).toEqual({ [state]: 1 });
    rig.transport.inspectError = () => null;
    await hosts.turn();
    expect(hosts.states().states).toEqual({ Synced: 1 });
  });

  test("is asked again at once by a sync that somebody asks for", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    hosts.rig.transport.inspectError = () => new FssyncError("SudoDenied", "no");
    await hosts.turn();
    hosts.rig.transport.inspectError = () => null;
    await hosts.rig.controller.request({}, { full: false, allowPrune: false }).finished;
    expect([hosts.looksAt(), hosts.states().states]).toEqual([2, { Synced: 1 }]);
  });
});

describe("a host that hangs", () => {
  test("is asked again by its backoff and takes no place of the patrol: the others have their turns", async () => {
    const all = Array.from({ length: 20 }, (_, index) => makeHost(`h${index}`));
    const hosts = await synced({ [WEB]: { a: "1" } }, { on: all, drift: { concurrency: 2 } });
    const { rig } = hosts;
    const hung = new Set(all.slice(0, 4).map(({ key }) => key));
    const inspect = rig.transport.inspect.bind(rig.transport);
    const hang: Transport["inspect"] = async (host, files, { signal }) => {
      if (!hung.has(host.key)) return await inspect(host, files);
      await new Promise<void>((resolve) => {
        rig.clock.after(300_000, resolve);
        signal.addEventListener("abort", () => resolve());
      });
      throw new FssyncError(signal.aborted ? "Interrupted" : "SyncTimeout", "did not end");
    };
    Object.assign(rig.transport, { inspect: hang });
    await rig.pass(15 * INTERVAL, 2500);
    const before = new Map(all.map(({ key }) => [key, hosts.looksAt(key)]));
    await rig.pass(15 * INTERVAL, 2500);
    for (const { key } of all.slice(4)) expect(hosts.looksAt(key) - before.get(key)!).toBeGreaterThanOrEqual(14);
  });
});

describe("a look that a person asks for", () => {
  test("records no failure where nothing is looked at of its own accord: only the person is told", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } }, { drift: { interval: 0, action: "heal" } });
    const { rig } = hosts;
    hosts.edit("a");
    rig.transport.inspectError = unreachable;
    const asked = rig.controller.verify({}, ask);
    await asked.finished;
    expect(asked.findings.get(h0.key)!.apps.get(WEB)!.error).toMatchObject({ reason: "ConnectTimeout" });
    expect(rig.record(h0.key, WEB)?.failure).toBeNull();
    rig.transport.inspectError = () => null;
    await rig.pass(20 * INTERVAL, 2500);
    expect([hosts.sent(), hosts.looksAt()]).toEqual([[], 1]);
  });

  test("ends a failure of a time when there were turns, although it fails again", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } });
    hosts.rig.transport.inspectError = unreachable;
    await hosts.turn();
    const drift = { interval: 0, action: "report", concurrency: 8, keepVersions: 5, isIgnored: () => false } as const;
    const before = hosts.looksAt();
    await hosts.rig.restart({ drift });
    await hosts.rig.pass(20 * INTERVAL, 2500);
    expect([hosts.looksAt() - before, hosts.rig.record(h0.key, WEB)?.failure]).toEqual([1, null]);
  });

  test("records no failure of what is suspended", async () => {
    const hosts = await synced({ [WEB]: { a: "1" }, [API]: { b: "1" } });
    const { rig } = hosts;
    rig.controller.suspend({ ...NOBODY, apps: new Set([WEB]) });
    rig.transport.inspectError = unreachable;
    await rig.controller.verify({}, ask).finished;
    expect([rig.record(h0.key, WEB)?.failure, rig.record(h0.key, API)?.failure]).toMatchObject([
      null,
      { reason: "ConnectTimeout" },
    ]);
  });

  test("leaves half of the workers to commits, however many hosts hang", async () => {
    const all = Array.from({ length: 8 }, (_, index) => makeHost(`h${index}`));
    const hosts = await synced({ [WEB]: { a: "1" } }, { on: all, concurrency: 4, drift: { interval: 0 } });
    const { rig } = hosts;
    rig.transport.mostAtOnce = 0;
    const hung = all.slice(0, 2).map(({ key }) => key);
    for (const key of hung) rig.transport.hold(key);
    const asked = rig.controller.verify({}, ask);
    await quiet();
    expect([rig.transport.inspections.length, rig.transport.mostAtOnce]).toEqual([2, 2]);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    expect(all.map(({ key }) => hosts.sent(key).length)).toEqual([0, 0, 1, 1, 1, 1, 1, 1]);
    for (const key of hung) rig.transport.release(key);
    await asked.finished;
    expect(asked.findings.size).toBe(8);
  });

  test("that comes during a turn which the store refuses is served by the next one", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } }, { drift: { interval: 0 } });
    const { rig } = hosts;
    rig.transport.hold(h0.key);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    const asked = rig.controller.verify({}, ask);
    rig.store.nextSaveError = new Error("disk full");
    rig.transport.release(h0.key);
    await asked.finished;
    expect(rig.log.lines.map(({ msg }) => msg)).toContain("outcomes cannot be recorded, the hosts are synced again");
    expect(asked.findings.get(h0.key)!.apps.get(WEB)).toEqual({ files: [], error: null });
  });
});

describe("a commit", () => {
  test("that moves a drifted file to another app: its version is kept, a conflict, and the first app is rid of it", async () => {
    const hosts = await synced({ [WEB]: { a: "1", x: "1" }, [API]: { b: "1" } });
    hosts.edit("x");
    await hosts.turn();
    expect(hosts.drift()).toMatchObject({ count: 1 });
    hosts.rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "1", x: "2" } });
    await hosts.rig.pollGit();
    expect(hosts.drift()).toBeUndefined();
    expect(hosts.drift(h0.key, API)).toMatchObject({
      count: 0,
      replaced: [{ path: "x", change: "conflict", kept: "/kept/x" }],
    });
    expect(hosts.states().states).toEqual({ Synced: 1 });
  });

  test("waits for what keeps earlier versions from being read, and lays nothing over hand-made changes unseen", async () => {
    const hosts = await synced({ [WEB]: { a: "1" } }, { on: [h0, h1], drift: { interval: 0 } });
    const { rig } = hosts;
    for (const { key } of [h0, h1]) hosts.edit("a", "by hand", key);
    const checksums = rig.source.checksums.bind(rig.source);
    let fails = 1;
    rig.source.checksums = async (blobs) => {
      fails -= 1;
      if (fails >= 0) throw new FssyncError("ControllerExhausted", "no file handles left");
      return await checksums(blobs);
    };
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    expect(rig.record(h0.key, WEB)?.failure?.reason).toBe("ControllerExhausted");
    await rig.pass(5000);
    for (const { key } of [h0, h1]) {
      expect(rig.record(key, WEB)).toMatchObject({ failure: null, drift: { replaced: [{ change: "conflict" }] } });
    }
  });
});

test("snapshots are not collected under a heal", async () => {
  const hosts = await synced({ [WEB]: { a: "1" } }, { on: [h0, h1], drift: { action: "heal" } });
  const { rig } = hosts;
  // No group of hosts holds the snapshot any more.
  await rig.restart();
  const { tree } = rig.controller.fleet.desired.get(WEB)!;
  hosts.edit("a");
  rig.transport.onApply = ({ key }) => key === h0.key && hosts.sent().length === 1 && rig.transport.hold(key);
  await hosts.turn();
  expect(rig.transport.running.get(h0.key)).toBe(1);
  rig.source.collected.length = 0;
  rig.source.push({ [WEB]: { a: "2" } });
  for (let poll = 0; poll < 3; poll += 1) await rig.pollGit();
  expect(rig.source.collected.length).toBeGreaterThan(0);
  for (const { trees } of rig.source.collected) expect([...trees]).toContain(tree);
  rig.transport.release(h0.key);
});
