import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { configHostName, GROUP, REPO_LABEL, VERSION, type Resource } from "../../../../src/kubernetes/objects.ts";
import { KubernetesStatusStore } from "../../../../src/kubernetes/store/status-store.ts";
import { StatusWriter } from "../../../../src/kubernetes/store/status-writer.ts";
import type { HostRecord } from "../../../../src/model/record.ts";
import { makeRecord, revisionOf } from "../../../support/factories.ts";
import { FakeKubeApi } from "../../../support/fake-kube-api.ts";
import { quiet, recordedLog } from "../../../support/fakes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const HOST = { address: "10.0.0.1", port: 22 };
const KEY = "10.0.0.1:22";
const NAME = configHostName("files", HOST);
const REF = { kind: "ConfigHost", namespace: "ns", name: NAME } as const;
const SYNCED = makeRecord(null, { digest: "1".repeat(64), revision: revisionOf("1"), syncedAt: 1_700_000_000_000 });
const RECORD: HostRecord = { key: KEY, ...HOST, root: "/srv", apps: new Map([["m/e/a", SYNCED]]) };
const OWNER = { apiVersion: `${GROUP}/${VERSION}`, kind: "ConfigRepo", name: "files", uid: "uid" };

describe("an object of the right name", () => {
  let api: FakeKubeApi;
  let clock: ManualClock;
  let store: KubernetesStatusStore;
  let writer: StatusWriter;
  let lines: Record<string, unknown>[];
  let keeps: boolean;

  beforeEach(() => {
    api = new FakeKubeApi();
    clock = new ManualClock();
    keeps = false;
    const recorded = recordedLog();
    lines = recorded.lines;
    const common = { client: api, clock, log: recorded.log };
    writer = new StatusWriter({ ...common, mayWrite: () => true });
    store = new KubernetesStatusStore({ ...common, writer, suspended: () => false, keeps: () => keeps });
    store.register("files", { namespace: "ns", name: "files", uid: "uid" });
  });

  afterEach(async () => {
    await writer[Symbol.asyncDispose]();
  });

  it.each([
    { by: "creation refused", watched: false },
    { by: "a watch", watched: true },
  ])("that a user made in advance gets the label and the owner, and keeps suspend (found by $by)", async (found) => {
    const { resourceVersion, generation } = (await make("files")).metadata!;
    if (found.watched) writer.observed(REF, { resourceVersion, generation });
    await put(RECORD);
    expect(api.object(NAME)).toMatchObject({
      metadata: { labels: { team: "a", [REPO_LABEL]: "files" }, ownerReferences: [{ ...OWNER, controller: true }] },
      spec: { suspend: true, root: "/srv" },
      status: { state: "Pending", apps: [{ app: "m/e/a" }] },
    });
    expect((await store.load("files")).hosts.get(KEY)).toEqual(RECORD);
    expect(lines.filter(({ level }) => level === 50)).toEqual([]);
  });

  it("that lost its label gets it again, and keeps other owners", async () => {
    const other = { apiVersion: "v1", kind: "ConfigMap", name: "x", uid: "x", controller: true };
    await make("files", { ownerReferences: [other] });
    await put(RECORD);
    expect(api.object(NAME)!.metadata.ownerReferences).toMatchObject([other, { ...OWNER, controller: false }]);
    api.object(NAME)!.metadata.labels = {};
    api.requests.length = 0;
    await put({ ...RECORD, root: "/" });
    expect(api.requests.map(({ method }) => method)).toEqual(["PATCH", "PATCH"]);
    const next = new StatusWriter({ client: api, clock, log: recordedLog().log, mayWrite: () => true });
    const make2 = () => ({ ...api.object(NAME)!, metadata: { name: NAME, labels: { [REPO_LABEL]: "files" } } });
    await next.write(REF, { total: 1 }, { make: make2, isNew: true });
    expect(api.object(NAME)!.metadata.labels).toEqual({ [REPO_LABEL]: "files" });
    await next[Symbol.asyncDispose]();
  });

  it.each([
    { of: "its repoRef", repo: "other", metadata: {} },
    { of: "its owner", repo: "files", metadata: { ownerReferences: [{ ...OWNER, name: "other", uid: "o" }] } },
  ])("that is another ConfigRepo's by $of is not written to, which is said once", async ({ repo, metadata }) => {
    await make(repo, metadata);
    const before = structuredClone(api.object(NAME));
    await store.save("files", { hosts: new Map([[KEY, RECORD]]) });
    await quiet();
    clock.advance(300_000);
    await quiet();
    expect(api.object(NAME)).toEqual(before);
    expect(lines.filter(({ level }) => level === 50)).toMatchObject([
      { kind: "ConfigHost", object: `ns/${NAME}`, message: expect.stringContaining("ConfigRepo other") },
    ]);
    expect((await store.load("files")).hosts.get(KEY)).toEqual(RECORD);
    // Until somebody makes room.
    api.objects.clear();
    clock.advance(300_000);
    await quiet();
    expect(api.object(NAME)).toMatchObject({ status: { apps: [{ app: "m/e/a" }] } });
  });

  it("that an earlier ConfigRepo of the same name left is made anew", async () => {
    await make("files", { ownerReferences: [{ ...OWNER, uid: "earlier" }] });
    await put(RECORD);
    expect(api.object(NAME)).toMatchObject({ metadata: { ownerReferences: [OWNER] }, spec: { root: "/srv" } });
    expect(api.object(NAME)).not.toHaveProperty("spec.suspend");
  });

  it("that does not go away does not keep the API server busy", async () => {
    await make("files", { ownerReferences: [{ ...OWNER, uid: "earlier" }] });
    const held = api.object(NAME)!;
    api.before = () => void api.objects.set(`ns/confighosts/${NAME}`, held);
    await store.save("files", { hosts: new Map([[KEY, RECORD]]) });
    await quiet();
    await quiet();
    expect(api.requests.length).toBeLessThan(25);
    expect(writer.pending).toBe(1);
  });

  it("outlives the host's absence while it is suspended, without its record", async () => {
    await put(RECORD);
    Object.assign(api.object(NAME)!["spec"] as object, { suspend: true });
    keeps = true;
    await store.save("files", { hosts: new Map([[KEY, null]]) });
    await flushed();
    expect(api.object(NAME)).toMatchObject({ spec: { suspend: true }, status: { observedGeneration: 1 } });
    expect(Object.keys(api.object(NAME)!["status"] as object)).toEqual(["observedGeneration"]);
    expect((await store.load("files")).hosts).toEqual(new Map());
    await put({ ...RECORD, root: "/moved" });
    expect(api.object(NAME)).toMatchObject({ spec: { suspend: true, root: "/moved" } });
    expect((await store.load("files")).hosts.get(KEY)).toEqual({ ...RECORD, root: "/moved" });
    keeps = false;
    await store.save("files", { hosts: new Map([[KEY, null]]) });
    await flushed();
    expect(api.object(NAME)).toBeUndefined();
  });

  it("that a watch says is gone is made without asking first; what is under way is left alone", async () => {
    await put(RECORD);
    api.objects.clear();
    writer.gone(REF);
    writer.gone({ ...REF, name: "unknown" });
    api.requests.length = 0;
    const gate = Promise.withResolvers<void>();
    api.before = () => gate.promise;
    await store.save("files", { hosts: new Map([[KEY, RECORD]]) });
    await quiet();
    writer.gone(REF);
    gate.resolve();
    await flushed();
    expect(api.requests.map(({ method }) => method)).toEqual(["POST", "PATCH"]);
    expect(api.object(NAME)).toMatchObject({ status: { apps: [{ app: "m/e/a" }] } });
  });

  async function make(repo: string, metadata: object = {}): Promise<Resource> {
    const body = {
      apiVersion: `${GROUP}/${VERSION}`,
      kind: "ConfigHost",
      metadata: { name: NAME, namespace: "ns", labels: { team: "a" }, ...metadata },
      spec: { repoRef: { name: repo }, ...HOST, root: "/", suspend: true },
    };
    const path = `/apis/${GROUP}/${VERSION}/namespaces/ns/confighosts`;
    return (await api.json(path, { method: "POST", body })) as Resource;
  }

  async function put(record: HostRecord): Promise<void> {
    await store.save("files", { hosts: new Map([[KEY, record]]) });
    await flushed();
  }

  async function flushed(): Promise<void> {
    await writer.flush(new AbortController().signal);
    expect(writer.pending).toBe(0);
  }
});
