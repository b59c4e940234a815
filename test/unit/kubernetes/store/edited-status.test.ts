import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { configAppName, configHostName, REPO_LABEL } from "../../../../src/kubernetes/objects.ts";
import { KubernetesStatusStore } from "../../../../src/kubernetes/store/status-store.ts";
import { StatusWriter } from "../../../../src/kubernetes/store/status-writer.ts";
import { specApp, textApp, textRevision } from "../../../../src/kubernetes/store/text.ts";
import type { AppKey } from "../../../../src/model/app.ts";
import type { HostRecord } from "../../../../src/model/record.ts";
import { MAX_UNFINISHED } from "../../../../src/reconcile/lag.ts";
import { makeRecord, revisionOf } from "../../../support/factories.ts";
import { FakeKubeApi } from "../../../support/fake-kube-api.ts";
import { recordedLog } from "../../../support/fakes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const WEB: AppKey = "nginx/prod/web";
const DB: AppKey = "pg/prod/db";
const KEY = "10.0.0.1:22";
const HOST = { address: "10.0.0.1", port: 22 };
const NAME = configHostName("files", HOST);
const APP = configAppName("files", { mod: "nginx", env: "prod", app: "web" });
const R1 = revisionOf("1");
const R2 = revisionOf("2");
const DIGEST = "d".repeat(64);
const SYNCED = makeRecord(null, { digest: DIGEST, revision: R1, syncedAt: 1_700_000_000_000 });

describe("a status that people have edited", () => {
  let api: FakeKubeApi;
  let store: KubernetesStatusStore;
  let writer: StatusWriter;
  let lines: Record<string, unknown>[];

  beforeEach(async () => {
    api = new FakeKubeApi();
    const recorded = recordedLog();
    lines = recorded.lines;
    const common = { client: api, clock: new ManualClock(), log: recorded.log };
    writer = new StatusWriter({ ...common, mayWrite: () => true });
    store = new KubernetesStatusStore({ ...common, writer, suspended: () => false });
    store.register("files", { namespace: "ns", name: "files", uid: "uid" });
    const host: HostRecord = { key: KEY, ...HOST, root: "/", apps: new Map([WEB, DB].map((app) => [app, SYNCED])) };
    const desired = { key: WEB, digest: DIGEST, revision: R1, seenAt: 0, refused: null };
    await store.save("files", { apps: new Map([[WEB, desired]]), hosts: new Map([[KEY, host]]) });
    await writer.flush(new AbortController().signal);
    expect(api.object(NAME)?.metadata.labels?.[REPO_LABEL]).toBe("files");
  });

  afterEach(async () => {
    await writer[Symbol.asyncDispose]();
  });

  it.each(["justone", "a/b", "a/b/c/d", "//", "", '"broken', '"a/b"', "5"])(
    "loses an entry that names no app (%j), said by the object's name; the host's other apps count",
    async (app) => {
      edit(WEB, { app });
      const { hosts } = await store.load("files");
      expect([...hosts.get(KEY)!.apps]).toEqual([[DB, SYNCED]]);
      expect(loud()).toMatchObject([{ kind: "ConfigHost", name: NAME, entries: [app] }]);
    },
  );

  it.each([
    { change: { revision: "main@sha1:--output=/tmp/x" }, unfinished: [] },
    { change: { revision: "main" }, unfinished: [] },
    { change: { unfinished: ["main@sha1:garbage", R2] }, unfinished: [R2] },
  ])("takes an app whose revision names no commit for never synced: $change", async ({ change, unfinished }) => {
    edit(WEB, change);
    const { apps } = (await store.load("files")).hosts.get(KEY)!;
    expect(apps.get(WEB)).toEqual({ ...SYNCED, digest: null, revision: null, unfinished });
    expect(apps.get(DB)).toEqual(SYNCED);
  });

  it("sends everything where an attempt names no commit, and still after the next attempt was noted", async () => {
    const attempts = [{ first: 50, last: 60, revision: "main", digest: DIGEST }];
    Object.assign(api.object(APP)!["status"] as object, { attempts });
    const host = (await store.load("files")).hosts.get(KEY)!;
    expect(host.apps.get(WEB)?.suspected).toEqual(Array.from({ length: MAX_UNFINISHED }, () => R1));
    const begun = new Map(host.apps).set(WEB, { ...SYNCED, unfinished: [R2] });
    await store.begin("files", { ...host, apps: begun }, new Set([WEB]));
    const again = (await store.load("files")).hosts.get(KEY)!;
    expect(again.apps.get(WEB)?.suspected).toHaveLength(MAX_UNFINISHED);
    await store.save("files", { hosts: new Map([[KEY, { ...again, apps: new Map([[WEB, SYNCED]]) }]]) });
    expect((await store.load("files")).hosts.get(KEY)!.apps.get(WEB)).toEqual(SYNCED);
  });

  it("knows no desired content of an app whose revision names no commit", async () => {
    Object.assign(api.object(APP)!["status"] as object, { revision: "main" });
    expect((await store.load("files")).apps).toEqual(new Map());
  });

  it.each([
    { mod: "", env: "e", app: "a" },
    { mod: "m", env: "e/x", app: "a" },
  ])("names no app with the parts %j", (id) => {
    expect(() => specApp(id)).toThrow(/no app/);
  });

  it("reads what it writes", () => {
    expect(textApp("m/e/a")).toBe("m/e/a");
    expect(specApp({ mod: "m", env: "e", app: "a" })).toBe("m/e/a");
    expect(textRevision(`feature/x@y@sha1:${"a".repeat(64)}`)).toBe(`feature/x@y@sha1:${"a".repeat(64)}`);
    expect(textRevision(`@sha1:${"a".repeat(40)}`)).toBeUndefined();
    expect(textRevision(`main@sha1:${"a".repeat(41)}`)).toBeUndefined();
  });

  function edit(app: AppKey, change: object): void {
    const { apps } = api.object(NAME)!["status"] as { apps: { app: string }[] };
    Object.assign(
      apps.find((each) => each.app === app)!,
      change,
    );
  }

  function loud() {
    return lines.filter(({ level }) => level === 50);
  }
});
