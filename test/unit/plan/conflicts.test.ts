import { describe, expect, test } from "vitest";
import { pathConflicts } from "../../../src/plan/conflicts.ts";
import { makeApp, type Files } from "../../support/factories.ts";

const A = "m/e/a";
const B = "m/e/b";
const C = "m/e/c";
const OVERLAY = { text: "x", from: "m/e/common_files" };

function conflicts(...apps: Files[]) {
  return Object.fromEntries(pathConflicts(apps.map((files, index) => makeApp([A, B, C][index]! as typeof A, files))));
}

describe("paths that two apps of one host claim", () => {
  test.for<{ name: string; apps: Files[]; found: Record<string, string> }>([
    { name: "none", apps: [], found: {} },
    { name: "one app alone", apps: [{ a: "", "a/b": "" }], found: {} },
    { name: "different paths", apps: [{ "etc/a": "" }, { "etc/b": "" }], found: {} },
    {
      name: "the same path",
      apps: [{ "etc/a": "1" }, { "etc/a": "1" }],
      found: { [A]: `/etc/a is claimed by ${B} too`, [B]: `/etc/a is claimed by ${A} too` },
    },
    {
      name: "one's file is the other's folder, whoever comes first",
      apps: [{ "etc/a": "" }, { "etc/a/b/c": "" }],
      found: {
        [A]: `/etc/a/b/c is claimed by ${B} too, and etc/a is ours`,
        [B]: `/etc/a is claimed by ${A} too, and etc/a/b/c is ours`,
      },
    },
    {
      name: "one's folder is the other's file",
      apps: [{ "etc/a/b": "" }, { "etc/a": "" }],
      found: {
        [A]: `/etc/a is claimed by ${B} too, and etc/a/b is ours`,
        [B]: `/etc/a/b is claimed by ${A} too, and etc/a is ours`,
      },
    },
    { name: "names that only begin alike", apps: [{ "etc/a": "" }, { "etc/ab": "", "etc/a.d/x": "" }], found: {} },
    { name: "a file of the overlay that both have", apps: [{ motd: OVERLAY }, { motd: OVERLAY }], found: {} },
    {
      name: "a file of the overlay against an app's own",
      apps: [{ motd: OVERLAY }, { motd: "own" }],
      found: { [A]: `/motd is claimed by ${B} too`, [B]: `/motd is claimed by ${A} too` },
    },
    {
      name: "a control character is shown, not printed",
      apps: [{ "a\nb": "" }, { "a\nb": "" }],
      found: { [A]: `/a\\x0ab is claimed by ${B} too`, [B]: `/a\\x0ab is claimed by ${A} too` },
    },
    {
      name: "a file of the overlay that lies in a folder which is another app's file",
      apps: [{ "etc/x/motd": OVERLAY }, { "etc/x": "own" }],
      found: {
        [A]: `/etc/x is claimed by ${B} too, and etc/x/motd is ours`,
        [B]: `/etc/x/motd is claimed by ${A} too, and etc/x is ours`,
      },
    },
  ])("$name", ({ apps, found }) => {
    expect(conflicts(...apps)).toEqual(found);
  });

  test("three apps on one path: each is named in a conflict", () => {
    expect(Object.keys(conflicts({ a: "1" }, { a: "2" }, { a: "3" })).sort()).toEqual([A, B, C]);
  });

  test("two apps that share a file of the overlay, and a third with its own: all three are named", () => {
    expect(Object.keys(conflicts({ motd: OVERLAY }, { motd: OVERLAY }, { motd: "own" })).sort()).toEqual([A, B, C]);
    expect(Object.keys(conflicts({ motd: "own" }, { motd: OVERLAY }, { motd: OVERLAY })).sort()).toEqual([A, B, C]);
  });

  test("two apps that share overlay files, of which a third claims the folder as a file: all three are named", () => {
    const found = conflicts({ "etc/x/motd": OVERLAY }, { "etc/x/motd": OVERLAY }, { "etc/x": "own" });
    expect(Object.keys(found).sort()).toEqual([A, B, C]);
  });

  test("an app that has a file and a folder of the same name only by way of the overlay is no conflict of its own", () => {
    expect(conflicts({ "etc/x": "1", "etc/x/y": OVERLAY }, { other: "" })).toEqual({});
  });
});
