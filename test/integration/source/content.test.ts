import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { lstat, readdir, readFile, readlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import type { DesiredApp } from "../../../src/model/manifest.ts";
import { encodePath } from "../../../src/model/path.ts";
import type { Discovery } from "../../../src/ports/git-source.ts";
import type { GitMirrorSource } from "../../../src/source/git-source.ts";
import { here, watchTurns } from "../../support/machine.ts";
import { type Changes, makeRepo, type TestRepo } from "../../support/repo.ts";
import { openSource, temporaryFolder, type TemporaryFolder } from "./open-source.ts";

const WEB = "nginx/prod/web";
const API = "nginx/prod/api";
const { signal } = new AbortController();

let repo: TestRepo;
let dir: TemporaryFolder;
let source: GitMirrorSource;

beforeEach(async () => {
  repo = await makeRepo({ [`${API}/etc/api.conf`]: "sibling\n" });
  dir = await temporaryFolder();
  source = openSource({ url: repo.url, dir: dir.path });
});

afterEach(async () => {
  await source[Symbol.asyncDispose]();
  await repo[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

async function discovered(changes: Changes): Promise<Discovery> {
  await repo.commit(changes);
  return source.discover(await source.poll(signal));
}

async function web(changes: Changes): Promise<DesiredApp> {
  return (await discovered(changes)).apps.get(WEB)!;
}

async function snapshot(app: DesiredApp, path: string): Promise<Buffer> {
  await source.materialize([app.tree]);
  return readFile(Buffer.concat([Buffer.from(`${source.snapshotRoot}/${app.tree}/`), encodePath(path)]));
}

describe("names", () => {
  const names = {
    newline: "etc/a\nb.conf",
    "leading #": "#etc/a.conf",
    "leading ;": ";etc/a.conf",
    quotes: `etc/"it's".conf`,
    backslash: "etc/a\\b.conf",
    tab: "etc/a\tb.conf",
    "a leading dash": "-rf/--delete",
    spaces: " etc / a ",
    umlauts: "etc/grün.conf",
    "bytes that are not UTF-8": "etc/\udcff\udc80.conf",
    "a glob": "etc/*.conf",
  };
  for (const [what, path] of Object.entries(names)) {
    it(`fault 10: ${what} in a path survives from Git to the snapshot, with attributes`, async () => {
      const app = await web({ [`${WEB}/${path}`]: "content\n", ".gitattributes": "* owner=www\n" });
      expect(app.manifest.map((entry) => [entry.path, entry.owner])).toEqual([[path, "www"]]);
      expect(await snapshot(app, path)).toEqual(Buffer.from("content\n"));
      const base = await source.appAt(WEB, await source.poll(signal));
      expect(base?.digest).toBe(app.digest);
    });
  }

  it("skips apps with a name that is not sane, says so, and goes on", async () => {
    const discovery = await discovered({ "nginx/prod/-rf/etc/a": "a", "nginx/pr od/x/etc/a": "a", ".ci/a/b/c": "a" });
    expect([...discovery.apps.keys()]).toEqual([API]);
    expect(discovery.warnings.map(({ path }) => path).sort()).toEqual([".ci", "nginx/pr od", "nginx/prod/-rf"]);
  });

  it("fault 10: a name longer than a file system takes refuses its app only", async () => {
    const discovery = await discovered({ [`${WEB}/etc/${"x".repeat(256)}`]: "a" });
    expect(discovery.apps.get(WEB as AppKey)?.refused?.reason).toBe("InvalidPath");
    expect(discovery.apps.get(API as AppKey)?.refused).toBeUndefined();
  });
});

describe("kinds of files", () => {
  it("fault 11: a symlink is written as one, wherever it points", async () => {
    const app = await web({ [`${WEB}/etc/link`]: { symlink: "/etc/passwd" }, [`${WEB}/etc/up`]: { symlink: "../.." } });
    await source.materialize([app.tree]);
    expect(await readlink(join(source.snapshotRoot, app.tree, "etc/link"))).toBe("/etc/passwd");
    expect(await readlink(join(source.snapshotRoot, app.tree, "etc/up"))).toBe("../..");
    expect(app.manifest.map(({ kind }) => kind)).toEqual(["symlink", "symlink"]);
  });

  it("fault 11: a submodule refuses its app by name and its siblings go on", async () => {
    const discovery = await discovered({
      [`${WEB}/etc/a`]: "a",
      [`${WEB}/etc/module`]: { submodule: "4".repeat(40) },
    });
    const refused = discovery.apps.get(WEB)?.refused;
    expect(refused).toEqual({ reason: "UnsupportedFile", message: expect.stringContaining(`${WEB}/etc/module`) });
    expect(discovery.apps.get(API as AppKey)?.refused).toBeUndefined();
    expect(discovery.warnings.map(({ path }) => path)).toEqual([`${WEB}/etc/module`]);
  });

  it("fault 11: a Git LFS pointer makes no snapshot and is named, other trees are made", async () => {
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
    const discovery = await discovered({ [`${WEB}/etc/big.bin`]: pointer });
    const [bad, good] = [discovery.apps.get(WEB)!, discovery.apps.get(API)!];
    await expect(source.materialize([bad.tree, good.tree])).rejects.toMatchObject({
      reason: "LfsPointer",
      message: expect.stringContaining("etc/big.bin"),
    });
    expect(await readdir(source.snapshotRoot)).toEqual([good.tree]);
  });

  it("fault 11: filter=lfs refuses the app before anything is read", async () => {
    const app = await web({ [`${WEB}/etc/big.bin`]: "x", [`${WEB}/.gitattributes`]: "*.bin filter=lfs\n" });
    expect(app.refused?.reason).toBe("LfsPointer");
  });

  it("writes a file of many megabytes byte for byte", async () => {
    const content = randomBytes(5 * 1024 * 1024);
    const app = await web({ [`${WEB}/opt/big.bin`]: content });
    const sum = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
    expect(sum(await snapshot(app, "opt/big.bin"))).toBe(sum(content));
  });

  it("writes an empty file, and an app without files is an app", async () => {
    const app = await web({ [`${WEB}/etc/empty`]: "", "nginx/prod/none/.gitkeep": "" });
    expect(await snapshot(app, "etc/empty")).toHaveLength(0);
    const none = (await source.discover((await source.head())!)).apps.get("nginx/prod/none");
    expect(none?.manifest).toEqual([]);
    await source.materialize([none!.tree]);
  });

  it("writes a tree once, however many ask at the same time", async () => {
    const app = await web({ [`${WEB}/etc/a`]: "a" });
    await Promise.all([source.materialize([app.tree]), source.materialize([app.tree]), source.materialize([app.tree])]);
    expect(await readdir(source.snapshotRoot)).toEqual([app.tree]);
  });

  describe("files that lie in another snapshot", () => {
    const inode = async (app: DesiredApp, path: string) => (await lstat(join(source.snapshotRoot, app.tree, path))).ino;

    it("are links to it, and what changed is not", async () => {
      const before = await web({
        [`${WEB}/etc/a`]: "a\n",
        [`${WEB}/etc/b`]: "b\n",
        [`${WEB}/l`]: { symlink: "etc/a" },
      });
      await source.materialize([before.tree]);
      const after = await web({ [`${WEB}/etc/b`]: "changed\n", [`${WEB}/etc/c`]: "a\n" });
      expect(await snapshot(after, "etc/b")).toEqual(Buffer.from("changed\n"));
      expect(await snapshot(before, "etc/b")).toEqual(Buffer.from("b\n"));
      expect(await inode(after, "etc/a")).toBe(await inode(before, "etc/a"));
      expect(await inode(after, "etc/c")).toBe(await inode(before, "etc/a"));
      expect(await readlink(join(source.snapshotRoot, after.tree, "l"))).toBe("etc/a");
    });

    it("keep the mode of their own: the same content can be a program and none", async () => {
      const plain = await web({ [`${WEB}/bin/a`]: "#!/bin/sh\n" });
      await source.materialize([plain.tree]);
      const program = await web({ [`${WEB}/bin/a`]: { executable: "#!/bin/sh\n" } });
      await source.materialize([program.tree]);
      const mode = async (app: DesiredApp) => (await lstat(join(source.snapshotRoot, app.tree, "bin/a"))).mode & 0o777;
      expect([await mode(plain), await mode(program)]).toEqual([0o644, 0o755]);
    });

    it("are read from Git when somebody wrote to them since", async () => {
      const before = await web({ [`${WEB}/etc/a`]: "a\n", [`${WEB}/etc/b`]: "b\n" });
      await source.materialize([before.tree]);
      const damaged = join(source.snapshotRoot, before.tree, "etc/a");
      const soon = new Date(Date.now() + 1000);
      await writeFile(damaged, "");
      await utimes(damaged, soon, soon);
      const after = await web({ [`${WEB}/etc/b`]: "changed\n" });
      expect(await snapshot(after, "etc/a")).toEqual(Buffer.from("a\n"));
    });

    it("are many: whoever else works is not held up", async () => {
      const names = Array.from({ length: 5000 }, (_, index) => `${WEB}/etc/${index}`);
      const before = await web(Object.fromEntries(names.map((name) => [name, name])));
      await source.materialize([before.tree]);
      const after = await web({ [`${WEB}/etc/one`]: "more\n" });
      const longest = watchTurns();
      await source.materialize([after.tree]);
      expect(longest()).toBeLessThan(here(100));
      expect(await inode(after, "etc/4999")).toBe(await inode(before, "etc/4999"));
    });

    it("are read from Git when that snapshot has gone", async () => {
      const before = await web({ [`${WEB}/etc/a`]: "a\n", [`${WEB}/etc/b`]: "b\n" });
      await source.materialize([before.tree]);
      const after = await web({ [`${WEB}/etc/b`]: "changed\n" });
      await source.collect({ trees: new Set(), commits: new Set() });
      expect(await readdir(source.snapshotRoot)).toEqual([]);
      expect(await snapshot(after, "etc/a")).toEqual(Buffer.from("a\n"));
      expect(await snapshot(after, "etc/b")).toEqual(Buffer.from("changed\n"));
    });
  });

  it("never sends what is for Git or fssync", async () => {
    const own = [".gitattributes", ".gitkeep", ".gitignore", ".fssync.yaml", "etc/.gitkeep", "etc/.gitattributes"];
    const changes = Object.fromEntries(own.map((name) => [`${WEB}/${name}`, ""]));
    const app = await web({ ...changes, [`${WEB}/etc/.gitignore`]: "sent\n" });
    expect(app.manifest.map(({ path }) => path)).toEqual(["etc/.gitignore"]);
    await source.materialize([app.tree]);
    expect(await readdir(join(source.snapshotRoot, app.tree, "etc"))).toEqual([".gitignore"]);
  });

  it("fault 13: end-of-line, ident, encoding and filter attributes leave the blob's bytes", async () => {
    const content = Buffer.from("a\r\nb\n$Id$\n\xff\xfe", "latin1");
    const app = await web({
      [`${WEB}/etc/a.conf`]: content,
      [`${WEB}/.gitattributes`]: "* text eol=crlf ident working-tree-encoding=UTF-16 filter=shout export-subst\n",
    });
    expect(await snapshot(app, "etc/a.conf")).toEqual(content);
  });

  it("makes folders that everyone may enter, whatever the umask", async () => {
    const before = process.umask(0o077);
    try {
      const app = await web({ [`${WEB}/etc/a`]: "a" });
      await source.materialize([app.tree]);
      expect((await lstat(join(source.snapshotRoot, app.tree, "etc"))).mode & 0o777).toBe(0o755);
    } finally {
      process.umask(before);
    }
  });
});

describe("a small disk", () => {
  // Only root may mount one.
  it.skipIf(process.getuid?.() !== 0)(
    "fault 4: a full disk while a snapshot is written is ControllerNoSpace and leaves nothing half made",
    async (context) => {
      const app = await web({ [`${WEB}/etc/a`]: randomBytes(3_000_000), [`${WEB}/etc/b`]: randomBytes(900_000) });
      const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", source.snapshotRoot]);
      context.skip(mount.status !== 0, "mount is not allowed here");
      try {
        await expect(source.materialize([app.tree])).rejects.toMatchObject({ reason: "ControllerNoSpace" });
        expect(await readdir(source.snapshotRoot)).toEqual([]);
        const api = (await source.discover((await source.head())!)).apps.get(API)!;
        await source.materialize([api.tree]);
        expect(await readdir(source.snapshotRoot)).toEqual([api.tree]);
      } finally {
        spawnSync("umount", ["-l", source.snapshotRoot]);
      }
    },
  );
});

describe("attributes", () => {
  it("come from the repo, the mod, the env, the app and deeper, the nearest one first", async () => {
    const app = await web({
      ".gitattributes": "[attr]private mode=0600\n* owner=root1 group=root1\n*.key private\n",
      "nginx/.gitattributes": "* group=mod\n",
      "nginx/prod/.gitattributes": "**/*.d/** owner=env\n",
      [`${WEB}/.gitattributes`]: "*.conf mode=640\n",
      [`${WEB}/etc/deep/.gitattributes`]: "* owner=deep -group\n",
      [`${WEB}/etc/a.conf`]: "",
      [`${WEB}/etc/b.key`]: "",
      [`${WEB}/etc/deep/c`]: { executable: "" },
      [`${WEB}/etc/x.d/d`]: "",
    });
    const found = Object.fromEntries(app.manifest.map(({ path, owner, group, mode }) => [path, [owner, group, mode]]));
    expect(found).toEqual({
      "etc/a.conf": ["root1", "mod", 0o640],
      "etc/b.key": ["root1", "mod", 0o600],
      "etc/deep/c": ["deep", "root", 0o755],
      "etc/x.d/d": ["env", "mod", 0o644],
    });
    expect(app.refused).toBeUndefined();
  });

  for (const attribute of ["owner=$(id)", "owner=a;b", "owner", "group=-x", "mode=7777", "mode=4755", "mode=rw"]) {
    it(`fault 12: ${attribute} refuses the app by name, and its siblings go on`, async () => {
      const discovery = await discovered({
        [`${WEB}/etc/a.conf`]: "a",
        [`${WEB}/.gitattributes`]: `etc/a.conf ${attribute}\n`,
      });
      const refused = discovery.apps.get(WEB)?.refused;
      expect(refused?.reason).toBe("InvalidAttributes");
      expect(refused?.message).toContain(`${WEB}/etc/a.conf`);
      expect(discovery.apps.get(API as AppKey)?.refused).toBeUndefined();
    });
  }

  it.each([
    ["secret", true],
    ["secret=yes", true],
    ["-secret", undefined],
    ["!secret", undefined],
    ["owner=www", undefined],
  ])("`%s` makes a file's `secret` %s", async (attribute, secret) => {
    const app = await web({
      ".gitattributes": "[attr]key mode=0640 secret\n",
      "nginx/.gitattributes": `etc/* owner=root\n*.key ${attribute}\n`,
      [`${WEB}/etc/a.key`]: "a",
      [`${WEB}/etc/b.conf`]: "b",
    });
    expect(app.manifest.map((entry) => entry.secret)).toEqual([secret, undefined]);
  });

  it("`secret` may come by a macro, counts for links, and is taken back deeper down", async () => {
    const app = await web({
      ".gitattributes": "[attr]key mode=0640 secret\netc/** key\n",
      [`${WEB}/.gitattributes`]: "etc/** key\n",
      [`${WEB}/etc/link`]: { symlink: "a" },
      [`${WEB}/etc/open/.gitattributes`]: "* -secret\n",
      [`${WEB}/etc/open/a`]: "a",
    });
    const found = app.manifest.map(({ path, mode, secret }) => [path, mode, secret]);
    expect(found).toEqual([
      ["etc/link", 0o777, true],
      ["etc/open/a", 0o640, undefined],
    ]);
  });

  it("of the root change the digest of the apps they reach, and of no other", async () => {
    const before = await discovered({ [`${WEB}/etc/a.conf`]: "a" });
    const after = await discovered({ ".gitattributes": "a.conf owner=www\n" });
    const digest = (discovery: Discovery, app: string) => discovery.apps.get(app as AppKey)?.digest;
    expect(digest(after, WEB)).not.toBe(digest(before, WEB));
    expect(digest(after, API)).toBe(digest(before, API));
  });
});

describe("overlays", () => {
  it("lose against the app's own file, also where one's file is the other's folder", async () => {
    const app = await web({
      "nginx/prod/common/etc/motd": "overlay",
      "nginx/prod/common/etc/same": "overlay",
      "nginx/prod/common/etc/dir/a": "overlay",
      "nginx/prod/common/etc/file": "overlay",
      [`${WEB}/etc/same`]: "own",
      [`${WEB}/etc/dir`]: "own",
      [`${WEB}/etc/file/b`]: "own",
    });
    expect(app.manifest.map(({ path, from }) => [path, from])).toEqual([
      ["etc/dir", WEB],
      ["etc/file/b", WEB],
      ["etc/motd", "nginx/prod/common"],
      ["etc/same", WEB],
    ]);
    expect(app.manifest[2]!.tree).toBe(app.overlay);
  });

  it("refuse every app they belong to when they cannot be sent", async () => {
    const discovery = await discovered({
      "nginx/prod/common/etc/bad": "x",
      "nginx/prod/common/.gitattributes": "* mode=9999\n",
      "nginx/test/web/etc/a": "a",
    });
    expect(discovery.apps.get(API as AppKey)?.refused?.reason).toBe("InvalidAttributes");
    expect(discovery.apps.get("nginx/test/web")?.refused).toBeUndefined();
  });
});
