import { describe, expect, onTestFinished, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import type { HostKey } from "../../../src/model/host.ts";
import { Suspension, type AskedOf } from "../../../src/reconcile/suspension.ts";
import { quiet } from "../../support/fakes.ts";
import { makeApp, makeHost, makeRecord } from "../../support/factories.ts";
import { Rig } from "./rig.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const FULL = { full: true, allowPrune: false };
const NOBODY = { repo: false, apps: new Set<AppKey>(), hosts: new Set<string>() };
const [h0, h1] = [makeHost("h0"), makeHost("h1")];

/** Both apps on both hosts, all synced. */
async function synced(): Promise<Rig> {
  const rig = new Rig();
  onTestFinished(() => rig[Symbol.asyncDispose]());
  rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "1" } });
  for (const app of [WEB, API]) rig.inventory.set(app, [h0, h1]);
  await rig.start();
  rig.transport.applies.length = 0;
  return rig;
}

function sent(rig: Rig): string[] {
  return rig.transport.applies.flatMap(({ host, change }) => change.apps.map(({ app }) => `${app} ${host}`)).sort();
}

async function commit(rig: Rig): Promise<void> {
  rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "2" } });
  await rig.pollGit();
}

function states(rig: Rig, app: AppKey) {
  return [...rig.telemetry.fleet!.takeChanged()].find((one) => one.app === app)?.current?.hosts;
}

describe("suspended while it runs", () => {
  test("an app: its hosts are left alone, the others are synced; it goes on at once when it may", async () => {
    const rig = await synced();
    rig.controller.suspend({ ...NOBODY, apps: new Set([WEB]) });
    await commit(rig);
    expect(sent(rig)).toEqual([`${API} h0:22`, `${API} h1:22`]);
    expect(states(rig, WEB)).toMatchObject({ Suspended: 2, Pending: 0 });
    rig.controller.suspend(NOBODY);
    await quiet();
    expect(sent(rig)).toEqual([`${API} h0:22`, `${API} h1:22`, `${WEB} h0:22`, `${WEB} h1:22`]);
    expect(states(rig, WEB)).toMatchObject({ Suspended: 0, Synced: 2 });
  });

  test("a host: all its apps wait, and no sweep or retry wakes them", async () => {
    const rig = await synced();
    rig.controller.suspend({ ...NOBODY, hosts: new Set([h0.key]) });
    await commit(rig);
    await rig.pass(1_300_000, 50_000);
    expect(sent(rig)).toEqual([`${API} h1:22`, `${WEB} h1:22`]);
    rig.controller.suspend(NOBODY);
    await quiet();
    expect(sent(rig)).toHaveLength(4);
  });

  test("a host that failed is not tried again while it is suspended", async () => {
    const rig = await synced();
    rig.transport.refuses = (host) => (host === h0.key ? new FssyncError("ConnectTimeout", "no answer") : null);
    await commit(rig);
    const tried = rig.transport.appliesTo(h0.key).length;
    rig.controller.suspend({ ...NOBODY, hosts: new Set([h0.key]) });
    await rig.pass(1_300_000, 50_000);
    expect(rig.transport.appliesTo(h0.key)).toHaveLength(tried);
  });

  test("what is queued, and was asked for, waits too: whoever stops a bad release stops the rest of it", async () => {
    const rig = new Rig({ concurrency: 1 });
    onTestFinished(() => rig[Symbol.asyncDispose]());
    rig.source.push({ [WEB]: { a: "1" } });
    rig.inventory.set(WEB, [h0, h1]);
    await rig.start();
    rig.transport.applies.length = 0;
    rig.transport.hold(h0.key);
    const operation = rig.controller.request({}, FULL);
    await quiet();
    rig.controller.suspend({ ...NOBODY, apps: new Set([WEB]) });
    rig.transport.release(h0.key);
    await operation.finished;
    expect(sent(rig)).toEqual([`${WEB} h0:22`]);
    // But for what is asked of the very object that is suspended.
    rig.transport.hold(h0.key);
    const meant = rig.controller.request({ apps: new Set([WEB]) }, FULL, "app");
    await quiet();
    rig.controller.suspend({ repo: true, apps: new Set([WEB]), hosts: new Set() });
    rig.transport.release(h0.key);
    await meant.finished;
    expect(sent(rig)).toEqual([`${WEB} h0:22`, `${WEB} h0:22`, `${WEB} h1:22`]);
  });

  test("the repo: nothing is polled; afterwards Git is asked at once", async () => {
    const rig = await synced();
    rig.controller.suspend({ ...NOBODY, repo: true });
    const { polls } = rig.source;
    rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "2" } });
    await rig.pass(600_000, 50_000);
    expect([rig.source.polls, sent(rig)]).toEqual([polls, []]);
    rig.controller.suspend(NOBODY);
    await quiet();
    expect(sent(rig)).toHaveLength(4);
  });

  test("what is suspended is told to the metrics, and no more when it is not", async () => {
    const rig = await synced();
    const told = () => rig.telemetry.fleet!.suspended().map(({ kind, name, suspended }) => [kind, name, suspended]);
    rig.controller.suspend({ repo: true, apps: new Set([WEB]), hosts: new Set([h0.key]) });
    expect(told()).toEqual([
      ["ConfigRepo", "repo", true],
      ["ConfigApp", WEB, true],
      ["ConfigHost", h0.key, true],
    ]);
    rig.controller.suspend(NOBODY);
    expect(told()).toEqual([["ConfigRepo", "repo", false]]);
  });
});

describe("a forced resync", () => {
  const everything = { repo: true, apps: new Set([WEB]), hosts: new Set([h0.key]) };

  test.for<[AskedOf | undefined, object, string[]]>([
    [undefined, {}, []],
    ["repo", {}, [`${API} h1:22`]],
    ["app", { apps: new Set([WEB]) }, [`${WEB} h1:22`]],
    ["host", { hosts: new Set([h0.key]) }, [`${API} h0:22`]],
  ])("asked of the %s goes on above it, and leaves alone what is suspended below", async ([askedOf, what, wanted]) => {
    const rig = await synced();
    rig.controller.suspend(everything);
    await rig.controller.request(what, FULL, askedOf).finished;
    expect(sent(rig)).toEqual(wanted);
  });

  test("that fails is attempted once: what is suspended does nothing by itself", async () => {
    const rig = await synced();
    rig.controller.suspend({ ...NOBODY, hosts: new Set([h0.key]) });
    rig.transport.refuses = () => new FssyncError("ConnectTimeout", "no answer");
    await rig.controller.request({ hosts: new Set([h0.key]) }, FULL, "host").finished;
    await rig.pass(1_300_000, 50_000);
    expect(rig.transport.appliesTo(h0.key)).toHaveLength(1);
  });
});

test("a look again asks Git and inventory and tries hosts that wait for their retry at once", async () => {
  const rig = await synced();
  rig.transport.refuses = () => new FssyncError("AuthFailed", "wrong key");
  await commit(rig);
  const tried = rig.transport.applies.length;
  rig.transport.refuses = () => null;
  const { polls } = rig.source;
  rig.controller.lookAgain();
  await quiet();
  expect(rig.source.polls).toBe(polls + 1);
  expect(rig.transport.applies).toHaveLength(tried + 2);
  expect(rig.record(h0.key, WEB)?.failure).toBeNull();
});

test("what only the store knows looks otherwise too: a repo, or a host, of which Git and inventory have not spoken", () => {
  const { key, digest, revision } = makeApp(WEB, { a: "1" });
  const known = new Map([[WEB, { key, digest, revision, seenAt: 0, refused: null }]]);
  const apps = new Map([[WEB, makeRecord(null)]]);
  const fleet = { known, recordOf: (host: HostKey) => ({ key: host, address: "h0", port: 22, root: "/", apps }) };
  const suspension = new Suspension(false);
  expect(suspension.set({ ...NOBODY, hosts: new Set([h0.key]) }, fleet)).toEqual(new Set([WEB]));
  expect(suspension.set({ ...NOBODY, repo: true }, fleet)).toEqual(new Set([WEB]));
});
