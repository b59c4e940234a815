import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { existsSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ManualClock } from "../../support/manual-clock.ts";
import { makeRepo, runGit, type TestRepo } from "../../support/repo.ts";
import { serveSilence } from "./http-remote.ts";
import { memoryLog, openSource, temporaryFolder, type TemporaryFolder, wrapGit } from "./open-source.ts";

const WEB = "nginx/prod/web";
const { signal } = new AbortController();

let repo: TestRepo;
let dir: TemporaryFolder;

beforeEach(async () => {
  repo = await makeRepo({ [`${WEB}/etc/nginx.conf`]: "user www;\n", [`${WEB}/etc/other.conf`]: "other\n" });
  dir = await temporaryFolder();
});

afterEach(async () => {
  await repo[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

/** Milliseconds: a process that has read what is spoilt then knows it as it was. */
const READER_KEPT = 2000;

const open = (more: Partial<Parameters<typeof openSource>[0]> = {}) =>
  openSource({ url: repo.url, dir: dir.path, ...more });

describe("the remote", () => {
  it("is asked once, and no other git runs, when nothing moved", async () => {
    await using source = open();
    await source.poll(signal);
    await using git = await wrapGit(`echo "$*" >>"$LOG"`);
    await source.poll(signal);
    await source.poll(signal);
    const calls = (await git.calls()).trim().split("\n");
    expect(calls).toHaveLength(2);
    for (const call of calls) expect(call).toMatch(/ ls-remote /);
  });

  it("fault 1: one that is down is FetchFailed, the head stays, and it recovers", async () => {
    await using source = open();
    const commit = await source.poll(signal);
    const away = `${repo.path}.away`;
    await rename(repo.path, away);
    await expect(source.poll(signal)).rejects.toMatchObject({
      reason: "FetchFailed",
      message: expect.stringContaining(repo.url),
    });
    expect(await source.head()).toBe(commit);
    await rename(away, repo.path);
    expect(await source.poll(signal)).toBe(commit);
  });

  it("fault 1: one that never answers is given up after the timeout", async () => {
    await using remote = await serveSilence();
    await using source = open({ url: remote.url, timeout: 300 });
    await expect(source.poll(signal)).rejects.toMatchObject({
      reason: "FetchFailed",
      message: expect.stringContaining("no answer within git.timeout"),
    });
  });

  it("fault 1: an abort ends a poll that waits for it", async () => {
    await using remote = await serveSilence();
    await using source = open({ url: remote.url });
    const abort = new AbortController();
    const poll = source.poll(abort.signal);
    const ended = expect(poll).rejects.toMatchObject({ reason: "Interrupted" });
    await remote.requested();
    const start = performance.now();
    abort.abort();
    await ended;
    // At once: git's helpers must not keep us waiting for the grace period of 2 s.
    expect(performance.now() - start).toBeLessThan(1900);
  });

  it("fault 1: a git that ignores the interrupt is killed", async () => {
    await using git = await wrapGit(`trap '' INT TERM; echo started >>"$LOG"; exec sleep 100`);
    await using source = open({ timeout: 100 });
    await expect(source.head()).rejects.toMatchObject({ reason: "SourceUnavailable" });
    expect(await git.calls()).toBe("started\n");
  });

  it("fault 4: a full disk while fetching is ControllerNoSpace", async () => {
    await using source = open();
    await source.head();
    await using _git = await wrapGit(
      `case "$*" in *" fetch "*) echo "fatal: write error: No space left on device" >&2; exit 128;; esac`,
    );
    await expect(source.poll(signal)).rejects.toMatchObject({ reason: "ControllerNoSpace" });
  });

  it("fault 16: an option, a helper or a password in the URL starts nothing", () => {
    for (const url of ["ext::sh -c id", "--upload-pack=id", "https://me:pw@example.com/x.git"]) {
      expect(() => open({ url })).toThrow(expect.objectContaining({ reason: "InvalidSpec" }));
    }
    expect(() => open({ allowFileUrls: false })).toThrow(expect.objectContaining({ reason: "InvalidSpec" }));
  });
});

describe("the mirror", () => {
  it("fault 2: goes on after git was killed in a fetch", async () => {
    await using source = open();
    await source.poll(signal);
    const commit = await repo.commit({ [`${WEB}/etc/nginx.conf`]: "user new;\n" });
    {
      await using _git = await wrapGit(
        `case "$*" in *" fetch "*) : >"$GIT_DIR/refs/fssync/head.lock"; kill -9 $$;; esac`,
      );
      await expect(source.poll(signal)).rejects.toMatchObject({ reason: "FetchFailed" });
    }
    expect(await source.poll(signal)).toBe(commit);
  });

  it("fault 2: removes what a killed process left, at the start", async () => {
    {
      await using source = open();
      await source.poll(signal);
    }
    const left = ["git/refs/fssync/head.lock", "git/packed-refs.lock", "git/objects/pack/tmp_pack_Ab12"];
    for (const name of left) await writeFile(join(dir.path, name), "");
    await mkdir(join(dir.path, "snapshots/.tmp-0/etc"), { recursive: true });
    const commit = await repo.commit({ [`${WEB}/etc/nginx.conf`]: "user new;\n" });
    await using source = open();
    expect(await source.poll(signal)).toBe(commit);
    for (const name of left) await expect(stat(join(dir.path, name))).rejects.toThrow("ENOENT");
    expect(await readdir(join(dir.path, "snapshots"))).toEqual([]);
  });

  it("that hangs while a commit is read is a failed poll, and the next one begins anew", async () => {
    await using source = open({ timeout: 2000 });
    {
      await using git = await wrapGit(`case "$*" in *"cat-file --batch") echo $$ >>"$LOG"; exec sleep 100;; esac`);
      const message = expect.stringContaining("no answer within git.timeout") as string;
      await expect(source.poll(signal)).rejects.toMatchObject({ reason: "FetchFailed", message });
      const pid = (await git.calls()).trim();
      await vi.waitFor(() => expect(existsSync(`/proc/${pid}`)).toBe(false), 5000);
    }
    expect(await source.poll(signal)).toBe(await repo.commitOf("main"));
  });

  it("fault 3: a corrupt object is reported, and the next poll clones again and keeps the pins", async () => {
    const { log, text } = memoryLog();
    const clock = new ManualClock();
    await using source = open({ log, clock });
    const pinned = await source.poll(signal);
    await source.pin([pinned]);
    const commit = await repo.forcePush({ [`${WEB}/etc/nginx.conf`]: "rewritten\n" });
    await source.poll(signal);
    const blob = await repo.id(`${commit}:${WEB}/etc/nginx.conf`);
    await spoil(blob);
    clock.advance(READER_KEPT);
    const web = (await source.discover(commit)).apps.get(WEB)!;
    await expect(source.materialize([web.tree])).rejects.toMatchObject({ reason: "SourceUnavailable" });
    expect(await source.poll(signal)).toBe(commit);
    await source.materialize([web.tree]);
    expect(await readFile(join(source.snapshotRoot, web.tree, "etc/nginx.conf"), "utf8")).toBe("rewritten\n");
    expect(await source.appAt(WEB, pinned)).not.toBeNull();
    expect(text()).toContain("the git mirror was cloned again");
    expect(await readdir(dir.path)).not.toContain("git.old");
  });

  it("fault 3: a corrupt blob is found when its checksum or content is asked, and the next poll mends it", async () => {
    const clock = new ManualClock();
    await using source = open({ clock });
    const commit = await source.poll(signal);
    await source.discover(commit);
    const blob = await repo.id(`${commit}:${WEB}/etc/nginx.conf`);
    for (const read of [() => source.checksums([blob]), () => source.content(blob, 100)]) {
      await spoil(blob);
      clock.advance(READER_KEPT);
      await expect(read()).rejects.toMatchObject({ reason: "SourceUnavailable" });
      await source.poll(signal);
      await read();
    }
  });

  it("fault 3: a corrupt tree is MirrorCorrupt until the next poll", async () => {
    await using source = open();
    const commit = await source.poll(signal);
    await spoil(await repo.id(`${commit}:${WEB}`));
    await expect(source.discover(commit)).rejects.toMatchObject({ reason: "MirrorCorrupt" });
    await source.poll(signal);
    expect((await source.discover(commit)).apps.size).toBe(1);
  });

  it("fault 3: a pack with flipped bytes is found and cloned again", async () => {
    await using source = open();
    const commit = await source.poll(signal);
    const folder = join(dir.path, "git/objects/pack");
    const pack = join(
      folder,
      (await readdir(folder)).find((name) => name.endsWith(".pack"))!,
    );
    const content = await readFile(pack);
    content.fill(0xff, 14, content.length - 20);
    await rm(pack);
    await writeFile(pack, content);
    await expect(source.discover(commit)).rejects.toMatchObject({ reason: "MirrorCorrupt" });
    await source.poll(signal);
    expect((await source.discover(commit)).apps.size).toBe(1);
  });

  it("fault 3: a mirror whose folder was emptied is cloned again", async () => {
    await using source = open();
    const commit = await source.poll(signal);
    await rm(join(dir.path, "git"), { recursive: true });
    await expect(source.discover(commit)).rejects.toMatchObject({ reason: "MirrorCorrupt" });
    await source.poll(signal);
    expect((await source.discover(commit)).apps.size).toBe(1);
  });

  it("fault 3: looks in vain for the pins that somebody needs, and for no others, when it clones again", async () => {
    const { log, text } = memoryLog();
    await using source = open({ log });
    const spare = await source.poll(signal);
    const needed = await repo.forcePush({ [`${WEB}/etc/nginx.conf`]: "needed\n" });
    await source.poll(signal);
    await source.pin([spare, needed]);
    await source.collect({ trees: new Set(), commits: new Set([needed]) });
    const commit = await repo.forcePush({ [`${WEB}/etc/nginx.conf`]: "new\n" });
    await source.poll(signal);
    // What nobody needed may be needed again.
    await source.collect({ trees: new Set(), commits: new Set() });
    await source.pin([needed]);
    await rm(join(dir.path, "git"), { recursive: true });
    await repo.prune();
    await expect(source.discover(commit)).rejects.toMatchObject({ reason: "MirrorCorrupt" });
    await source.poll(signal);
    expect(text()).toContain(`"lostBases":["${needed}"]`);
  });

  it("fault 3: a head that points nowhere after a crash is mended by the first poll", async () => {
    {
      await using source = open();
      await source.poll(signal);
    }
    await writeFile(join(dir.path, "git/refs/fssync/head"), `${"1".repeat(40)}\n`);
    await using source = open();
    expect(await source.head()).toBeNull();
    expect(await source.poll(signal)).toBe(await repo.commitOf("main"));
  });

  it("ends a swap that was cut short", async () => {
    {
      await using source = open();
      await source.poll(signal);
    }
    await cp(join(dir.path, "git"), join(dir.path, "git.new"), { recursive: true });
    await rename(join(dir.path, "git"), join(dir.path, "git.old"));
    await using source = open();
    expect(await source.head()).toBe(await repo.commitOf("main"));
    expect(await readdir(dir.path)).not.toContain("git.old");
  });

  it("asks for a commit or tree that is not there without taking itself for damaged", async () => {
    const { log, text } = memoryLog();
    await using source = open({ log });
    await source.poll(signal);
    await expect(source.discover("2".repeat(40))).rejects.toMatchObject({ reason: "SourceUnavailable" });
    await expect(source.materialize(["2".repeat(40)])).rejects.toMatchObject({ reason: "SourceUnavailable" });
    await expect(source.checksums(["2".repeat(40)])).rejects.toMatchObject({ reason: "SourceUnavailable" });
    await expect(source.content("2".repeat(40), 100)).rejects.toMatchObject({ reason: "SourceUnavailable" });
    expect(text()).not.toContain("damaged");
  });

  it.each([":(bad object)x", ":(No space left on device)x", ":(top)nginx", "*", "n'bad object'x"])(
    "takes a name that people ask for, %s, for a name, and never for damage",
    async (name) => {
      const { log, text } = memoryLog();
      await using source = open({ log });
      const head = await source.poll(signal);
      const old = await repo.commit({ [`${WEB}/etc/other.conf`]: "newer\n" });
      expect(await source.appAt(`${name}/prod/web`, head)).toBeNull();
      expect(await source.folderAt(`${name}/prod/common`, head)).toBeNull();
      expect(await source.history(`${name}/prod/web`, 10)).toEqual([]);
      const asked: (Buffer | null)[] = [];
      const path = `${name}/prod/web/etc/other.conf`;
      const edit = (before: Buffer | null) => (asked.push(before), before);
      expect(await source.editor.commit({ path, edit, message: "change" }, signal)).toBeNull();
      expect(asked).toEqual([null]);
      expect(await source.head()).toBe(old);
      expect(text()).not.toContain("damaged");
    },
  );

  it("asks git once for an app that a commit does not hold, and not at all for what can be none", async () => {
    await using git = await wrapGit('echo "$@" >>"$LOG"');
    await using source = open();
    const head = await source.poll(signal);
    await git.clear();
    for (let asked = 0; asked < 3; asked += 1) expect(await source.appAt("nginx/prod/none", head)).toBeNull();
    expect((await git.calls()).match(/ls-tree/g)).toHaveLength(1);
    await git.clear();
    expect(await source.appAt("nginx/../web", head)).toBeNull();
    expect(await git.calls()).toBe("");
  });

  it("pins once, skips a commit that is gone, and unpins what nobody needs once it is some", async () => {
    await using source = open();
    const first = await source.poll(signal);
    const older: string[] = [];
    for (let one = 0; one < 15; one++) older.push(await repo.commit({ [`${WEB}/etc/nginx.conf`]: `user ${one};\n` }));
    const second = await repo.commit({ [`${WEB}/etc/nginx.conf`]: "user new;\n" });
    await source.poll(signal);
    await source.pin([first, "3".repeat(40), second]);
    await using git = await wrapGit(`echo "$*" >>"$LOG"`);
    await source.pin([first, second]);
    expect(await git.calls()).toBe("");
    const pinned = () => readdir(join(dir.path, "git/refs/fssync/bases"));
    await source.collect({ trees: new Set(), commits: new Set([second]) });
    expect(await git.calls(), "a process for one ref").toBe("");
    expect(await pinned()).toHaveLength(2);
    await source.pin(older);
    await source.collect({ trees: new Set(), commits: new Set([second]) });
    expect(await pinned()).toEqual([second]);
  });

  async function spoil(id: string): Promise<void> {
    const mirror = join(dir.path, "git");
    for (const name of await readdir(join(mirror, "objects/pack"))) {
      const pack = join(mirror, "objects/pack", name);
      const content = await readFile(pack);
      await rm(pack);
      if (name.endsWith(".pack")) await runGit(["--git-dir", mirror, "unpack-objects", "-q"], content);
    }
    const file = join(mirror, "objects", id.slice(0, 2), id.slice(2));
    await rm(file);
    await writeFile(file, "not an object");
  }
});
