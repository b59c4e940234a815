import { describe, expect, it } from "vitest";
import { appFiles, resolveFiles } from "../../../src/source/app-files.ts";
import { type Attributes, ownership } from "../../../src/source/attributes.ts";
import { appDigest } from "../../../src/source/digest.ts";
import { isNeverSent } from "../../../src/source/excluded.ts";
import { layOut } from "../../../src/source/layout.ts";
import type { TreeEntry } from "../../../src/source/ls-tree.ts";

const DEFAULTS = { owner: "root", group: "root" };
const APP = "nginx/prod/web";

/** A listing as `ls-tree -r -t` gives it: folders before what they hold. */
function listing(...paths: (string | [path: string, mode: string])[]): TreeEntry[] {
  const entries = new Map<string, TreeEntry>();
  for (const item of paths) {
    const [path, mode] = typeof item === "string" ? [item, "100644"] : item;
    const names = path.split("/");
    for (let depth = 1; depth < names.length; depth++) {
      const folder = names.slice(0, depth).join("/");
      entries.set(folder, { mode: "040000", type: "tree", id: `tree ${folder}`, path: folder });
    }
    entries.set(path, { mode, type: mode === "160000" ? "commit" : "blob", id: `blob ${path}`, path });
  }
  return [...entries.values()];
}

describe("layOut", () => {
  it("finds apps, gives them their overlay, and does not take the overlay for an app", () => {
    const { apps } = layOut(listing(`${APP}/a`, "nginx/prod/common/b", "nginx/test/web/c"), "common");
    expect(apps.map(({ path, overlay }) => [path, overlay?.path])).toEqual([
      [APP, "nginx/prod/common"],
      ["nginx/test/web", undefined],
    ]);
  });

  it("takes a folder named like an overlay for an app when there is no overlay", () => {
    expect(layOut(listing("nginx/prod/common/b"), undefined).apps).toHaveLength(1);
  });

  it.each([
    ["a file beside the envs", "nginx/README", ["nginx/README"]],
    ["a file beside the apps", "nginx/prod/README", ["nginx/prod/README"]],
    ["a readme at the root", "README.md", []],
    ["attributes between the levels", "nginx/prod/.gitattributes", []],
  ])("warns of %s only when it may be a mistake", (_what, path, warned) => {
    expect(layOut(listing(path), undefined).warnings.map((warning) => warning.path)).toEqual(warned);
  });

  it("names a bad folder once, at the level where it is bad", () => {
    const { apps, warnings } = layOut(listing("a b/c d/e f/g"), undefined);
    expect(apps).toEqual([]);
    expect(warnings.map(({ path }) => path)).toEqual(["a b"]);
  });

  it("warns of a submodule where an app would be", () => {
    expect(layOut(listing([APP, "160000"]), undefined).warnings[0]?.reason).toBe("UnsupportedFile");
  });
});

describe("resolveFiles", () => {
  function resolve(paths: Parameters<typeof listing>, attributes: Record<string, Attributes> = {}) {
    const { apps } = layOut(listing(...paths), "common");
    return resolveFiles(appFiles(apps[0]!), new Map(Object.entries(attributes)), DEFAULTS);
  }

  it("gives a symlink its own mode, whatever the attributes say", () => {
    const { files } = resolve([[`${APP}/link`, "120000"]], { [`${APP}/link`]: { mode: "0600", owner: "www" } });
    expect(files[0]).toMatchObject({ kind: "symlink", mode: 0o777, owner: "www" });
  });

  it("names the first bad file and keeps the list", () => {
    const { files, refused } = resolve([`${APP}/a`, `${APP}/b`], {
      [`${APP}/a`]: { owner: "$(id)" },
      [`${APP}/b`]: { filter: "lfs" },
    });
    expect(refused).toMatchObject({ reason: "InvalidAttributes", path: `${APP}/a` });
    expect(refused?.message).toContain('owner="$(id)"');
    expect(files).toHaveLength(2);
  });

  it.each<[Attributes, true | undefined]>([
    [{ secret: "set" }, true],
    [{ secret: "" }, true],
    [{ secret: "no" }, true],
    [{ owner: "www" }, undefined],
  ])("reads of %j whether the file is secret", (attributes, secret) => {
    expect(resolve([`${APP}/a`], { [`${APP}/a`]: attributes }).files[0]!.secret).toBe(secret);
  });

  it.each(["..", "."])("refuses a path with a part `%s`", (part) => {
    expect(resolve([`${APP}/etc/${part}/x`]).refused?.reason).toBe("InvalidPath");
  });

  it("counts bytes, not letters, of a long name", () => {
    expect(resolve([`${APP}/${"ü".repeat(127)}`]).refused).toBeNull();
    expect(resolve([`${APP}/${"ü".repeat(128)}`]).refused?.reason).toBe("InvalidPath");
  });

  it("lets an app mend its overlay by a file of its own", () => {
    const { refused } = resolve(["nginx/prod/common/etc/module", `${APP}/etc/module`], {
      "nginx/prod/common/etc/module": { mode: "9999" },
    });
    expect(refused).toBeNull();
  });
});

describe("ownership", () => {
  it.each<[Attributes, [string, string, number | undefined]]>([
    [{}, ["root", "root", undefined]],
    [{ owner: "www-data", group: "ssl-cert", mode: "0640" }, ["www-data", "ssl-cert", 0o640]],
    [{ owner: "1000", group: "0", mode: "000" }, ["1000", "0", 0]],
    [{ mode: "755" }, ["root", "root", 0o755]],
  ])("reads %j", (attributes, [owner, group, mode]) => {
    expect(ownership(attributes, DEFAULTS)).toEqual({ owner, group, mode });
  });

  it.each<Attributes>([
    { owner: "a b" },
    { owner: "a;b" },
    { owner: "$(id)" },
    { owner: "-x" },
    { owner: "" },
    { owner: "set" },
    { owner: "12345678901" },
    { group: "a:b" },
    { mode: "7777" },
    { mode: "1755" },
    { mode: "64" },
    { mode: "00644" },
    { mode: "u=rw" },
    { mode: "0648" },
    { mode: "set" },
  ])("fault 12: refuses %j", (attributes) => {
    expect(typeof ownership(attributes, DEFAULTS)).toBe("string");
  });
});

describe("appDigest", () => {
  const file = { path: "etc/a", owner: "root", group: "root", mode: 0o644 };
  const digest = appDigest("t", null, [file]);

  it("is the same for the same, as SHA-256 in hex", () => {
    expect(appDigest("t", null, [{ ...file }])).toBe(digest);
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
  });

  it.each([
    ["tree", appDigest("u", null, [file])],
    ["overlay", appDigest("t", "o", [file])],
    ["owner", appDigest("t", null, [{ ...file, owner: "www" }])],
    ["group", appDigest("t", null, [{ ...file, group: "www" }])],
    ["mode", appDigest("t", null, [{ ...file, mode: 0o600 }])],
    ["path", appDigest("t", null, [{ ...file, path: "etc/b" }])],
    ["list of files", appDigest("t", null, [])],
  ])("changes with the %s", (_what, other) => {
    expect(other).not.toBe(digest);
  });

  it("tells paths apart that differ in bytes that are not UTF-8", () => {
    const of = (path: string) => appDigest("t", null, [{ ...file, path }]);
    expect(of("\udcfe")).not.toBe(of("\udcff"));
  });
});

it.each([
  [".gitattributes", true],
  ["etc/.gitattributes", true],
  ["etc/.gitkeep", true],
  [".gitignore", true],
  ["etc/.gitignore", false],
  [".fssync.yaml", true],
  ["etc/.fssync.yaml", false],
  ["etc/gitkeep", false],
])("isNeverSent(%j) is %s", (path, never) => {
  expect(isNeverSent(path)).toBe(never);
});
