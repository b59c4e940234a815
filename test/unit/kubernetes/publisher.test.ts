import { describe, expect, onTestFinished, test } from "vitest";
import type { ConfigAppStatus, ConfigRepoStatus } from "../../../src/config/resources.ts";
import { Publisher, type PublisherOptions } from "../../../src/kubernetes/publisher.ts";
import type { AppKey } from "../../../src/model/app.ts";
import type { DriftChange, DriftedFile } from "../../../src/model/drift.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import type { HostKey } from "../../../src/model/host.ts";
import { quiet } from "../../support/fakes.ts";
import { makeFailure, makeHost } from "../../support/factories.ts";
import { Rig } from "../reconcile/rig.ts";

const WEB: AppKey = "nginx/prod/web";
const hosts = Array.from({ length: 4 }, (_, index) => makeHost(`h${index}`));
const [h0, h1] = [hosts[0]!, hosts[1]!];

class Published {
  readonly rig = new Rig();
  readonly repo: Partial<ConfigRepoStatus>[] = [];
  readonly apps: Partial<ConfigAppStatus>[] = [];
  readonly restated: string[][] = [];
  readonly events: string[] = [];
  readonly publisher: Publisher;

  constructor(before: Partial<PublisherOptions["before"]> = {}) {
    onTestFinished(() => this.rig[Symbol.asyncDispose]());
    this.publisher = new Publisher({
      controller: this.rig.controller,
      generation: () => 7,
      before: { repo: undefined, app: () => undefined, ...before },
      writeRepo: (status) => void this.repo.push(structuredClone(status)),
      writeApp: (_, status) => void this.apps.push(structuredClone(status)),
      restate: (records) => void this.restated.push(records.map(({ key }) => key)),
      events: { record: ({ app }, _, reason, message) => void this.events.push(`${reason} ${app}: ${message}`) },
      clock: this.rig.clock,
    });
  }

  /** Everything synced and published. */
  async settle(): Promise<this> {
    this.rig.source.push({ [WEB]: { a: "1" } });
    this.rig.inventory.set(WEB, hosts);
    await this.rig.start();
    this.publisher.publish();
    return this;
  }

  /** As if a look had found these files changed on the host; none when there are none. */
  find(host: HostKey, ...files: DriftedFile[]): void {
    const { fleet } = this.rig.controller;
    const { drift: _, ...record } = fleet.hosts.get(host)!.records.get(WEB)!;
    const drift = { files, count: files.length, replaced: [] };
    fleet.put(host, new Map([[WEB, files.length > 0 ? { ...record, drift } : record]]));
    this.publisher.publish();
  }

  ready(status: Partial<ConfigAppStatus> | undefined) {
    return status?.conditions?.find(({ type }) => type === "Ready");
  }
}

function changed(path: string, change: DriftChange = "content"): DriftedFile {
  return { path, change, since: 0 };
}

function types(status: { conditions?: { type: string }[] | undefined } | undefined): string[] {
  return (status?.conditions ?? []).map(({ type }) => type);
}

describe("ConfigApp", () => {
  test("counts its hosts, says that all have it, and remembers the rollout", async () => {
    const { apps, rig, events } = await new Published().settle();
    const [status] = apps;
    const digest = rig.digest(WEB);
    const { revision } = rig.controller.fleet.desired.get(WEB)!;
    expect(status).toMatchObject({
      state: "Synced",
      hosts: { total: 4, synced: 4, pending: 0, failed: 0, unreachable: 0, drifted: 0 },
      lastAttemptedRevision: revision,
      lastAppliedRevision: revision,
      history: [{ digest, revision, total: 4, synced: 4, finishedAt: new Date(rig.clock.now()).toISOString() }],
    });
    expect(status!.conditions).toMatchObject([
      { type: "Ready", status: "True", reason: "Synced", observedGeneration: 7 },
    ]);
    expect(events).toEqual([`SyncSucceeded ${WEB}: ${revision} is on all 4 hosts`]);
  });

  test("nothing is written when nothing moved", async () => {
    const published = await new Published().settle();
    const written = [published.apps.length, published.repo.length];
    await published.rig.pass(300_000, 10_000);
    published.publisher.publish();
    expect([published.apps.length, published.repo.length]).toEqual(written);
  });

  test("a rollout that is stuck names the worst host and keeps the last applied revision", async () => {
    const published = await new Published().settle();
    const { rig, apps } = published;
    const before = apps[0]!.lastAppliedRevision;
    rig.transport.refuses = (host) => {
      if (host === h1.key) return new FssyncError("NoSpace", "disk full");
      return host === h0.key ? new FssyncError("ConnectTimeout", "no answer") : null;
    };
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    published.publisher.publish();
    const status = apps.at(-1)!;
    expect(status).toMatchObject({
      state: "Failed",
      hosts: { synced: 2, failed: 1, unreachable: 1 },
      lastAppliedRevision: before,
      history: [{ synced: 2, total: 4 }, { synced: 4 }],
    });
    expect(status.lastAttemptedRevision).not.toBe(before);
    expect(status.history![0]!.finishedAt).toBeUndefined();
    expect(published.ready(status)).toMatchObject({ status: "False", reason: "NoSpace" });
    expect(published.ready(status)!.message).toContain("h1:22: NoSpace: disk full");
    expect(published.events).toHaveLength(1);
  });

  test("Ready keeps the time of its last transition while it stays", async () => {
    const published = await new Published().settle();
    const since = published.ready(published.apps[0])!.lastTransitionTime;
    published.rig.source.push({ [WEB]: { a: "2" } });
    await published.rig.pollGit();
    published.publisher.publish();
    expect(published.apps).toHaveLength(2);
    expect(published.ready(published.apps[1])!.lastTransitionTime).toBe(since);
  });

  test("what moves for as long as it does is Reconciling", async () => {
    const published = await new Published().settle();
    const { rig, apps, publisher } = published;
    rig.transport.hold(h0.key);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    publisher.publish();
    expect(types(apps.at(-1))).toEqual(["Ready", "Reconciling"]);
    rig.transport.release(h0.key);
    await quiet();
    publisher.publish();
    expect(types(apps.at(-1))).toEqual(["Ready"]);
  });

  test("whose hosts the inventory cannot tell is not ready; it is when there are none", async () => {
    const published = await new Published().settle();
    const { rig, apps, publisher } = published;
    const files = { [WEB]: { a: "1" }, "zeta/prod/z": { z: "1" } };
    rig.inventory.silent.add("zeta/prod/z");
    rig.source.push(files);
    await rig.pollGit();
    publisher.publish();
    expect(rig.controller.knows("zeta/prod/z")).toBe(false);
    expect(apps.at(-1)).toMatchObject({ state: "Pending", hosts: { total: 0 } });
    expect(published.ready(apps.at(-1))).toMatchObject({
      status: "False",
      reason: "InventoryFailed",
      message: "the inventory has not said which hosts run it",
    });
    rig.inventory.silent.clear();
    await rig.pass(600_000, 10_000);
    publisher.publish();
    expect(rig.controller.knows("zeta/prod/z")).toBe(true);
    expect(apps.at(-1)).toMatchObject({ state: "Synced", hosts: { total: 0 } });
    expect(published.ready(apps.at(-1))).toMatchObject({ status: "True", reason: "NoHosts" });
  });

  test("goes on from the history that it had before this process, five rollouts at most", async () => {
    const entry = (name: string) => ({
      revision: `main@sha1:${name}`,
      digest: name,
      startedAt: "2026-01-01T00:00:00.000Z",
      finishedAt: "2026-01-01T00:00:01.000Z",
      total: 1,
      synced: 1,
    });
    const history = ["e", "d", "c", "b", "a"].map(entry);
    const { apps } = await new Published({ app: () => ({ history }) }).settle();
    expect(apps[0]!.history!.map(({ digest }) => digest).slice(1)).toEqual(["e", "d", "c", "b"]);
  });
});

describe("ConfigApp whose files somebody changed on hosts", () => {
  const drifted = (status: Partial<ConfigAppStatus> | undefined) =>
    status?.conditions?.find(({ type }) => type === "Drifted");

  test("is Drifted while a host has such files, and not when they are healed", async () => {
    const published = await new Published().settle();
    const { apps } = published;
    published.find(h0.key, changed("etc/a"));
    published.find(h1.key, changed("etc/a", "mode"), changed("etc/b", "missing"));
    const status = apps.at(-1)!;
    expect(status).toMatchObject({ state: "Drifted", hosts: { total: 4, synced: 2, drifted: 2 } });
    expect(published.ready(status)).toMatchObject({ status: "False", reason: "Drifted" });
    expect(published.ready(status)!.message).toMatch(/^4 of 4 hosts have .*; h0:22: Drifted: \/etc\/a content$/);
    expect(drifted(status)).toMatchObject({
      status: "True",
      reason: "FilesChanged",
      message: "3 files on 2 hosts changed by somebody else; h1:22: /etc/b missing, /etc/a mode",
      observedGeneration: 7,
    });
    expect(types(status)).toEqual(["Ready", "Drifted"]);
    published.find(h1.key);
    expect(drifted(apps.at(-1))!.message).toBe("1 file on 1 host changed by somebody else; h0:22: /etc/a content");
    published.find(h0.key);
    expect(types(apps.at(-1))).toEqual(["Ready"]);
    expect(apps.at(-1)).toMatchObject({ state: "Synced", hosts: { synced: 4, drifted: 0 } });
  });

  test("is Drifted too when its host is in another state, and as long as it is so", async () => {
    const published = await new Published().settle();
    const { apps, rig } = published;
    published.find(h0.key, changed("etc/a"));
    const since = drifted(apps.at(-1))!.lastTransitionTime;
    rig.transport.refuses = (host) => (host === h0.key ? new FssyncError("ConnectTimeout", "no answer") : null);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    published.publisher.publish();
    expect(apps.at(-1)).toMatchObject({ state: "Unreachable", hosts: { unreachable: 1, drifted: 0 } });
    expect(drifted(apps.at(-1))).toMatchObject({ status: "True", lastTransitionTime: since });
  });

  test("counts as rolled out: what was brought there is what counts", async () => {
    const published = await new Published().settle();
    const { apps, repo, rig, events } = published;
    rig.transport.hold(h0.key);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    published.find(h1.key, changed("etc/a"));
    expect(apps.at(-1)!.history![0]).toMatchObject({ synced: 3, total: 4 });
    expect(apps.at(-1)!.history![0]).not.toHaveProperty("finishedAt");
    rig.transport.release(h0.key);
    await quiet();
    published.publisher.publish();
    const { revision } = rig.controller.fleet.desired.get(WEB)!;
    expect(apps.at(-1)).toMatchObject({ state: "Drifted", lastAppliedRevision: revision });
    expect(apps.at(-1)!.history![0]).toMatchObject({ synced: 4, total: 4, finishedAt: expect.any(String) });
    expect(repo.at(-1)).toMatchObject({ hosts: 4, synced: 3, drifted: 1, lastAppliedRevision: revision });
    expect(repo.at(-1)!.conditions![0]).toMatchObject({ type: "Ready", status: "True", reason: "Succeeded" });
    expect(events.at(-1)).toBe(`SyncSucceeded ${WEB}: ${revision} is on all 4 hosts`);
  });

  test("a look that fails attempts no revision", async () => {
    const published = await new Published().settle();
    const { apps, rig } = published;
    const { fleet, suspension } = rig.controller;
    const before = apps.at(-1)!;
    suspension.set({ repo: false, apps: new Set([WEB]), hosts: new Set() }, fleet);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    const failure = makeFailure({ state: "Unreachable", reason: "ConnectTimeout", verifying: true });
    fleet.put(h0.key, new Map([[WEB, { ...fleet.hosts.get(h0.key)!.records.get(WEB)!, failure }]]));
    published.publisher.publish();
    expect(apps.at(-1)).toMatchObject({
      state: "Unreachable",
      hosts: { unreachable: 1, pending: 3 },
      lastAttemptedRevision: before.lastAttemptedRevision,
      lastAppliedRevision: before.lastAppliedRevision,
    });
    expect(apps.at(-1)!.history![0]!.revision).not.toBe(before.lastAppliedRevision);
  });

  test("a look that fails takes no rollout back", async () => {
    const published = await new Published().settle();
    const { apps, rig } = published;
    const { fleet } = rig.controller;
    const before = apps.at(-1)!;
    const failure = makeFailure({ state: "Unreachable", reason: "ConnectTimeout", verifying: true });
    fleet.put(h0.key, new Map([[WEB, { ...fleet.hosts.get(h0.key)!.records.get(WEB)!, failure }]]));
    published.publisher.publish();
    expect(apps.at(-1)).toMatchObject({ state: "Unreachable", history: before.history, hosts: { unreachable: 1 } });
    expect(published.ready(apps.at(-1))!.message).toContain("4 of 4 hosts have");
  });
});

describe("ConfigRepo", () => {
  test("one host that is down does not make it unready; the numbers tell", async () => {
    const published = await new Published().settle();
    const { rig, repo, publisher } = published;
    rig.transport.refuses = (host) => (host === h0.key ? new FssyncError("ConnectTimeout", "no answer") : null);
    rig.source.push({ [WEB]: { a: "2" } });
    await rig.pollGit();
    publisher.publish();
    expect(repo.at(-1)).toMatchObject({ apps: 1, hosts: 4, synced: 3, failed: 0, unreachable: 1 });
    expect(repo.at(-1)!.conditions).toMatchObject([{ type: "Ready", status: "True", reason: "Succeeded" }]);
    expect(repo.at(-1)!.lastAppliedRevision).toBe(repo[0]!.lastAppliedRevision);
  });

  test("Git that does not answer is FetchFailed only while it lasts", async () => {
    const published = await new Published().settle();
    const { rig, repo, publisher } = published;
    rig.source.nextError = new FssyncError("FetchFailed", "no route to the remote");
    await rig.pollGit();
    publisher.publish();
    expect(repo.at(-1)!.conditions).toMatchObject([
      { type: "Ready", status: "False", reason: "FetchFailed" },
      { type: "FetchFailed", status: "True", message: "no route to the remote" },
    ]);
    await rig.pass(60_000, 5000);
    publisher.publish();
    expect(types(repo.at(-1))).toEqual(["Ready"]);
  });

  test("one that is suspended from its beginning says that", () => {
    const { rig, repo, publisher } = new Published();
    const nothing = { known: new Map(), recordOf: () => null };
    rig.controller.suspension.set({ repo: true, apps: new Set(), hosts: new Set() }, nothing);
    publisher.publish();
    expect(repo).toMatchObject([{ conditions: [{ type: "Ready", status: "False", reason: "Suspended" }] }]);
    expect(types(repo[0])).toEqual(["Ready"]);
  });

  test("before Git and the inventory have spoken it says so, and counts nothing", async () => {
    const published = new Published({ repo: { apps: 9, hosts: 9, synced: 9 } });
    published.rig.inventory.silent.add(WEB);
    published.publisher.publish();
    expect(published.repo).toMatchObject([
      { conditions: [{ type: "Ready", status: "False", reason: "Progressing" }, {}] },
    ]);
    published.rig.source.push({ [WEB]: { a: "1" } });
    await published.rig.start();
    published.publisher.publish();
    expect(types(published.repo.at(-1))).toContain("InventoryFailed");
    expect(published.repo.at(-1)).toMatchObject({ hosts: 9, synced: 9 });
    expect(published.apps).toEqual([]);
  });
});

test("hosts of apps that moved are looked at once more after a while, so that one that lags says so", async () => {
  const published = await new Published().settle();
  const { rig, restated, publisher } = published;
  const passes = async (seconds: number) => {
    for (let second = 0; second < seconds; second += 1) {
      await rig.pass(1000);
      publisher.publish();
    }
  };
  await passes(40);
  restated.length = 0;
  await passes(40);
  expect(restated).toEqual([]);
  rig.source.push({ [WEB]: { a: "2" } });
  await rig.pollGit();
  await passes(40);
  expect(restated).toEqual([hosts.map(({ key }) => key)]);
});
