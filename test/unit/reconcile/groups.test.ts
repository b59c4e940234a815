import { describe, expect, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import type { DesiredApp } from "../../../src/model/manifest.ts";
import type { Lagging } from "../../../src/plan/host-plan.ts";
import { groupKey, Groups } from "../../../src/reconcile/groups.ts";
import { FakeGitSource, FakeTransport, recordedLog } from "../../support/fakes.ts";
import { checksumOf, makeApp, objectId, revisionOf } from "../../support/factories.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const web = makeApp(WEB, { a: "1" });
const api = makeApp(API, { b: "1" });

function setUp(idleLimit?: number) {
  const source = new FakeGitSource();
  const transport = new FakeTransport();
  const prune = { prune: true, maxDeletePercent: 20 };
  const { log, lines } = recordedLog();
  return {
    source,
    transport,
    lines,
    groups: new Groups({ source, transport, prune, log, ...(idleLimit !== undefined && { idleLimit }) }),
  };
}

/** A host that has `base` of an app. */
function behind(base: DesiredApp, desired: DesiredApp): Lagging {
  return { ...fresh(desired), recorded: { digest: base.digest, revision: revisionOf("1") }, base };
}

function fresh(desired: DesiredApp): Lagging {
  return { desired, recorded: null, base: null, unfinished: [], full: false, allowPrune: false };
}

describe("groups of hosts that need the same", () => {
  test("are planned and prepared once, while hosts come together and after each other", async () => {
    const { source, transport, groups } = setUp();
    const together = await Promise.all([1, 2, 3].map(() => groups.enter([web], [fresh(web)])));
    for (const group of together) await group[Symbol.asyncDispose]();
    const later = await groups.enter([web], [fresh(web)]);
    expect(later.plan).toBe(together[0]!.plan);
    expect(transport.prepared).toHaveLength(1);
    expect(source.materialized).toEqual([web.tree]);
  });

  test("those that nobody uses are disposed of beyond the limit, the longest unused first", async () => {
    const { transport, groups } = setUp(1);
    const first = await groups.enter([web], [fresh(web)]);
    await first[Symbol.asyncDispose]();
    expect(transport.disposed).toBe(0);
    const second = await groups.enter([api], [fresh(api)]);
    expect(transport.disposed).toBe(0);
    await second[Symbol.asyncDispose]();
    expect(transport.disposed).toBe(1);
    await groups.enter([api], [fresh(api)]);
    expect(transport.prepared).toHaveLength(2);
    await groups.enter([web], [fresh(web)]);
    expect(transport.prepared).toHaveLength(3);
  });

  test("one in use is never disposed of", async () => {
    const { transport, groups } = setUp(0);
    const used = await groups.enter([web], [fresh(web)]);
    const other = await groups.enter([api], [fresh(api)]);
    await other[Symbol.asyncDispose]();
    expect(transport.disposed).toBe(1);
    expect(groups.trees()).toEqual(new Set([web.tree]));
    await used[Symbol.asyncDispose]();
    expect(transport.disposed).toBe(2);
    expect(groups.trees().size).toBe(0);
  });

  test("an app that cannot be made ready leaves the others, and is tried anew by the next host", async () => {
    const { source, transport, groups } = setUp();
    const error = new FssyncError("SourceUnavailable", "no such object");
    source.broken.set(web.tree, error);
    const enter = () => groups.enter([web, api], [fresh(web), fresh(api)]);
    const first = await enter();
    expect([...first.unready]).toEqual([[WEB, error]]);
    expect(first.prepared!.change.apps.map(({ app }) => app)).toEqual([API]);
    source.broken.clear();
    const second = await enter();
    expect(second.unready.size).toBe(0);
    await first[Symbol.asyncDispose]();
    expect(transport.disposed).toBe(1);
  });

  test("when preparing fails, every host that waits fails and the next one tries anew", async () => {
    const { transport, groups } = setUp();
    transport.nextPrepareError = new FssyncError("ControllerNoSpace", "disk full");
    const both = await Promise.allSettled([1, 2].map(() => groups.enter([web], [fresh(web)])));
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect((await groups.enter([web], [fresh(web)])).prepared).not.toBeNull();
  });

  test("say of what may lie where something is laid how it is known: by checksum and by size", async () => {
    const { source, transport, groups } = setUp();
    const next = makeApp(WEB, { a: "2" });
    source.bytes.set(objectId("1"), 10).set(objectId("2"), 7);
    await groups.enter([next], [behind(web, next)]);
    const checksums = ["1", "2"].map((text) => checksumOf(objectId(text)));
    expect(transport.prepared[0]!.apps[0]!.replaces).toEqual([{ path: "a", checksums, maxSize: 10 }]);
  });

  test("when earlier versions cannot be read now, nothing is sent unguarded: the next one tries anew", async () => {
    const { source, transport, groups } = setUp();
    const next = makeApp(WEB, { a: "2" });
    const checksums = source.checksums.bind(source);
    source.checksums = () => Promise.reject(Object.assign(new Error("no file handles left"), { code: "EMFILE" }));
    await expect(groups.enter([next], [behind(web, next)])).rejects.toMatchObject({ code: "EMFILE" });
    expect(transport.prepared).toEqual([]);
    source.checksums = checksums;
    await groups.enter([next], [behind(web, next)]);
    expect(transport.prepared[0]!.apps[0]!.replaces).toHaveLength(1);
  });

  test("an app whose earlier versions are lost goes without a guard, the others do not, and it is tried anew", async () => {
    const { source, transport, lines, groups } = setUp();
    const next = [makeApp(WEB, { a: "2" }), makeApp(API, { b: "other" })];
    const checksums = source.checksums.bind(source);
    source.checksums = async (blobs) => {
      const wanted = [...blobs];
      if (wanted.includes(objectId("2"))) throw new FssyncError("SourceUnavailable", "no such blob");
      return await checksums(wanted);
    };
    const enter = () => groups.enter(next, [behind(web, next[0]!), behind(api, next[1]!)]);
    const guarded = () => transport.prepared.at(-1)!.apps.map(({ app, replaces = [] }) => [app, replaces.length]);
    const first = await enter();
    expect([[...first.unguarded], Object.fromEntries(guarded())]).toEqual([[WEB], { [WEB]: 0, [API]: 1 }]);
    expect(lines).toMatchObject([{ level: 40, app: WEB, msg: expect.stringContaining("laid over unseen") }]);
    source.checksums = checksums;
    const second = await enter();
    expect([second.unguarded.size, Object.fromEntries(guarded())]).toEqual([0, { [WEB]: 1, [API]: 1 }]);
    await first[Symbol.asyncDispose]();
    expect(transport.disposed).toBe(1);
  });

  test("with nothing to send, nothing is prepared", async () => {
    const { transport, groups } = setUp();
    const recorded = { digest: web.digest, revision: revisionOf("1") };
    const group = await groups.enter([web], [{ ...fresh(web), recorded, base: web }]);
    expect([group.prepared, transport.prepared.length]).toEqual([null, 0]);
  });

  test("at the end everything is disposed of", async () => {
    const { transport, groups } = setUp();
    await groups.enter([web], [fresh(web)]);
    await (await groups.enter([api], [fresh(api)]))[Symbol.asyncDispose]();
    await groups[Symbol.asyncDispose]();
    expect(transport.disposed).toBe(2);
  });
});

test("two hosts are in one group only when nothing that counts differs", () => {
  const recorded = { digest: "d", revision: revisionOf("1") };
  const base = { digest: "d", manifest: [] };
  const one = fresh(web);
  const keys = [
    groupKey([web], [one]),
    groupKey([web, api], [one]),
    groupKey([web, api], [one, fresh(api)]),
    groupKey([makeApp(WEB, { a: "2" })], [one]),
    groupKey([{ ...web, refused: { reason: "InvalidPath", message: "no" } }], [one]),
    groupKey([web], [{ ...one, recorded }]),
    groupKey([web], [{ ...one, recorded, base }]),
    groupKey([web], [{ ...one, recorded: { ...recorded, digest: "e" }, base }]),
    groupKey([web], [{ ...one, full: true }]),
    groupKey([web], [{ ...one, allowPrune: true }]),
    groupKey([web], [{ ...one, unfinished: [null] }]),
    groupKey([web], [{ ...one, unfinished: [base] }]),
    groupKey([web], [{ ...one, unfinished: [base, base] }]),
  ];
  expect(new Set(keys).size).toBe(keys.length);
});
