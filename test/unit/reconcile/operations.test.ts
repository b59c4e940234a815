import { describe, expect, onTestFinished, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import { Controller, type SyncRequest } from "../../../src/reconcile/controller.ts";
import { Operations, type Asker, type Begun } from "../../../src/reconcile/operations.ts";
import type { RepoControllerOptions } from "../../../src/reconcile/repo-controller.ts";
import type { SyncOperation } from "../../../src/reconcile/sync-operation.ts";
import { quiet } from "../../support/fakes.ts";
import { makeApp, makeHost } from "../../support/factories.ts";
import { Rig } from "./rig.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const HOUR = 3_600_000;
const ALL: SyncRequest = { apps: [], hosts: [], scope: {}, full: false, allowPrune: false };
const FULL: SyncRequest = { ...ALL, full: true };
const NOBODY = { repo: false, apps: new Set<AppKey>(), hosts: new Set<string>() };
const [h0, h1] = [makeHost("h0"), makeHost("h1")];
const forever = new AbortController().signal;

type Limits = NonNullable<ConstructorParameters<typeof Operations>[0]["limits"]>;

/** `web` on both hosts, synced. */
async function setUp(limits: Limits = {}, overrides: Partial<RepoControllerOptions> = {}) {
  const rig = new Rig(overrides);
  onTestFinished(() => rig[Symbol.asyncDispose]());
  rig.source.push({ [WEB]: { a: "1" } });
  rig.inventory.set(WEB, [h0, h1]);
  await rig.start();
  const controller = new Controller({ repos: [rig.controller], clock: rig.clock });
  const operations = new Operations({ controller, clock: rig.clock, limits });
  onTestFinished(() => operations[Symbol.asyncDispose]());
  const begin = async (request: SyncRequest, asker: Asker = { by: "me" }): Promise<SyncOperation> =>
    operationOf(await operations.begin(request, asker, forever));
  const done = async (request: SyncRequest): Promise<SyncOperation> => {
    const operation = await begin(request);
    await quiet();
    return operation;
  };
  return { rig, operations, begin, done };
}

function operationOf(begun: Begun): SyncOperation {
  if ("refused" in begun) throw new Error(begun.refused);
  return begun.operation;
}

function unanswered(about: string, reason: string) {
  return { repo: "repo", about, reason, message: expect.any(String) as string };
}

const outcomes = ({ hosts }: SyncOperation) => [...hosts].map(({ address, outcome }) => [address, outcome]);

describe("an operation", () => {
  test("tells of each host as it is attempted, and is over with the last", async () => {
    const { rig, begin } = await setUp();
    rig.source.push({ [WEB]: { a: "2" } });
    rig.transport.hold(h0.key);
    const operation = await begin(ALL);
    expect([operation.phase, operation.revisions]).toEqual(["Running", []]);
    await quiet();
    expect(operation.revisions).toEqual([{ repo: "repo", revision: rig.controller.fleet.revision }]);
    expect([operation.phase, outcomes(operation)]).toEqual([
      "Running",
      [
        ["h0", "Waiting"],
        ["h1", "Synced"],
      ],
    ]);
    rig.transport.release(h0.key);
    await quiet();
    expect([operation.phase, operation.finishedAt]).toEqual(["Succeeded", rig.clock.now()]);
    expect(operation.counts).toMatchObject({ total: 2, upToDate: 0, attempted: 2, Synced: 2, Waiting: 0 });
  });

  test("that Git or the inventory did not answer has failed, unless that is of no concern to what was asked", async () => {
    const { rig, done } = await setUp();
    rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "1" } });
    await done(ALL);
    rig.inventory.silent.add(API);
    const [ofOther, ofAll] = [await done({ ...FULL, scope: { app: "web" } }), await done(FULL)];
    expect([ofOther.phase, ofOther.problems.length, ofOther.unanswered]).toEqual(["Succeeded", 1, []]);
    expect([ofAll.phase, ofAll.unanswered]).toEqual(["Failed", [unanswered("inventory", "InventoryFailed")]]);
    expect(ofAll.counts.Synced).toBe(2);
    rig.source.error = new FssyncError("FetchFailed", "no answer");
    const ofGit = await done({ ...FULL, scope: { app: "web" } });
    expect([ofGit.phase, ofGit.unanswered]).toEqual(["Failed", [unanswered("git", "FetchFailed")]]);
  });

  test.for<[string, FssyncError, string]>([
    ["was not reached", new FssyncError("ConnectTimeout", "no answer"), "Unreachable"],
    ["failed", new FssyncError("NoSpace", "full"), "Failed"],
    ["was ended by our own end", new FssyncError("Interrupted", "told to stop"), "Waiting"],
  ])("of a host that %s", async ([, error, outcome]) => {
    const { rig, done } = await setUp();
    rig.transport.refuses = (host) => (host === h0.key ? error : null);
    const operation = await done(FULL);
    expect([operation.phase, operation.error, Object.fromEntries(outcomes(operation))]).toEqual([
      "Failed",
      null,
      { h0: outcome, h1: "Synced" },
    ]);
  });

  test("in full of a host whose record could not be written is no success, although the record says Synced", async () => {
    const { rig, done } = await setUp();
    rig.transport.onApply = () => void (rig.store.nextSaveError = new Error("disk full"));
    const operation = await done({ ...FULL, hosts: [h0.address] });
    expect([operation.phase, outcomes(operation)]).toEqual(["Failed", [["h0", "Failed"]]]);
  });

  test("of a host that left the inventory while it waited is no failure", async () => {
    const { rig, begin } = await setUp();
    rig.source.push({ [WEB]: { a: "2" } });
    rig.transport.hold(h0.key);
    const operation = await begin(ALL);
    await quiet();
    rig.inventory.set(WEB, [h1]);
    rig.controller.lookAgain();
    await quiet();
    rig.transport.release(h0.key);
    await quiet();
    expect([operation.phase, Object.fromEntries(outcomes(operation))]).toEqual([
      "Succeeded",
      { h0: "Gone", h1: "Synced" },
    ]);
  });

  test("of an app that Git no longer holds is done when the host has lost it", async () => {
    const { rig, done } = await setUp();
    rig.source.push({ [API]: { b: "1" } });
    rig.inventory.set(API, [h1]);
    const operation = await done({ ...ALL, allowPrune: true });
    expect([operation.phase, Object.fromEntries(outcomes(operation))]).toEqual([
      "Succeeded",
      { h0: "Synced", h1: "Synced" },
    ]);
  });

  test("of what was suspended after it was asked for says so", async () => {
    const { rig, begin, done } = await setUp({}, { concurrency: 1 });
    rig.transport.hold(h0.key);
    const operation = await begin(FULL);
    await quiet();
    rig.controller.suspend({ ...NOBODY, hosts: new Set([h1.key]) });
    rig.transport.release(h0.key);
    await quiet();
    const later = await done(FULL);
    for (const { phase, hosts } of [operation, later]) {
      const found = [...hosts].map(({ address, outcome }) => [address, outcome]);
      expect([phase, Object.fromEntries(found)]).toEqual(["Failed", { h0: "Synced", h1: "Suspended" }]);
    }
    expect(operation.counts).toMatchObject({ total: 2, attempted: 2, Suspended: 1 });
    expect(later.counts).toMatchObject({ total: 2, attempted: 1, Suspended: 1 });
  });

  test("a commit that comes meanwhile is as good as the one it was for", async () => {
    const { rig, begin } = await setUp();
    rig.source.push({ [WEB]: { a: "2" } });
    rig.transport.hold(h0.key);
    const operation = await begin({ ...ALL, hosts: [h0.address] });
    await quiet();
    rig.source.push({ [WEB]: { a: "3" } });
    await rig.pollGit();
    rig.transport.release(h0.key);
    await quiet();
    expect([operation.phase, outcomes(operation)]).toEqual(["Succeeded", [["h0", "Synced"]]]);
  });

  test("an unknown name is refused before anything is begun, and after Git was asked once more", async () => {
    const { rig, operations, begin } = await setUp();
    const { polls } = rig.source;
    await expect(begin({ ...ALL, scope: { app: "nothing" } })).rejects.toMatchObject({ reason: "UnknownName" });
    expect([operations.list(), rig.source.polls]).toEqual([[], polls + 1]);
  });

  test("of an app that its attributes refuse has not succeeded, although the hosts have its digest", async () => {
    const { rig, done } = await setUp();
    const { digest, manifest, tree } = rig.controller.fleet.desired.get(WEB)!;
    const refused = { reason: "InvalidAttributes", message: "owner -bad" } as const;
    const web = makeApp(WEB, { a: "1" });
    expect(web.digest).toBe(digest);
    rig.source.push({ [WEB]: { ...web, manifest, tree, refused } });
    for (const { phase, counts, hosts } of [await done(ALL), await done({ ...ALL, scope: { app: "web" } })]) {
      expect([phase, counts]).toMatchObject(["Failed", { total: 2, upToDate: 0, attempted: 0, Held: 2 }]);
      for (const host of hosts)
        expect(host).toMatchObject({ outcome: "Held", state: "Failed", apps: [{ app: WEB, reason: refused.reason }] });
    }
  });

  test("of a host on which somebody changed files has not succeeded, until it is told to lay over them", async () => {
    const { rig, done } = await setUp();
    const { fleet } = rig.controller;
    const drift = { files: [{ path: "a", change: "content", since: 1 }], count: 1, replaced: [] } as const;
    fleet.put(h0.key, new Map([[WEB, { ...fleet.hosts.get(h0.key)!.records.get(WEB)!, drift }]]));
    const known = await done(ALL);
    expect([known.phase, known.counts]).toMatchObject(["Failed", { total: 2, upToDate: 1, attempted: 0, Drifted: 1 }]);
    expect([...known.hosts]).toMatchObject([
      { address: "h0", outcome: "Drifted", state: "Drifted", apps: [{ app: WEB }] },
    ]);
    rig.source.push({ [WEB]: { a: "1", b: "1" } });
    const brought = await done(ALL);
    expect([brought.phase, Object.fromEntries(outcomes(brought))]).toEqual(["Failed", { h0: "Drifted", h1: "Synced" }]);
    const full = await done(FULL);
    expect([full.phase, full.counts]).toMatchObject(["Succeeded", { Drifted: 0, Synced: 2 }]);
  });

  test("in full is an event of the one object that it is about", async () => {
    const { rig, done } = await setUp();
    await done({ ...FULL, scope: { app: "web" } });
    await done({ ...FULL, hosts: [h0.address] });
    await done(FULL);
    await done(ALL);
    const events = rig.events("ResyncRequested").map(({ app, host, by }) => ({ app, host, by }));
    expect(events).toEqual([{ app: WEB, by: "me" }, { host: h0.key, by: "me" }, { by: "me" }]);
  });
});

describe("waiting", () => {
  test("ends with the operation, with the time, or with whoever waits", async () => {
    const { rig, operations, begin } = await setUp();
    rig.transport.hold(h0.key);
    const operation = await begin(FULL);
    const ended: string[] = [];
    const left = new AbortController();
    void operations.wait(operation, 1000, forever).then(() => ended.push("time"));
    void operations.wait(operation, HOUR, left.signal).then(() => ended.push("left"));
    void operations.wait(operation, HOUR, forever).then(() => ended.push("over"));
    await rig.pass(1000);
    left.abort();
    await quiet();
    expect(ended).toEqual(["time", "left"]);
    rig.transport.release(h0.key);
    await quiet();
    expect(ended).toEqual(["time", "left", "over"]);
    await operations.wait(operation, HOUR, forever);
  });

  test("ends when the process no longer leads; what was done is kept, and later ones are refused", async () => {
    const { rig, operations, begin } = await setUp();
    rig.transport.hold(h0.key);
    const operation = await begin(FULL);
    await quiet();
    const waited = operations.wait(operation, HOUR, forever);
    operations.end(new FssyncError("Interrupted", "another process may lead now"));
    await waited;
    expect([operation.phase, operation.error?.message]).toEqual(["Failed", "another process may lead now"]);
    const before = outcomes(operation);
    expect(Object.fromEntries(before)).toEqual({ h0: "Waiting", h1: "Synced" });
    rig.transport.release(h0.key);
    await quiet();
    expect(outcomes(operation)).toEqual(before);
    const applies = rig.transport.applies.length;
    await expect(begin(FULL)).rejects.toMatchObject({ reason: "Interrupted" });
    await quiet();
    expect(rig.transport.applies).toHaveLength(applies);
  });
});

describe("what is kept", () => {
  test("an operation for an hour after its end, and none that runs is forgotten", async () => {
    const { rig, operations, begin, done } = await setUp();
    rig.transport.hold(h0.key);
    const running = await begin(FULL);
    const short = await done({ ...ALL, hosts: [h1.address] });
    expect([running.phase, short.phase]).toEqual(["Running", "Succeeded"]);
    await rig.pass(HOUR - 1, HOUR / 10);
    expect(operations.list()).toEqual([short, running]);
    await rig.pass(1);
    expect([operations.list(), operations.get(short.id)]).toEqual([[running], undefined]);
    await rig.pass(2 * HOUR, HOUR);
    expect(operations.get(running.id)).toBe(running);
  });

  test("a thousand at most, the oldest that are over go first", async () => {
    const { operations, done } = await setUp();
    const first = await done(ALL);
    const second = await done(ALL);
    for (let count = 0; count < 999; count += 1) await done(ALL);
    expect([operations.list().length, operations.get(first.id), operations.get(second.id)]).toEqual([
      1000,
      undefined,
      second,
    ]);
  });

  test("so many results of apps on hosts at most: the oldest keep their counts alone; the last one has all of its own", async () => {
    const { rig, operations, done } = await setUp({ results: 3 });
    const [one, two] = [await done(FULL), await done({ ...FULL, hosts: [h0.address] })];
    expect([one.size, two.size, operations.list()]).toEqual([2, 1, [two, one]]);
    const three = await done({ ...FULL, hosts: [h1.address] });
    expect(operations.list()).toEqual([three, two, one]);
    expect([one, two, three].map(({ size, hostsForgotten }) => [size, hostsForgotten])).toEqual([
      [0, true],
      [1, false],
      [1, false],
    ]);
    expect([one.phase, one.counts]).toMatchObject(["Succeeded", { total: 2, upToDate: 0, attempted: 2, Synced: 2 }]);
    rig.inventory.set(WEB, [h0, h1, ...["h2", "h3"].map((name) => makeHost(name))]);
    const four = await done(FULL);
    expect([four, three, two].map(({ size }) => size)).toEqual([4, 0, 0]);
  });

  test("not at the cost of others: the caller who has most of them loses the oldest, and a key holds all the same", async () => {
    const { rig, operations, begin } = await setUp({ results: 4, operations: 3 });
    const by = async (who: string, key?: string) => {
      const operation = await begin(FULL, { by: who, ...(key && { key }) });
      await quiet();
      return operation;
    };
    const release = await by("ci", "release 42");
    const [first, second, third] = [await by("script", "1"), await by("script", "2"), await by("script", "3")];
    expect(operations.list()).toEqual([third, second, release]);
    expect([release.size, second.size, third.size]).toEqual([2, 0, 2]);
    const again = (who: string, key: string) => operations.begin(FULL, { by: who, key }, forever);
    expect(await again("ci", "release 42")).toEqual({ operation: release, repeated: true });
    expect([operations.get(first.id), await again("script", "1")]).toEqual([undefined, { refused: "Forgotten" }]);
    expect(await operations.begin(ALL, { by: "script", key: "1" }, forever)).toEqual({ refused: "KeyReused" });
    await rig.pass(HOUR, HOUR / 10);
    expect(await again("script", "1")).toMatchObject({ repeated: false });
  });

  test("so many apps on hosts run at a time; one alone may have more", async () => {
    const { rig, operations, begin } = await setUp({ runningResults: 3 });
    rig.transport.hold(h0.key);
    const all = await begin(FULL);
    await quiet();
    expect(operationOf(await operations.begin({ ...FULL, hosts: [h0.address] }, { by: "me" }, forever)).phase).toBe(
      "Running",
    );
    expect(await operations.begin({ ...FULL, hosts: [h1.address] }, { by: "me" }, forever)).toEqual({
      refused: "TooMany",
    });
    rig.transport.release(h0.key);
    await quiet();
    expect(all.phase).toBe("Succeeded");
    rig.inventory.set(WEB, [h0, h1, ...["h2", "h3"].map((name) => makeHost(name))]);
    rig.controller.lookAgain();
    await quiet();
    expect((await begin(FULL)).phase).toBe("Running");
  });

  test("a hundred run at a time; one more is refused, but for one that runs already", async () => {
    const { rig, operations, begin } = await setUp();
    rig.transport.hold(h0.key);
    await begin(FULL, { by: "me", key: "k" });
    await quiet();
    const { polls } = rig.source;
    await Promise.all(Array.from({ length: 99 }, () => begin(FULL)));
    expect(await operations.begin(FULL, { by: "me" }, forever)).toEqual({ refused: "TooMany" });
    expect(await operations.begin(FULL, { by: "me", key: "k" }, forever)).toMatchObject({ repeated: true });
    await quiet();
    // However many ask at once, Git is asked once.
    expect(rig.source.polls).toBe(polls + 1);
    rig.transport.release(h0.key);
    await quiet();
    expect(operations.list().every(({ phase }) => phase === "Succeeded")).toBe(true);
    expect(await operations.begin(ALL, { by: "me" }, forever)).toMatchObject({ repeated: false });
  });
});

describe("a key", () => {
  const KEY = { by: "me", key: "release 7" };

  test("is one operation for one asker, and as long as that is kept", async () => {
    const { rig, operations } = await setUp();
    const begin = (request: SyncRequest, asker = KEY) => operations.begin(request, asker, forever);
    const [first, again] = await Promise.all([begin(ALL), begin(ALL)]);
    expect(operationOf(again)).toBe(operationOf(first));
    expect([first, again]).toMatchObject([{ repeated: false }, { repeated: true }]);
    expect(operationOf(await begin(ALL, { ...KEY, by: "you" }))).not.toBe(operationOf(first));
    expect(await begin(FULL)).toEqual({ refused: "KeyReused" });
    await quiet();
    await rig.pass(HOUR);
    expect(operationOf(await begin(FULL))).not.toBe(operationOf(first));
  });

  test("of a request that was refused is free", async () => {
    const { operations } = await setUp();
    const unknown = operations.begin({ ...ALL, scope: { app: "nothing" } }, KEY, forever);
    await expect(unknown).rejects.toMatchObject({ reason: "UnknownName" });
    expect(await operations.begin(ALL, KEY, forever)).toMatchObject({ repeated: false });
  });
});

test("nothing is left when it is disposed of", async () => {
  const { rig, operations, begin, done } = await setUp();
  const { timers } = rig.clock;
  await done(ALL);
  rig.transport.hold(h0.key);
  const running = await begin(FULL);
  await quiet();
  await operations[Symbol.asyncDispose]();
  expect([running.phase, running.error?.reason]).toEqual(["Failed", "Interrupted"]);
  rig.transport.release(h0.key);
  await quiet();
  expect(rig.clock.timers).toBe(timers);
});
