import { describe, expect, test } from "vitest";
import type { DesiredApp } from "../../../src/model/manifest.ts";
import { planHost, type AppPlan, type HostPlan, type Lagging, type PruneOptions } from "../../../src/plan/host-plan.ts";
import { makeApp, objectId, revisionOf, type Files } from "../../support/factories.ts";

const WEB = "nginx/prod/web";
const API = "nginx/prod/api";
const web = (files: Files, overrides: Partial<DesiredApp> = {}) => makeApp(WEB, files, overrides);
const api = (files: Files, overrides: Partial<DesiredApp> = {}) => makeApp(API, files, overrides);
const ALL: PruneOptions = { prune: true, maxDeletePercent: 100 };
const TWENTY: PruneOptions = { prune: true, maxDeletePercent: 20 };

/** How a host lags that has `base` of an app. */
function lag(base: DesiredApp | null, desired: DesiredApp, overrides: Partial<Lagging> = {}): Lagging {
  const recorded = base && { digest: base.digest, revision: revisionOf("0") };
  return { desired, recorded, base, unfinished: [], full: false, allowPrune: false, ...overrides };
}

function plan(lagging: readonly Lagging[], others: readonly DesiredApp[] = [], options = ALL): HostPlan {
  return planHost([...lagging.map(({ desired }) => desired), ...others], lagging, options);
}

function only({ apps }: HostPlan): AppPlan {
  expect(apps).toHaveLength(1);
  return apps[0]!;
}

function of({ apps }: HostPlan, key: string): AppPlan {
  return apps.find(({ app }) => app === key)!;
}

function tenFiles(): Files {
  return Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`etc/f${index}`, "x"]));
}

function without(files: Files, count: number): Files {
  return Object.fromEntries(Object.entries(files).slice(count));
}

describe("what other apps claim", () => {
  test("a path that another app of the host has is not deleted", () => {
    const shared = plan([lag(web({ "etc/a": "1", "etc/b": "1" }), web({ "etc/b": "1" }))], [api({ "etc/a": "2" })]);
    expect(only(shared)).toMatchObject({ action: "record", delete: [] });
    expect(shared.emptyFolders).toEqual([]);
  });

  test("nor counts as replaced", () => {
    const shared = plan([lag(web({ "etc/a": "1", "etc/b": "1" }), web({ "etc/b": "2" }))], [api({ "etc/a": "2" })]);
    expect(only(shared).replaces.map(({ path }) => path)).toEqual(["etc/b"]);
  });

  test("a path that moves from one app to another in one commit is sent and not deleted", () => {
    const moved = plan([
      lag(web({ "etc/a": "1", "etc/b": "1" }), web({ "etc/b": "1" })),
      lag(api({ "etc/c": "1" }), api({ "etc/a": "1", "etc/c": "1" })),
    ]);
    expect(of(moved, WEB).delete).toEqual([]);
    expect(of(moved, API).send.map(({ path }) => path)).toEqual(["etc/a"]);
  });

  test("what the app that gives a path up put there is what the other one replaces", () => {
    const begun = web({ "etc/a": "begun", "etc/b": "1" });
    const moved = plan([
      lag(web({ "etc/a": "1", "etc/b": "1" }), web({ "etc/b": "1" }), { unfinished: [begun] }),
      lag(api({ "etc/c": "1" }), api({ "etc/a": "2", "etc/c": "2" })),
    ]);
    expect(of(moved, API).replaces).toEqual([
      { path: "etc/c", blobs: [objectId("1"), objectId("2")], changed: true },
      { path: "etc/a", blobs: [objectId("1"), objectId("begun"), objectId("2")], changed: true },
    ]);
    expect(of(moved, WEB).replaces.map(({ path }) => path)).not.toContain("etc/a");
  });

  test("so it is for an app that is new on the host; of a base that is lost nothing is known", () => {
    const to = (giver: Lagging) => of(plan([giver, lag(null, api({ "etc/a": "2", "etc/d": "2" }))]), API).replaces;
    const giver = lag(web({ "etc/a": "1", "etc/b": "1" }), web({ "etc/b": "1" }));
    expect(to(giver)).toEqual([{ path: "etc/a", blobs: [objectId("1"), objectId("2")], changed: true }]);
    expect(to({ ...giver, base: null })).toEqual([]);
  });

  test("a path that an app which is refused claims is not deleted under it", () => {
    const refused = api({ "etc/a": "1" }, { refused: { reason: "UnsupportedFile", message: "submodule" } });
    const held = plan([lag(web({ "etc/a": "1" }), web({})), lag(null, refused)]);
    expect(of(held, WEB).delete).toEqual([]);
    expect(of(held, API)).toMatchObject({ action: "hold", send: [], refusal: { reason: "UnsupportedFile" } });
  });

  test("a path in which an app that is not sent now has its folder, or above which it has its file, is not deleted", () => {
    const folder = plan([lag(web({ "etc/x": "1", "etc/b": "1" }), web({ "etc/b": "1" }))], [api({ "etc/x/a": "1" })]);
    expect(only(folder).delete).toEqual([]);
    const file = plan([lag(web({ "etc/x/a": "1", "etc/b": "1" }), web({ "etc/b": "1" }))], [api({ "etc/x": "1" })]);
    expect(only(file).delete).toEqual([]);
  });

  test("a path whose folder only resembles another app's path is deleted", () => {
    const similar = plan([lag(web({ "etc/xy/a": "1" }), web({}))], [api({ "etc/x": "1", "etc/xyz": "1" })]);
    expect(only(similar).delete).toEqual(["etc/xy/a"]);
  });
});

describe("folders and files that change places", () => {
  test("a folder becomes a file: its files go, the folder is tried", () => {
    const change = plan([lag(web({ "etc/x/a": "1", "etc/x/b/c": "1" }), web({ "etc/x": "1" }))]);
    expect(only(change)).toMatchObject({ action: "send", delete: ["etc/x/a", "etc/x/b/c"] });
    expect(only(change).send.map(({ path }) => path)).toEqual(["etc/x"]);
    expect(change.emptyFolders).toEqual(["etc/x/b", "etc/x"]);
  });

  test("a file becomes a folder: the file goes, the folder stays", () => {
    const change = plan([lag(web({ "etc/x": "1" }), web({ "etc/x/a": "1" }))]);
    expect(only(change)).toMatchObject({ delete: ["etc/x"] });
    expect(change.emptyFolders).toEqual([]);
  });

  test("a folder becomes a file of another app in one commit", () => {
    const change = plan([
      lag(web({ "etc/x/a": "1", "etc/b": "1" }), web({ "etc/b": "1" })),
      lag(api({ "etc/c": "1" }), api({ "etc/c": "1", "etc/x": "1" })),
    ]);
    expect(of(change, WEB).delete).toEqual(["etc/x/a"]);
    expect(of(change, API).send.map(({ path }) => path)).toEqual(["etc/x"]);
    expect(change.emptyFolders).toEqual(["etc/x"]);
  });
});

describe("emptied folders", () => {
  test("deepest first, each once, with their parents", () => {
    const { emptyFolders } = plan([lag(web({ "a/b/c/1": "", "a/b/2": "", "a/d/3": "" }), web({}))]);
    expect(emptyFolders.toSorted()).toEqual(["a", "a/b", "a/b/c", "a/d"]);
    for (const [index, folder] of emptyFolders.entries())
      expect(emptyFolders.slice(index + 1).some((later) => later.startsWith(`${folder}/`))).toBe(false);
  });

  test("never one that any app of the host still uses", () => {
    const { emptyFolders } = plan(
      [lag(web({ "etc/a/1": "", "etc/b/1": "", "etc/c/1": "" }), web({ "etc/b/2": "" }))],
      [api({ "etc/c/d/e": "" })],
    );
    expect(emptyFolders).toEqual(["etc/a"]);
  });

  test("none where nothing is deleted", () => {
    expect(plan([lag(null, web({ "etc/a/1": "" }))]).emptyFolders).toEqual([]);
    const kept = plan([lag(web({ "etc/a/1": "" }), web({}))], [], { prune: false, maxDeletePercent: 100 });
    expect(kept.emptyFolders).toEqual([]);
  });
});

describe("the limit on deletes", () => {
  const base = web(tenFiles());
  const gone = (count: number) => web(without(tenFiles(), count));

  test.for([
    { count: 2, action: "send" },
    { count: 3, action: "hold" },
    { count: 10, action: "hold" },
  ])("$count of 10 files at 20 %: $action", ({ count, action }) => {
    expect(only(plan([lag(base, gone(count))], [], TWENTY)).action).toBe(action);
  });

  test("a held change sends nothing and says how much, of how many, and what is allowed", () => {
    const held = plan([lag(base, gone(3))], [], TWENTY);
    expect(only(held)).toMatchObject({
      action: "hold",
      send: [],
      delete: [],
      refusal: {
        reason: "PruneLimitExceeded",
        message: "deletes 3 of 10 files, sync.maxDeletePercent 20 allows 2",
      },
    });
    expect(held.emptyFolders).toEqual([]);
  });

  test("a held change is told beside what is done: what it would send and delete", () => {
    const changed = web({ ...without(tenFiles(), 3), "etc/new": "" });
    const { send, delete: gone, held } = only(plan([lag(base, changed)], [], TWENTY));
    expect({ send, gone }).toEqual({ send: [], gone: [] });
    expect(held?.send.map(({ path }) => path)).toEqual(["etc/new"]);
    expect(held?.delete).toEqual(["etc/f0", "etc/f1", "etc/f2"]);
    expect(only(plan([lag(base, changed, { allowPrune: true })], [], TWENTY))).not.toHaveProperty("held");
  });

  test("allowPrune lets it through", () => {
    expect(only(plan([lag(base, gone(10), { allowPrune: true })], [], TWENTY)).delete).toHaveLength(10);
  });

  test("all files of a small app are held even where rounding up would allow it", () => {
    expect(only(plan([lag(web({ a: "" }), web({}))], [], TWENTY)).action).toBe("hold");
    expect(only(plan([lag(web({ a: "" }), web({ b: "" }))], [], TWENTY)).action).toBe("send");
    expect(only(plan([lag(web({ a: "" }), web({}))], [], ALL)).action).toBe("send");
  });

  test("paths that other apps claim do not count as deletes", () => {
    const others = api(Object.fromEntries(Object.entries(tenFiles()).slice(0, 9)));
    expect(only(plan([lag(base, gone(9))], [others], TWENTY))).toMatchObject({ action: "record", delete: [] });
  });

  test("prune false: nothing is deleted and nothing is held", () => {
    const kept = plan([lag(base, web({ "etc/new": "" }))], [], { prune: false, maxDeletePercent: 20 });
    expect(only(kept)).toMatchObject({ action: "send", delete: [] });
  });

  test("without a base there is nothing to limit", () => {
    expect(only(plan([lag(null, gone(9))], [], TWENTY))).toMatchObject({ action: "send", delete: [], base: null });
  });
});

describe("conflicts", () => {
  test("both apps are held, the one that lags and the one that does not", () => {
    const disputed = plan([lag(null, web({ "etc/a": "1", "etc/b": "1" }))], [api({ "etc/a": "2" })]);
    expect(disputed.apps.map(({ app, action, refusal }) => [app, action, refusal?.message])).toEqual([
      [WEB, "hold", `/etc/a is claimed by ${API} too`],
      [API, "hold", `/etc/a is claimed by ${WEB} too`],
    ]);
  });

  test("a third app that is not concerned is sent", () => {
    const third = makeApp("nginx/prod/other", { "etc/c": "1" });
    const disputed = plan([lag(null, web({ "etc/a": "1" })), lag(null, third)], [api({ "etc/a": "2" })]);
    expect(of(disputed, "nginx/prod/other").action).toBe("send");
  });

  test("a refused app says why it is refused, not that it is in conflict", () => {
    const refused = web({ "etc/a": "1" }, { refused: { reason: "InvalidPath", message: "no" } });
    expect(of(plan([lag(null, refused)], [api({ "etc/a": "2" })]), WEB).refusal?.reason).toBe("InvalidPath");
  });

  test("nothing of a held app is deleted by another one that moves", () => {
    // Both apps claim etc/a; web gives up etc/b which only it had.
    const disputed = plan([lag(web({ "etc/a": "1", "etc/b": "1" }), web({ "etc/a": "1" }))], [api({ "etc/a": "2" })]);
    expect(disputed.apps.every((one) => one.delete.length === 0 && one.send.length === 0)).toBe(true);
  });
});

describe("a retired app", () => {
  const retired = web({}, { retired: true });

  test("its files go, when the limit lets them", () => {
    const { apps, emptyFolders } = plan([lag(web({ "etc/w/a": "1" }), retired)]);
    expect(apps[0]).toMatchObject({ action: "send", send: [], delete: ["etc/w/a"] });
    expect(emptyFolders).toEqual(["etc/w", "etc"]);
  });

  test("it is held below 100 %", () => {
    expect(only(plan([lag(web({ a: "1" }), retired)], [], { prune: true, maxDeletePercent: 99 })).action).toBe("hold");
  });

  test("with prune false, or a lost base, it is recorded and its files stay", () => {
    expect(only(plan([lag(web({ a: "1" }), retired)], [], { prune: false, maxDeletePercent: 20 })).action).toBe(
      "record",
    );
    expect(only(plan([lag(web({ a: "1" }), retired, { base: null })], [], TWENTY)).action).toBe("record");
  });

  test("what another app took over stays", () => {
    expect(only(plan([lag(web({ a: "1", b: "1" }), retired)], [api({ a: "1" })])).delete).toEqual(["b"]);
  });
});

describe("why, in one line", () => {
  const short = `main@sha1:${objectId("0").slice(0, 8)}`;
  const base = web({ a: "1", b: "1", c: "1" });
  const next = web({ a: "2", b: "1" });
  test.for<[string, Lagging, string]>([
    ["new", lag(null, next), "new here: nothing was synced yet, sends all 2 of 2 files"],
    ["behind", lag(base, next), `behind: has ${short}, sends 1 of 2 files and deletes 1`],
    ["same", lag(base, web({ a: "1", b: "1", c: "1" })), `same files as ${short}: recorded, nothing is sent`],
    ["full", lag(base, next, { full: true }), "full sync asked for: sends all 2 of 2 files and deletes 1"],
    ["lost", lag(base, next, { base: null }), `its base ${short} is lost: sends all 2 of 2 files, deletes nothing`],
    [
      "unfinished",
      lag(base, next, { unfinished: [base] }),
      "an earlier sync did not finish: sends 1 of 2 files and deletes 1",
    ],
    [
      "other ownership",
      lag(base, next, { base: { digest: "other", manifest: base.manifest } }),
      `default ownership changed since ${short}: sends all 2 of 2 files and deletes 1`,
    ],
    ["retired", lag(base, web({}, { retired: true })), `gone from Git since ${short}: deletes 3`],
    ["refused", lag(base, web({}, { refused: { reason: "LfsPointer", message: "a is one" } })), "held: a is one"],
  ])("%s", ([, lagging, why]) => {
    expect(only(plan([lagging])).why).toBe(why);
  });
});
