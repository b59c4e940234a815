import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { configHostName } from "../../../../src/kubernetes/objects.ts";
import { KubernetesStatusStore } from "../../../../src/kubernetes/store/status-store.ts";
import { StatusWriter } from "../../../../src/kubernetes/store/status-writer.ts";
import type { AppKey } from "../../../../src/model/app.ts";
import type { AppRecord, HostRecord } from "../../../../src/model/record.ts";
import { makeRecord, revisionOf } from "../../../support/factories.ts";
import { FakeKubeApi, refusal, type FakeRequest } from "../../../support/fake-kube-api.ts";
import { quiet, recordedLog } from "../../../support/fakes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const WEB: AppKey = "nginx/prod/web";
const [R1, R2] = [revisionOf("1"), revisionOf("2")] as const;
const FIRST = makeRecord(null, { digest: "1".repeat(64), revision: R1, syncedAt: 1_700_000_000_000 });
const SECOND = makeRecord(null, { digest: "2".repeat(64), revision: R2, syncedAt: 1_700_000_000_000 });
const EMPTY = { repo: { revision: null, problems: [] }, apps: new Map(), hosts: new Map() };

describe("a repo of which something cannot be written", () => {
  let api: FakeKubeApi;
  let clock: ManualClock;
  let store: KubernetesStatusStore;
  let writer: StatusWriter;
  /** What the API server refuses, and how. */
  let refuses: (request: FakeRequest) => number | undefined;

  beforeEach(async () => {
    api = new FakeKubeApi();
    clock = new ManualClock();
    refuses = () => undefined;
    api.before = (request) => {
      const status = refuses(request);
      if (status !== undefined) throw refusal(status);
    };
    const common = { client: api, clock, log: recordedLog().log };
    writer = new StatusWriter({ ...common, mayWrite: () => true });
    store = new KubernetesStatusStore({ ...common, writer, suspended: () => false });
    for (const name of ["files", "other"]) store.register(name, { namespace: "ns", name, uid: `uid-${name}` });
    await store.save("files", { hosts: hosts(FIRST) });
    await store.save("other", { hosts: hosts(FIRST) });
    await flushed();
  });

  afterEach(async () => {
    await writer[Symbol.asyncDispose]();
  });

  it.each([403, 413, 422])("is read at once when one object is refused (%i), with what waits for it", async (code) => {
    refuses = ({ method, path }) => (method === "PATCH" && path.includes(nameOf(2)) ? code : undefined);
    await store.save("files", { hosts: hosts(SECOND) });
    await quiet();
    // No clock moves here: what would wait would wait for ever.
    expect((await store.load("files")).hosts).toEqual(hosts(SECOND));
    expect(api.object(nameOf(2))!["status"]).toMatchObject({ apps: [{ revision: R1 }] });
    expect(writer.pending).toBe(1);

    refuses = () => undefined;
    clock.advance(300_000);
    await quiet();
    expect(writer.pending).toBe(0);
    expect(api.object(nameOf(2))!["status"]).toMatchObject({ apps: [{ revision: R2 }] });
    expect((await store.load("files")).hosts).toEqual(hosts(SECOND));
  });

  it("stops waiting when the refusal comes while it waits", async () => {
    const gate = Promise.withResolvers<void>();
    api.before = async ({ method }) => {
      if (method !== "PATCH") return;
      await gate.promise;
      throw refusal(422);
    };
    await store.save("files", { hosts: hosts(SECOND) });
    const loaded = store.load("files");
    await quiet();
    gate.resolve();
    expect((await loaded).hosts).toEqual(hosts(SECOND));
  });

  it("has objects that could not be made, and the notes of what was about to be sent", async () => {
    refuses = ({ method }) => (method === "GET" ? undefined : 403);
    const desired = { key: WEB, digest: SECOND.digest!, revision: R2, seenAt: 5, refused: null };
    const begun: AppRecord = { ...FIRST, unfinished: [R2] };
    const fourth = hosts(FIRST, 4).get(keyOf(4))!;
    await store.save("files", { apps: new Map([[WEB, desired]]), hosts: new Map([[keyOf(4), fourth]]) });
    const began = store.begin("files", hosts(begun).get(keyOf(1))!, new Set([WEB]));
    await quiet();
    clock.advance(2000);
    await began;
    const { apps, hosts: loaded } = await store.load("files");
    expect(apps.get(WEB)).toEqual(desired);
    expect(loaded.get(keyOf(4))?.apps.get(WEB)).toMatchObject({ digest: FIRST.digest, revision: R1 });
    expect(loaded.get(keyOf(1))?.apps.get(WEB)).toEqual({ ...FIRST, suspected: [R2] });
  });

  it("does not have what waits to be removed", async () => {
    refuses = ({ method }) => (method === "DELETE" ? 403 : undefined);
    await store.save("files", { hosts: new Map([[keyOf(1), null]]) });
    await quiet();
    expect([...(await store.load("files")).hosts.keys()]).toEqual([keyOf(2), keyOf(3)]);
  });

  it("does not wait for the removal of another one, and is empty while its own is refused", async () => {
    refuses = ({ method }) => (method === "DELETE" ? 403 : undefined);
    store.remove("other").catch(() => undefined);
    await quiet();
    expect((await store.load("files")).hosts).toEqual(hosts(FIRST));
    expect(await store.load("other")).toEqual(EMPTY);
    await store.save("other", { hosts: hosts(SECOND) });
    expect((await store.load("other")).hosts).toEqual(hosts(SECOND));
  });

  it("does not wait for another's removal that is not refused but slow either", async () => {
    const gate = Promise.withResolvers<void>();
    api.before = ({ method }) => (method === "DELETE" ? gate.promise : undefined);
    const removal = writer.removeAll("ConfigHost", "ns", "fssync.dev/repo=third");
    await quiet();
    expect((await store.load("files")).hosts).toEqual(hosts(FIRST));
    gate.resolve();
    await removal;
  });

  it("waits for what may still be written, but not for ever", async () => {
    refuses = ({ method, path }) => (method === "PATCH" && path.includes(nameOf(2)) ? 500 : undefined);
    await store.save("files", { hosts: hosts(SECOND) });
    let loaded = false;
    const load = store.load("files").then((status) => {
      loaded = true;
      return status;
    });
    await quiet();
    expect(loaded).toBe(false);
    clock.advance(10_000);
    expect((await load).hosts).toEqual(hosts(SECOND));
  });

  async function flushed(): Promise<void> {
    await writer.flush(new AbortController().signal);
    expect(writer.pending).toBe(0);
  }
});

function keyOf(n: number): string {
  return `10.0.0.${n}:22`;
}

function nameOf(n: number): string {
  return configHostName("files", { address: `10.0.0.${n}`, port: 22 });
}

function hosts(record: AppRecord, count = 3): ReadonlyMap<string, HostRecord> {
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  return new Map(
    numbers.map((n) => {
      const [key, address] = [keyOf(n), `10.0.0.${n}`];
      return [key, { key, address, port: 22, root: "/", apps: new Map([[WEB, record]]) }];
    }),
  );
}
