import { expect, onTestFinished, test, vi } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import { reportRepo } from "../../../src/plan/status-report.ts";
import { quiet } from "../../support/fakes.ts";
import { makeHost } from "../../support/factories.ts";
import { Rig } from "./rig.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";

const [h1, h2, h10] = ["10.0.0.1", "10.0.0.2", "10.0.0.10"].map((address) => makeHost(address)) as [
  ReturnType<typeof makeHost>,
  ReturnType<typeof makeHost>,
  ReturnType<typeof makeHost>,
];

async function setUp() {
  const rig = new Rig();
  onTestFinished(() => rig[Symbol.asyncDispose]());
  rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "1" } });
  rig.inventory.set(WEB, [h10, h2, h1]);
  rig.inventory.set(API, [h1]);
  await rig.start();
  return { rig, look: () => look(rig) };
}

/** What is reported now. */
async function look(rig: Rig) {
  const { reports } = rig.controller;
  const upToDate = reports.upToDate();
  await quiet();
  // Looks have pauses between them.
  rig.clock.advance(1000);
  await upToDate;
  const [apps, hosts] = [reports.apps.map(({ item }) => item), reports.hosts.map(({ item }) => item)];
  return {
    version: reports.version,
    apps,
    hosts,
    host: (wanted: string) => hosts.find(({ address }) => address === wanted),
    app: (key: AppKey) => apps.find(({ mod, env, app }) => `${mod}/${env}/${app}` === key),
  };
}

test("says what `status` says, sorted by name and address", async () => {
  const { rig, look } = await setUp();
  const found = await look();
  const { apps, hosts } = reportRepo("repo", rig.controller.status);
  expect(found.hosts.map(({ address }) => address)).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.10"]);
  expect(found.apps.map(({ app }) => app)).toEqual(["api", "web"]);
  for (const host of hosts) {
    const sorted = { ...host, apps: host.apps.toSorted((a, b) => (a.app < b.app ? -1 : 1)) };
    expect(found.host(host.address)).toEqual({ repo: "repo", suspended: false, ...sorted });
  }
  for (const app of apps) {
    expect(found.apps).toContainEqual({ repo: "repo", suspended: false, reasons: {}, ...app });
  }
});

test("an app tells why its hosts failed, and since when the first of them lags", async () => {
  const { rig, look } = await setUp();
  const since = rig.clock.now();
  rig.transport.refuses = (key) =>
    key === h1.key ? new FssyncError("NoSpace", "the disk is full") : new FssyncError("ConnectTimeout", "no answer");
  rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "1" } });
  await rig.pollGit();
  const { app } = await look();
  expect(app(WEB)).toMatchObject({
    state: "Failed",
    hosts: { total: 3, failed: 1, unreachable: 2 },
    reasons: { NoSpace: 1, ConnectTimeout: 2 },
  });
  expect(Date.parse(app(WEB)!.lagSince!)).toBeGreaterThanOrEqual(since);
  expect(app(API)).toMatchObject({ state: "Synced", reasons: {} });
  expect(app(API)).not.toHaveProperty("lagSince");
});

test("at rest the same items are there, and nothing is looked at", async () => {
  const { look } = await setUp();
  const before = await look();
  const after = await look();
  expect(after.version).toBe(before.version);
  expect(after.hosts.every((item, at) => item === before.hosts[at])).toBe(true);
});

test("only what says something else is another item", async () => {
  const { rig, look } = await setUp();
  const before = await look();
  rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "2" } });
  await rig.pollGit();
  const after = await look();
  expect(after.version).not.toBe(before.version);
  expect(after.host("10.0.0.1")).not.toBe(before.host("10.0.0.1"));
  expect(after.host("10.0.0.2")).toBe(before.host("10.0.0.2"));
  expect(after.app(WEB)).toBe(before.app(WEB));
  expect(after.app(API)).not.toBe(before.app(API));
});

test("hosts and apps that go are gone, and those that come are there", async () => {
  const { rig, look } = await setUp();
  await look();
  rig.inventory.set(WEB, [h1, makeHost("10.0.0.3")]);
  await rig.pass(60_000);
  expect((await look()).hosts.map(({ address }) => address)).toEqual(["10.0.0.1", "10.0.0.3"]);
  rig.source.push({ [WEB]: { a: "1" } });
  await rig.pollGit();
  rig.inventory.set(API, []);
  await rig.pass(60_000);
  await rig.pass(60_000);
  expect((await look()).apps.map(({ app }) => app)).toEqual(["web"]);
});

test("what people hold back is suspended, is not late, and says so", async () => {
  const { rig, look } = await setUp();
  rig.controller.suspend({ repo: false, apps: new Set([WEB]), hosts: new Set([h2.key]) });
  rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "1" } });
  await rig.pollGit();
  const held = await look();
  expect(held.app(WEB)).toMatchObject({ suspended: true, state: "Suspended" });
  expect(held.app(WEB)).not.toHaveProperty("lagSince");
  expect(held.host("10.0.0.1")).toMatchObject({ suspended: false, state: "Suspended" });
  expect(held.host("10.0.0.2")).toMatchObject({ suspended: true, state: "Suspended" });
  rig.controller.suspend({ repo: true, apps: new Set(), hosts: new Set() });
  const all = await look();
  expect(all.apps.every(({ suspended }) => suspended)).toBe(true);
  expect(all.hosts.every(({ suspended }) => suspended)).toBe(true);
  rig.controller.suspend({ repo: false, apps: new Set(), hosts: new Set() });
  await quiet();
  const none = await look();
  expect(none.hosts.every(({ suspended, state }) => !suspended && state === "Synced")).toBe(true);
});

test("before Git was read it says what the store knew", async () => {
  const { rig } = await setUp();
  await rig.stop();
  const another = rig.makeAnother({ alone: false });
  await another.load();
  const { hosts, apps } = await look(rig);
  expect(hosts.map(({ address, state }) => [address, state])).toEqual([
    ["10.0.0.1", "Synced"],
    ["10.0.0.2", "Synced"],
    ["10.0.0.10", "Synced"],
  ]);
  expect(apps.map(({ app, hosts }) => [app, hosts.synced])).toEqual([
    ["api", 1],
    ["web", 3],
  ]);
});

test("names that nobody knows are told with what there is", async () => {
  const { rig, look } = await setUp();
  await look();
  const { reports } = rig.controller;
  expect(() => reports.app("nginx/test/web")).toThrow(/no app nginx\/test\/web .*there are .*nginx\/prod\/web/);
  expect(() => reports.hostsNamed("10.0.0.9")).toThrow(/no host 10\.0\.0\.9/);
  expect(() => reports.hostsNamed("10.0.0.1:2222")).toThrow(FssyncError);
  expect(reports.hostsNamed("10.0.0.1:22").map(({ key }) => key)).toEqual([h1.key]);
  expect(reports.hostsNamed("10.0.0.1")).toHaveLength(1);
});

test("hosts are counted by their worst app, apps by their worst host", async () => {
  const { rig, look } = await setUp();
  rig.transport.refuses = (key) => (key === h2.key ? new FssyncError("NoSpace", "the disk is full") : null);
  rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "1" } });
  await rig.pollGit();
  await look();
  expect(rig.controller.reports.counts).toMatchObject({
    hosts: { total: 3, synced: 2, failed: 1 },
    apps: { total: 2, synced: 1, failed: 1 },
  });
});

test("what Git wants otherwise while a look is under way is seen by the next one", async () => {
  const { rig, look } = await setUp();
  const refusal = { reason: "UnsupportedFile", message: "a submodule" } as const;
  const { fleet, reports } = rig.controller;
  await look();
  rig.clock.advance(1000);
  fleet.touch([API, WEB]);
  const slow = vi.spyOn(rig.clock, "monotonic").mockImplementation(counting());
  const underWay = reports.upToDate();
  // It has chosen its hosts, has looked at one app, and waits for its next turn.
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  const apps = new Map([...fleet.desired].map(([key, app]) => [key, { ...app, refused: refusal }]));
  fleet.setDesired({ apps, revision: fleet.revision! });
  slow.mockRestore();
  await quiet();
  rig.clock.advance(1000);
  await underWay;
  const { hosts, app } = await look();
  expect(app(WEB)).toMatchObject({ state: "Failed", ...refusal });
  expect(hosts.map(({ state }) => state)).toEqual(["Failed", "Failed", "Failed"]);
});

/** A clock that goes on by a second at each look. */
function counting(): () => number {
  let now = 1_000_000;
  return () => (now += 1000);
}
