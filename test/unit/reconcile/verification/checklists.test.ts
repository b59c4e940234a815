import { expect, test } from "vitest";
import type { AppKey } from "../../../../src/model/app.ts";
import { FssyncError } from "../../../../src/model/errors.ts";
import { revisionCommit, type Revision } from "../../../../src/model/revision.ts";
import { Fleet, type FleetHost } from "../../../../src/reconcile/fleet.ts";
import { Checklists } from "../../../../src/reconcile/verification/checklists.ts";
import { FakeGitSource } from "../../../support/fakes.ts";
import { checksumOf, makeApp, makeHost, makeRecord, objectId, type Files } from "../../../support/factories.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";

/** A fleet on which two hosts run both apps; `synced` says what a host has of which. */
async function setUp(isIgnored: (path: string) => boolean = () => false) {
  const source = new FakeGitSource();
  const revisions: Revision[] = [];
  const fleet = new Fleet(
    { repo: { revision: null, problems: [] }, apps: new Map(), hosts: new Map() },
    new ManualClock(),
  );
  const push = async (apps: Record<string, Files>) => {
    revisions.push(source.push(apps));
    fleet.setDesired(await source.discover(await source.poll()));
  };
  await push({ [WEB]: { a: "1", b: "1" }, [API]: { c: "1" } });
  fleet.setHosts(new Map([WEB, API].map((app) => [app, ["h0", "h1"].map((name) => makeHost(name))])));
  const host = (key: string): FleetHost => fleet.hosts.get(key)!;
  const apps = () => [WEB, API].map((app) => fleet.desired.get(app)!);
  const synced = (key: string, files: Files, at: number) => {
    const record = makeRecord(makeApp(WEB, files), { revision: revisions[at]! });
    fleet.put(key, new Map([[WEB, record]]));
  };
  return { source, revisions, push, host, apps, synced, checklists: new Checklists({ source, isIgnored }) };
}

const paths = ({ files }: { files: readonly { path: string }[] }) => files.map(({ path }) => path);

test("hosts that have the same share one list, also when they come at once", async () => {
  const { checklists, host, apps } = await setUp();
  const [one, two] = await Promise.all([checklists.of(host("h0:22"), apps()), checklists.of(host("h1:22"), apps())]);
  expect(two.files).toBe(one.files);
  expect((await checklists.of(host("h1:22"), apps())).files).toBe(one.files);
  expect((await checklists.of(host("h0:22"), apps().slice(1))).files).not.toBe(one.files);
});

test("the files of all apps follow each other, with their checksums", async () => {
  const { checklists, host, apps } = await setUp();
  const { files, apps: listed } = await checklists.of(host("h0:22"), apps());
  expect(files.map(({ path }) => path)).toEqual(["a", "b", "c"]);
  expect(listed.map(({ app, start, desired }) => [app, start, desired])).toEqual([
    [WEB, 0, undefined],
    [API, 2, undefined],
  ]);
  expect(listed[0]!.checksums.get(objectId("1"))).toBe(checksumOf(objectId("1")));
});

test("what is ignored is not looked at", async () => {
  const { checklists, host, apps } = await setUp((path) => path === "a");
  const { files, apps: listed } = await checklists.of(host("h0:22"), apps());
  expect(paths({ files })).toEqual(["b", "c"]);
  expect(listed.map(({ start }) => start)).toEqual([0, 1]);
});

test("a host that lags is held against what it last synced, and beside it against Git", async () => {
  const { checklists, host, apps, push, synced } = await setUp();
  await push({ [WEB]: { a: "2", d: "2" }, [API]: { c: "1" } });
  synced("h0:22", { a: "1", b: "1" }, 0);
  const { files, apps: listed } = await checklists.of(host("h0:22"), apps());
  expect(paths({ files })).toEqual(["a", "b", "c"]);
  expect(paths({ files: listed[0]!.desired! })).toEqual(["a", "d"]);
  const blobs = ["1", "2"].map((text) => objectId(text));
  expect(blobs.map((blob) => listed[0]!.checksums.has(blob))).toEqual([true, true]);
});

test("an app whose last synced revision is lost is left out, the others are not", async () => {
  const { checklists, source, revisions, host, apps, push, synced } = await setUp();
  await push({ [WEB]: { a: "2" }, [API]: { c: "1" } });
  synced("h0:22", { a: "1", b: "1" }, 0);
  source.lost.add(revisionCommit(revisions[0]!));
  const list = await checklists.of(host("h0:22"), apps());
  expect([paths(list), list.apps.map(({ app }) => app)]).toEqual([["c"], [API]]);
});

test("what could not be made is made anew for the next host", async () => {
  const { checklists, source, host, apps } = await setUp();
  const checksums = source.checksums.bind(source);
  source.checksums = () => Promise.reject(new FssyncError("SourceUnavailable", "the mirror is gone"));
  await expect(checklists.of(host("h0:22"), apps())).rejects.toMatchObject({ reason: "SourceUnavailable" });
  source.checksums = checksums;
  expect(paths(await checklists.of(host("h0:22"), apps()))).toEqual(["a", "b", "c"]);
});

test("a file may be as large as it was sent, or as Git has it by now", async () => {
  const { checklists, source, host, apps, push, synced } = await setUp();
  await push({ [WEB]: { a: "2", b: "3", d: "4" }, [API]: { c: "1" } });
  synced("h0:22", { a: "1", b: "1" }, 0);
  const sizes = { "1": 10, "2": 20, "3": 5, "4": 50 };
  for (const [text, size] of Object.entries(sizes)) source.bytes.set(objectId(text), size);
  const { files } = await checklists.of(host("h0:22"), apps());
  expect(files.map(({ path, maxSize }) => [path, maxSize])).toEqual([
    ["a", 20],
    ["b", 10],
    ["c", 10],
  ]);
});
