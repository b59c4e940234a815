import { createHash } from "node:crypto";
import { lstat, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { appKey, type AppKey } from "../../src/model/app.ts";
import type { DesiredApp } from "../../src/model/manifest.ts";
import type { BaseApp, GitSource } from "../../src/ports/git-source.ts";
import type { Changes } from "../support/repo.ts";

/** The remote that a source under test reads. */
export interface ContractRemote extends AsyncDisposable {
  commit(changes: Changes, message?: string): Promise<string>;
  /** Replaces the branch by one commit without parents. */
  forcePush(files: Changes): Promise<string>;
  removeBranch(): Promise<void>;
  /** Drops what no branch reaches. */
  prune(): Promise<void>;
}

export interface ContractFixture {
  readonly remote: ContractRemote;
  /** A source on the remote's only branch, `main`, overlay `common`; each call is a restart of the one before. */
  open(): Promise<GitSource>;
}

const WEB = appKey({ mod: "nginx", env: "prod", app: "web" });
const API = appKey({ mod: "nginx", env: "prod", app: "api" });
const FILES: Changes = {
  "nginx/prod/common/etc/motd": "hello\n",
  "nginx/prod/web/etc/nginx/nginx.conf": "user www;\n",
  "nginx/prod/web/usr/local/bin/reload": { executable: "#!/bin/sh\n" },
  "nginx/prod/web/etc/nginx/current": { symlink: "nginx.conf" },
  "nginx/prod/api/etc/api.conf": "port 80\n",
};

/** What every source promises. `fixture` gives an empty remote and a way to open sources on it. */
export function gitSourceContract(name: string, fixture: () => Promise<ContractFixture>): void {
  describe(`git source contract: ${name}`, () => {
    let remote: ContractRemote;
    let open: ContractFixture["open"];
    let source: GitSource;
    const { signal } = new AbortController();

    beforeEach(async () => {
      ({ remote, open } = await fixture());
      await remote.commit(FILES);
      source = await open();
    });

    afterEach(async () => {
      await source[Symbol.asyncDispose]();
      await remote[Symbol.asyncDispose]();
    });

    async function app(key: AppKey, commit: string): Promise<DesiredApp> {
      const found = (await source.discover(commit)).apps.get(key);
      if (found === undefined) throw new Error(`no app ${key}`);
      return found;
    }

    it("has no head before the first poll, and keeps it across a restart", async () => {
      expect(await source.head()).toBeNull();
      const commit = await source.poll(signal);
      expect(await source.head()).toBe(commit);
      await source[Symbol.asyncDispose]();
      source = await open();
      expect(await source.head()).toBe(commit);
    });

    it("polls the newest of several commits", async () => {
      await source.poll(signal);
      await remote.commit({ "nginx/prod/api/etc/api.conf": "port 81\n" });
      const newest = await remote.commit({ "nginx/prod/api/etc/api.conf": "port 82\n" });
      expect(await source.poll(signal)).toBe(newest);
    });

    it("discovers apps with the overlay under their own files, sorted by path", async () => {
      const discovery = await source.discover(await source.poll(signal));
      expect([...discovery.apps.keys()].sort()).toEqual([API, WEB]);
      expect(discovery.revision).toBe(`main@sha1:${discovery.commit}`);
      const manifest = discovery.apps.get(WEB)!.manifest.map(({ path, kind, mode }) => [path, kind, mode]);
      expect(manifest).toEqual([
        ["etc/motd", "file", 0o644],
        ["etc/nginx/current", "symlink", 0o777],
        ["etc/nginx/nginx.conf", "file", 0o644],
        ["usr/local/bin/reload", "file", 0o755],
      ]);
    });

    it("changes the digest of the apps that changed, and gives it back with a revert", async () => {
      const first = await source.poll(signal);
      await remote.commit({ "nginx/prod/api/etc/api.conf": "port 81\n" });
      const second = await source.poll(signal);
      await remote.commit({ "nginx/prod/api/etc/api.conf": "port 80\n" });
      const third = await source.poll(signal);
      expect((await app(API, second)).digest).not.toBe((await app(API, first)).digest);
      expect((await app(API, third)).digest).toBe((await app(API, first)).digest);
      expect((await app(WEB, second)).digest).toBe((await app(WEB, first)).digest);
    });

    it("tells an app at an earlier commit the same way as discover did, also after a restart", async () => {
      const first = await source.poll(signal);
      const { digest, manifest } = await app(WEB, first);
      await source.pin([first]);
      await remote.commit({ "nginx/prod/web/etc/nginx/nginx.conf": "user other;\n" });
      await source.poll(signal);
      await source[Symbol.asyncDispose]();
      source = await open();
      expect(await source.appAt(WEB, first)).toEqual({ digest, manifest });
    });

    it("has no app at a commit that lacks it, nor at a commit that is not there", async () => {
      const first = await source.poll(signal);
      expect(await source.appAt("nginx/prod/none", first)).toBeNull();
      expect(await source.appAt(WEB, "0".repeat(40))).toBeNull();
    });

    it("tells the files of a folder by themselves, of an overlay as of an app", async () => {
      const commit = await remote.commit({ "nginx/prod/web/etc/motd": "own\n" });
      await source.poll(signal);
      const common = await source.folderAt(appKey({ mod: "nginx", env: "prod", app: "common" }), commit);
      expect(common).toMatchObject([{ path: "etc/motd", from: "nginx/prod/common" }]);
      const paths = (await source.folderAt(API, commit))?.map(({ path }) => path);
      expect(paths).toEqual(["etc/api.conf"]);
      for (const missing of ["nginx/prod/none", "nginx/test/common"] as const) {
        expect(await source.folderAt(missing, commit)).toBeNull();
      }
    });

    it("writes snapshots with the bytes, the symlinks and the executable bit of Git", async () => {
      const web = await app(WEB, await source.poll(signal));
      await source.materialize([web.tree, web.overlay!]);
      const file = (tree: string, path: string) => join(source.snapshotRoot, tree, path);
      expect(await readFile(file(web.tree, "etc/nginx/nginx.conf"), "utf8")).toBe("user www;\n");
      expect(await readFile(file(web.overlay!, "etc/motd"), "utf8")).toBe("hello\n");
      expect(await readlink(file(web.tree, "etc/nginx/current"))).toBe("nginx.conf");
      expect((await lstat(file(web.tree, "usr/local/bin/reload"))).mode & 0o100).toBe(0o100);
    });

    it("holds every file of a manifest in the snapshot that the entry names", async () => {
      const web = await app(WEB, await source.poll(signal));
      await source.materialize(new Set(web.manifest.map(({ tree }) => tree)));
      for (const entry of web.manifest) await lstat(join(source.snapshotRoot, entry.tree, entry.path));
    });

    it("keeps the snapshots that are listed and removes the others", async () => {
      const web = await app(WEB, await source.poll(signal));
      await source.materialize([web.tree, web.overlay!]);
      await source.collect({ trees: new Set([web.tree]), commits: new Set() });
      await lstat(join(source.snapshotRoot, web.tree));
      await expect(lstat(join(source.snapshotRoot, web.overlay!))).rejects.toThrow("ENOENT");
      await source.materialize([web.overlay!]);
      await lstat(join(source.snapshotRoot, web.overlay!));
    });

    it("tells the SHA-256 of each blob, of a symlink that of its target", async () => {
      const web = await app(WEB, await source.poll(signal));
      const sums = await source.checksums(web.manifest.map(({ blob }) => blob));
      const found = Object.fromEntries(web.manifest.map(({ path, blob }) => [path, sums.get(blob)]));
      expect(found).toEqual({
        "etc/motd": sha256("hello\n"),
        "etc/nginx/current": sha256("nginx.conf"),
        "etc/nginx/nginx.conf": sha256("user www;\n"),
        "usr/local/bin/reload": sha256("#!/bin/sh\n"),
      });
      expect(sums.size).toBe(4);
      expect((await source.checksums([])).size).toBe(0);
    });

    it("tells how many bytes each blob has, of a symlink its target", async () => {
      const web = await app(WEB, await source.poll(signal));
      const sizes = await source.sizes(web.manifest.map(({ blob }) => blob));
      const found = Object.fromEntries(web.manifest.map(({ path, blob }) => [path, sizes.get(blob)]));
      expect(found).toEqual({
        "etc/motd": 6,
        "etc/nginx/current": 10,
        "etc/nginx/nginx.conf": 10,
        "usr/local/bin/reload": 10,
      });
      expect((await source.sizes([])).size).toBe(0);
      await expect(source.sizes([web.tree])).rejects.toMatchObject({ reason: "SourceUnavailable" });
    });

    it("gives the content of a blob up to the limit, and none of what is longer", async () => {
      const api = await app(API, await source.poll(signal));
      const { blob } = api.manifest.find(({ path }) => path === "etc/api.conf")!;
      expect(await source.content(blob, 8)).toEqual(Buffer.from("port 80\n"));
      expect(await source.content(blob, 7)).toBeNull();
    });

    it("reads many blobs one after the other, empty ones and the same one twice included, and stops when told", async () => {
      await remote.commit({ "nginx/prod/api/etc/empty": "", "nginx/prod/api/etc/big": Buffer.alloc(300_000, "x") });
      const { manifest } = await app(API, await source.poll(signal));
      const blobs = ["etc/api.conf", "etc/empty", "etc/big", "etc/motd", "etc/api.conf"].map(
        (path) => manifest.find((file) => file.path === path)!.blob,
      );
      const pieces: Buffer[] = [];
      for await (const piece of source.read(blobs)) pieces.push(piece);
      expect(Buffer.concat(pieces).toString()).toBe(`port 80\n${"x".repeat(300_000)}hello\nport 80\n`);
      expect(pieces[0]).toEqual(Buffer.from("port 80\n"));
      const begun = source.read(blobs);
      await begun.next();
      await begun.return();
      expect(await begun.next()).toEqual({ done: true, value: undefined });
      expect(await buffer(source.read([]))).toEqual(Buffer.alloc(0));
    });

    it("tells why an app could not be sent, also at an earlier commit", async () => {
      const refused = await remote.commit({ ".gitattributes": "*.conf mode=abc\n" });
      await source.poll(signal);
      const reason = { reason: "InvalidAttributes", message: expect.stringContaining("abc") as string };
      expect((await source.appAt(API, refused))?.refused).toEqual(reason);
      await source.discover(refused);
      expect((await source.appAt(API, refused))?.refused).toEqual(reason);
    });

    it.each(["0".repeat(40), "HEAD", "a\nb", ""])("has neither checksum nor content of a blob %j", async (blob) => {
      const web = await app(WEB, await source.poll(signal));
      await expect(source.checksums([web.manifest[0]!.blob, blob])).rejects.toMatchObject({
        reason: "SourceUnavailable",
      });
      await expect(source.content(blob, 100)).rejects.toMatchObject({ reason: "SourceUnavailable" });
      await expect(buffer(source.read([blob]))).rejects.toMatchObject({ reason: "SourceUnavailable" });
    });

    it("has neither checksum nor content of a tree", async () => {
      const { tree } = await app(WEB, await source.poll(signal));
      await expect(source.checksums([tree])).rejects.toMatchObject({ reason: "SourceUnavailable" });
      await expect(source.content(tree, 10_000)).rejects.toMatchObject({ reason: "SourceUnavailable" });
    });

    it("marks the files that are secret, also at an earlier commit and after a restart, and changes no digest", async () => {
      const first = await source.poll(signal);
      await remote.commit({ ".gitattributes": "*.conf secret\n" });
      const second = await source.poll(signal);
      await remote.commit({ ".gitattributes": "*.conf -secret\n" });
      const third = await source.poll(signal);
      const versions = await Promise.all([first, second, third].map((commit) => app(WEB, commit)));
      expect(versions.map(secrets)).toEqual([[], ["etc/nginx/nginx.conf"], []]);
      expect(new Set(versions.map(({ digest }) => digest)).size).toBe(1);
      await source[Symbol.asyncDispose]();
      source = await open();
      expect(secrets((await source.appAt(WEB, second))!)).toEqual(["etc/nginx/nginx.conf"]);
      expect(secrets((await source.appAt(WEB, third))!)).toEqual([]);
    });

    it("contains the newest commit and what is below it", async () => {
      const first = await source.poll(signal);
      await remote.commit({ "nginx/prod/api/etc/api.conf": "port 81\n" });
      const newest = await remote.commit({ "nginx/prod/api/etc/api.conf": "port 82\n" });
      // Asked for before it was fetched: that answer is about the head of then.
      expect(await source.contains(newest)).toBe(false);
      await source.poll(signal);
      expect(await source.contains(first)).toBe(true);
      expect(await source.contains(newest)).toBe(true);
    });

    it("does not contain what was force-pushed away, although it is pinned", async () => {
      const first = await source.poll(signal);
      await source.pin([first]);
      const rewritten = await remote.forcePush(FILES);
      expect(await source.contains(first)).toBe(true);
      await source.poll(signal);
      expect(await source.contains(first)).toBe(false);
      expect(await source.contains(rewritten)).toBe(true);
      await source[Symbol.asyncDispose]();
      source = await open();
      expect(await source.contains(first)).toBe(false);
    });

    it.each(["0".repeat(40), "0".repeat(64), "HEAD", "main", "refs/fssync/head", "--all", "-h", "", "a\0b", "..", "@"])(
      "contains no commit %j",
      async (commit) => {
        expect(await source.contains(commit)).toBe(false);
        await source.poll(signal);
        expect(await source.contains(commit)).toBe(false);
        expect(await source.history(WEB, 10, commit).catch(({ reason }) => reason)).toEqual(
          /^0+$/.test(commit) ? "SourceUnavailable" : [],
        );
      },
    );

    it("contains neither trees nor the beginning of a commit's id", async () => {
      const commit = await source.poll(signal);
      const { tree } = await app(WEB, commit);
      expect(await source.contains(tree)).toBe(false);
      expect(await source.contains(commit.slice(0, 12))).toBe(false);
      expect(await source.contains(commit.toUpperCase())).toBe(/^\d+$/.test(commit));
    });

    it("tells the commits that changed an app, its overlay or attributes above it, newest first", async () => {
      const first = await source.poll(signal);
      const own = await remote.commit({ "nginx/prod/web/etc/nginx/nginx.conf": "user a;\n" }, "own file\n\nbody");
      await remote.commit({ "nginx/prod/api/etc/api.conf": "port 81\n" }, "another app");
      await remote.commit({ "nginx/prod/web2/etc/a.conf": "1\n" }, "its name is longer");
      const overlay = await remote.commit({ "nginx/prod/common/etc/motd": "hi\n" }, "overlay");
      const attributes = await remote.commit({ "nginx/.gitattributes": "*.conf secret\n" }, "attributes");
      await source.poll(signal);
      const commits = await source.history(WEB, 10);
      expect(commits.map(({ commit, subject }) => [commit, subject])).toEqual([
        [attributes, "attributes"],
        [overlay, "overlay"],
        [own, "own file"],
        [first, "change"],
      ]);
      expect(commits[2]).toEqual({
        commit: own,
        revision: `main@sha1:${own}`,
        author: "Tester",
        at: expect.any(Number) as number,
        subject: "own file",
      });
      expect(new Date(commits[2]!.at).getUTCFullYear()).toBeGreaterThan(2000);
      expect((await source.history(WEB, 2)).map(({ commit }) => commit)).toEqual([attributes, overlay]);
      expect((await source.history(WEB, 1, own)).map(({ commit }) => commit)).toEqual([own]);
      expect(await source.history(WEB, 0)).toEqual([]);
      const others = (await source.history("nginx/prod/none", 10)).map(({ commit }) => commit);
      expect(others).toEqual([attributes, overlay, first]);
    });

    it("tells the history of an app that is gone, and of the branch as it is after a force-push", async () => {
      const first = await source.poll(signal);
      const gone = await remote.commit({ "nginx/prod/api/etc/api.conf": null }, "away with it");
      await source.poll(signal);
      const before = await source.history(API, 10);
      expect(before.map(({ commit }) => commit)).toEqual([gone, first]);
      const rewritten = await remote.forcePush(FILES);
      await source.poll(signal);
      expect((await source.history(API, 10)).map(({ commit }) => commit)).toEqual([rewritten]);
    });

    it("has no history before the first poll", async () => {
      expect(await source.history(WEB, 10)).toEqual([]);
    });

    it("takes names for what they are: neither patterns nor options find another app", async () => {
      await source.poll(signal);
      for (const name of ["nginx/prod/*", "nginx/prod/w?b", ":/nginx/prod", ":(top,glob)**/x/y", "--all/x/y"]) {
        const commits = await source.history(name as AppKey, 10);
        expect([name, commits.filter(({ subject }) => subject !== "change")]).toEqual([name, []]);
        if (!name.startsWith("nginx/prod/")) expect([name, commits]).toEqual([name, []]);
      }
    });

    it("shows subjects as one short line without anything that a terminal obeys", async () => {
      await source.poll(signal);
      const subject = `\u001b[31mred\u001b[0m \u202eevil\ttab ${"long ".repeat(100_000)}`;
      await remote.commit({ "nginx/prod/web/etc/nginx/nginx.conf": "user a;\n" }, subject);
      const longest = "\u0001".repeat(3_000_000);
      await source.poll(signal);
      const [newest] = await source.history(WEB, 1);
      expect(newest!.subject).toMatch(/^\[31mred \[0m evil tab long long/);
      expect(newest!.subject.length).toBeLessThanOrEqual(200);
      await remote.commit({ "nginx/prod/web/etc/nginx/nginx.conf": "user b;\n" }, longest);
      await source.poll(signal);
      await expect(source.history(WEB, 1)).rejects.toMatchObject({ reason: "SourceUnavailable" });
      await expect(source.history(API, 1)).resolves.toHaveLength(1);
    });

    it("fault 5: a pinned base outlives a force-push", async () => {
      const first = await source.poll(signal);
      const before = await app(WEB, first);
      await source.pin([first]);
      const rewritten = await remote.forcePush({ ...FILES, "nginx/prod/api/etc/api.conf": "rewritten\n" });
      await remote.prune();
      expect(await source.poll(signal)).toBe(rewritten);
      await source[Symbol.asyncDispose]();
      source = await open();
      expect((await source.appAt(WEB, first))?.manifest).toEqual(before.manifest);
      await source.materialize([before.tree]);
      const { blob } = before.manifest.find(({ path }) => path === "etc/nginx/nginx.conf")!;
      expect(await source.checksums([blob])).toEqual(new Map([[blob, sha256("user www;\n")]]));
    });

    it("fault 6: a branch that is gone is BranchMissing and the head stays", async () => {
      const commit = await source.poll(signal);
      await remote.removeBranch();
      await expect(source.poll(signal)).rejects.toMatchObject({ reason: "BranchMissing" });
      expect(await source.head()).toBe(commit);
    });

    it("fault 6: a commit without any app is EmptyTree", async () => {
      await remote.forcePush({ "README.md": "nothing here\n" });
      const commit = await source.poll(signal);
      await expect(source.discover(commit)).rejects.toMatchObject({ reason: "EmptyTree" });
    });

    it("fault 8: a rename is a path less and a path more", async () => {
      await source.poll(signal);
      await remote.commit({ "nginx/prod/api/etc/api.conf": null, "nginx/prod/api/etc/api.d/api.conf": "port 80\n" });
      const paths = (await app(API, await source.poll(signal))).manifest.map(({ path }) => path);
      expect(paths).toEqual(["etc/api.d/api.conf", "etc/motd"]);
    });

    it("fault 9: a file becomes a folder and a folder a file", async () => {
      await remote.commit({ "nginx/prod/api/etc/api.conf": null, "nginx/prod/api/etc/api.conf/10.conf": "port 80\n" });
      expect((await app(API, await source.poll(signal))).manifest[0]!.path).toBe("etc/api.conf/10.conf");
      await remote.commit({ "nginx/prod/api/etc/api.conf": "port 80\n" });
      expect((await app(API, await source.poll(signal))).manifest[0]!.path).toBe("etc/api.conf");
    });

    it("fault 15: a commit reads the same after the branch moved on", async () => {
      const first = await source.poll(signal);
      await remote.commit({ "nginx/prod/web/etc/nginx/nginx.conf": "user other;\n" });
      await source.poll(signal);
      const web = await app(WEB, first);
      await source.materialize([web.tree]);
      const file = join(source.snapshotRoot, web.tree, "etc/nginx/nginx.conf");
      expect(await readFile(file, "utf8")).toBe("user www;\n");
    });
  });
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function secrets({ manifest }: BaseApp): string[] {
  return manifest.filter(({ secret }) => secret === true).map(({ path }) => path);
}
