import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { gitEditorContract } from "../../contract/git-editor.ts";
import { makeRepo, type TestRepo } from "../../support/repo.ts";
import { serveGit } from "./http-remote.ts";
import { memoryLog, openSource, temporaryFolder, type TemporaryFolder, wrapGit } from "./open-source.ts";

const { signal } = new AbortController();
const CONF = "env/prod/web/etc/web.conf";

gitEditorContract("mirror of a file remote", async () => {
  const repo = await makeRepo();
  const dir = await temporaryFolder();
  return {
    async open() {
      const source = openSource({ url: repo.url, dir: dir.path });
      return {
        commit: (change, until) => source.editor.commit(change, until),
        [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
      };
    },
    remote: {
      commit: (changes) => repo.commit(changes),
      forcePush: (files) => repo.forcePush(files),
      reset: async (commit) => void (await repo.git(["update-ref", "refs/heads/main", commit])),
      head: async () => (await repo.commitOf("main"))!,
      commits: async () => lines(await repo.git(["rev-list", "main"])),
      file: (path) => fileOf(repo, path),
      message: async (commit) => (await repo.git(["log", "-1", "--format=%B", commit])).toString("utf8").slice(0, -1),
      async [Symbol.asyncDispose]() {
        await repo[Symbol.asyncDispose]();
        await dir[Symbol.asyncDispose]();
      },
    },
  };
});

describe("an editor on the mirror", () => {
  let repo: TestRepo;
  let dir: TemporaryFolder;

  beforeEach(async () => {
    repo = await makeRepo({ [CONF]: "a=1\n", "env/prod/web/etc/other.conf": "other\n" });
    dir = await temporaryFolder();
  });
  afterEach(async () => {
    await repo[Symbol.asyncDispose]();
    await dir[Symbol.asyncDispose]();
  });

  const open = (more: Partial<Parameters<typeof openSource>[0]> = {}) =>
    openSource({ url: repo.url, dir: dir.path, ...more });
  const setting = (text: string) => ({ path: CONF, edit: () => Buffer.from(text), message: "change" });
  const appending = (text: string) => ({
    path: CONF,
    edit: (before: Buffer | null) => Buffer.concat([before!, Buffer.from(text)]),
    message: "change",
  });

  async function hook(name: string, script: string): Promise<void> {
    await mkdir(join(repo.path, "hooks"), { recursive: true });
    await writeFile(join(repo.path, "hooks", name), `#!/bin/sh\n${script}\n`);
    await chmod(join(repo.path, "hooks", name), 0o755);
  }

  it("signs commits with the author it was given", async () => {
    await using source = open({ author: { name: "Configuration Ü", email: "config@example.com" } });
    await source.editor.commit(setting("a=2\n"), signal);
    const names = await repo.git(["log", "-1", "--format=%an <%ae> %cn <%ce>", "main"]);
    const who = "Configuration Ü <config@example.com>";
    expect(names.toString("utf8").trim()).toBe(`${who} ${who}`);
  });

  it.each([
    ["is long", `env/prod/web/${"x".repeat(1024 * 1024)}`],
    ["has many folders", `env/prod/web/${"x/".repeat(2000)}y`],
  ])("takes what %s for no path", async (_, path) => {
    await using source = open();
    await expect(source.editor.commit({ ...setting("a=2\n"), path }, signal)).rejects.toMatchObject({
      reason: "NotEditable",
    });
  });

  it("goes on with what it pushed itself: the source reads it at the next poll", async () => {
    await using source = open();
    const commit = await source.editor.commit(setting("a=2\n"), signal);
    expect(await source.poll(signal)).toBe(commit);
    expect(await source.head()).toBe(commit);
  });

  it("edits again when somebody pushed between its look and its push", async () => {
    // Before the first push somebody else's commit lands on the branch.
    const theirs = await repo.commit({ [CONF]: "theirs=1\n" }, { branch: "theirs" });
    await repo.git(["update-ref", "refs/heads/theirs", theirs]);
    await using source = open();
    await using _ = await wrapGit(
      `case " $* " in *" push "*) [ -s "$LOG" ] || { echo moved >"$LOG"; "$GIT" --git-dir='${repo.path}' update-ref refs/heads/main ${theirs}; } ;; esac`,
    );
    const commit = await source.editor.commit(appending("b=2\n"), signal);
    expect((await fileOf(repo, CONF))?.content).toBe("theirs=1\nb=2\n");
    expect(lines(await repo.git(["rev-list", "-2", "main"]))).toEqual([commit, theirs]);
  });

  it("brings nothing back that is taken away from the branch between its look and its push", async () => {
    const kept = (await repo.commitOf("main"))!;
    await repo.commit({ "env/prod/web/etc/key": "leaked\n" });
    await using source = open();
    await using _ = await wrapGit(
      `case " $* " in *" push "*) [ -s "$LOG" ] || { echo moved >"$LOG"; "$GIT" --git-dir='${repo.path}' update-ref refs/heads/main ${kept}; } ;; esac`,
    );
    await source.editor.commit(appending("b=2\n"), signal);
    expect(await fileOf(repo, "env/prod/web/etc/key")).toBeUndefined();
    expect((await fileOf(repo, CONF))?.content).toBe("a=1\nb=2\n");
  });

  it("gives up on a branch that never stands still, and says so", async () => {
    await using source = open();
    await using _ = await wrapGit(
      `case " $* " in *" push "*)
        old=$("$GIT" --git-dir='${repo.path}' rev-parse main)
        new=$("$GIT" --git-dir='${repo.path}' -c user.name=x -c user.email=x@x commit-tree "main^{tree}" -p main -m more)
        env -u GIT_DIR "$GIT" --git-dir='${repo.path}' update-ref refs/heads/main "$new" "$old" ;; esac`,
    );
    await expect(source.editor.commit(appending("b=2\n"), signal)).rejects.toMatchObject({
      reason: "PushFailed",
      message: expect.stringContaining("the branch moved 10 times"),
    });
    expect((await fileOf(repo, CONF))?.content).toBe("a=1\n");
  });

  it("counts a push as done whose answer was lost, and does not do it twice", async () => {
    await using source = open();
    await using git = await wrapGit(
      `case " $* " in *" push "*) echo push >>"$LOG"; "$GIT" "$@"; echo "fatal: the remote end hung up unexpectedly" >&2; exit 128 ;; esac`,
    );
    const commit = await source.editor.commit(appending("b=2\n"), signal);
    expect(await repo.commitOf("main")).toBe(commit);
    expect((await fileOf(repo, CONF))?.content).toBe("a=1\nb=2\n");
    expect(await git.calls()).toBe("push\n");
  });

  it("says in the remote's words why it refused", async () => {
    await hook("pre-receive", `echo "GitLab: You are not allowed to push code to protected branches." >&2; exit 1`);
    await using source = open();
    const before = await repo.commitOf("main");
    const refused = await source.editor.commit(setting("a=2\n"), signal).catch((error: unknown) => error);
    expect(refused).toMatchObject({ reason: "PushFailed" });
    expect(String(refused)).toContain("GitLab: You are not allowed to push code to protected branches.");
    expect(String(refused)).toContain("pre-receive hook declined");
    expect(await repo.commitOf("main")).toBe(before);
    expect(await leftovers(dir.path)).toEqual([]);
  });

  it("shows nothing of credentials that a remote repeats", async () => {
    await hook("pre-receive", `echo "no access to https://robot:s3cret@git.example.com/x.git" >&2; exit 1`);
    await using source = open();
    const refused = await source.editor.commit(setting("a=2\n"), signal).catch((error: unknown) => error);
    expect(String(refused)).toContain("https://git.example.com/x.git");
    expect(String(refused)).not.toContain("s3cret");
  });

  it("pushes over http with the credentials of the Secret, in no argument and no variable", async () => {
    const login = { username: "robot", password: "s3cret-w0rd" };
    await using remote = await serveGit(repo, login);
    await repo.git(["config", "http.receivepack", "true"]);
    await using git = await wrapGit(`{ tr '\\0' ' ' </proc/$$/cmdline; env; } >>"$LOG"`);
    const { log, text } = memoryLog();
    const secret = async () => new Map(Object.entries(login));
    await using source = open({ url: remote.url, secret, log });
    const commit = await source.editor.commit(setting("a=2\n"), signal);
    expect(await repo.commitOf("main")).toBe(commit);
    expect(await git.calls()).toContain("push");
    expect((await git.calls()) + text()).not.toContain("s3cret");
  });

  it("says that it may not push where it may only read", async () => {
    const login = { username: "robot", password: "s3cret-w0rd" };
    await using remote = await serveGit(repo, login);
    await repo.git(["config", "http.receivepack", "false"]);
    await using source = open({ url: remote.url, secret: async () => new Map(Object.entries(login)) });
    await expect(source.editor.commit(setting("a=2\n"), signal)).rejects.toMatchObject({
      reason: "PushFailed",
      message: expect.stringMatching(/ 403/),
    });
  });

  it("is over when the remote takes longer than git.timeout", async () => {
    await hook("pre-receive", "sleep 30");
    await using source = open({ timeout: 700 });
    const refused = await source.editor.commit(setting("a=2\n"), signal).catch((error: unknown) => error);
    expect(refused).toMatchObject({ reason: "PushFailed", message: expect.stringContaining("within git.timeout") });
  });

  it("runs no hooks of the mirror", async () => {
    await using source = open();
    await source.poll(signal);
    const hooks = join(dir.path, "git", "hooks");
    await mkdir(hooks, { recursive: true });
    for (const name of ["pre-push", "pre-commit", "commit-msg", "post-index-change", "reference-transaction"]) {
      await writeFile(join(hooks, name), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    }
    expect(await source.editor.commit(setting("a=2\n"), signal)).toBe(await repo.commitOf("main"));
  });

  it("does not lose its objects to git's housekeeping before the push", async () => {
    await using source = open();
    await using _ = await wrapGit(`case " $* " in *" push "*) "$GIT" -c gc.auto=1 gc --quiet || exit 1 ;; esac`);
    expect(await source.editor.commit(setting("a=2\n"), signal)).toBe(await repo.commitOf("main"));
  });

  it("leaves nothing behind, also where a process before was killed in the middle", async () => {
    await using source = open();
    await source.poll(signal);
    await writeFile(join(dir.path, "edit-0.index"), "half");
    await writeFile(join(dir.path, "edit-0.index.lock"), "half");
    await using restarted = open();
    await restarted.editor.commit(setting("a=2\n"), signal);
    expect(await leftovers(dir.path)).toEqual([]);
  });

  it("ends with the source it belongs to", async () => {
    await hook("pre-receive", "sleep 30");
    const source = open();
    const asked = source.editor.commit(setting("a=2\n"), signal).catch((error: unknown) => error);
    await using _ = await wrapGit("");
    await source.poll(signal);
    await source[Symbol.asyncDispose]();
    expect(await asked).toMatchObject({ reason: "Interrupted" });
  });
});

async function leftovers(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.startsWith("edit-"));
}

function lines(output: Buffer): string[] {
  return output.toString("utf8").trim().split("\n");
}

async function fileOf(repo: TestRepo, path: string) {
  const line = (await repo.git(["ls-tree", "-z", "main", "--", path])).toString("utf8");
  if (line === "") return undefined;
  const [mode = "", , id = ""] = line.split(/[ \t]/);
  return { mode, content: (await repo.git(["cat-file", "blob", id])).toString("utf8") };
}
