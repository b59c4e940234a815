import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FssyncError } from "../../src/model/errors.ts";
import type { FileChange, GitEditor } from "../../src/ports/git-editor.ts";
import type { Change, Changes } from "../support/repo.ts";

/** The remote that an editor under test commits to. */
export interface EditedRemote extends AsyncDisposable {
  commit(changes: Changes): Promise<string>;
  /** Replaces the branch by one commit without parents. */
  forcePush(files: Changes): Promise<string>;
  /** Sets the branch back to a commit. */
  reset(commit: string): Promise<void>;
  /** The newest commit of the branch. */
  head(): Promise<string>;
  /** Those of the branch, newest first. */
  commits(): Promise<string[]>;
  /** Mode and content of a file at the newest commit; undefined when it is not there. */
  file(path: string): Promise<{ readonly mode: string; readonly content: string } | undefined>;
  message(commit: string): Promise<string>;
}

export interface EditorFixture {
  readonly remote: EditedRemote;
  /** An editor on the remote's branch `main`; each call is a restart of the one before. */
  open(): Promise<GitEditor & AsyncDisposable>;
}

const CONF = "env/prod/web/etc/web.conf";
const FILES: Record<string, Change> = {
  [CONF]: "a=1\n",
  "env/prod/web/usr/bin/run": { executable: "#!/bin/sh\n" },
  "env/prod/web/etc/link": { symlink: "web.conf" },
  "env/prod/web/etc/large": Buffer.alloc(1024 * 1024 + 1, "x"),
  "env/prod/api/etc/api.conf": "b=1\n",
};

/** What every editor promises. `fixture` gives an empty remote and a way to open editors on it. */
export function gitEditorContract(name: string, fixture: () => Promise<EditorFixture>): void {
  describe(`git editor contract: ${name}`, () => {
    let remote: EditedRemote;
    let editor: GitEditor & AsyncDisposable;
    const { signal } = new AbortController();

    beforeEach(async () => {
      const made = await fixture();
      remote = made.remote;
      await remote.commit(FILES);
      editor = await made.open();
    });

    afterEach(async () => {
      await editor[Symbol.asyncDispose]();
      await remote[Symbol.asyncDispose]();
    });

    const change = (path: string, edit: FileChange["edit"], message = "change") =>
      editor.commit({ path, edit, message }, signal);
    const append = (text: string) => (before: Buffer | null) => Buffer.concat([before!, Buffer.from(text)]);

    it("commits one file on top of the newest commit, and leaves all others as they are", async () => {
      const parent = await remote.head();
      const commit = await change(CONF, append("c=3\n"), "web: add c\n\nBy: somebody\n");
      expect(await remote.commits()).toEqual([commit, parent]);
      expect(await remote.message(commit!)).toBe("web: add c\n\nBy: somebody\n");
      expect(await remote.file(CONF)).toEqual({ mode: "100644", content: "a=1\nc=3\n" });
      expect(await remote.file("env/prod/api/etc/api.conf")).toMatchObject({ content: "b=1\n" });
    });

    it("keeps the mode of a file", async () => {
      await change("env/prod/web/usr/bin/run", append("true\n"));
      expect(await remote.file("env/prod/web/usr/bin/run")).toEqual({ mode: "100755", content: "#!/bin/sh\ntrue\n" });
    });

    it("makes a file that is not there, and the folders above it, and removes one", async () => {
      const made = "env/prod/web/etc/new folder/-ü.conf";
      const seen: (Buffer | null)[] = [];
      await change(made, (before) => (seen.push(before), Buffer.from("x=1\n")));
      expect(seen).toEqual([null]);
      expect(await remote.file(made)).toEqual({ mode: "100644", content: "x=1\n" });
      await change(made, () => null);
      expect(await remote.file(made)).toBeUndefined();
    });

    it("keeps bytes as they are", async () => {
      await change(CONF, () => Buffer.from("a=1\r\nü\u0000\n\n"));
      expect((await remote.file(CONF))?.content).toBe("a=1\r\nü\u0000\n\n");
    });

    it("makes no commit when nothing changes", async () => {
      const before = await remote.head();
      expect(await change(CONF, (content) => Buffer.from(content!))).toBeNull();
      expect(await change("env/prod/web/etc/nothing", () => null)).toBeNull();
      expect(await remote.head()).toBe(before);
    });

    it("lets through what the edit throws, and touches nothing", async () => {
      const before = await remote.head();
      const why = new FssyncError("UnknownName", "no such key");
      await expect(
        change(CONF, () => {
          throw why;
        }),
      ).rejects.toBe(why);
      expect(await remote.head()).toBe(before);
    });

    it("says whether the file is secret at the newest commit, by whatever .gitattributes", async () => {
      const said: boolean[] = [];
      const ask = () => change(CONF, (before, { secret }) => (said.push(secret), before));
      await ask();
      await remote.commit({ "env/prod/.gitattributes": "web.conf secret\n" });
      await ask();
      await remote.commit({ "env/prod/web/etc/.gitattributes": "*.conf -secret\n" });
      await ask();
      expect(said).toEqual([false, true, false]);
    });

    it("works on what others have pushed since it last looked, also by force", async () => {
      await change(CONF, append("c=3\n"));
      await remote.commit({ [CONF]: "theirs=1\n" });
      await change(CONF, append("d=4\n"));
      expect(await remote.file(CONF)).toMatchObject({ content: "theirs=1\nd=4\n" });
      await remote.forcePush({ [CONF]: "forced=1\n" });
      await change(CONF, append("e=5\n"));
      expect(await remote.file(CONF)).toMatchObject({ content: "forced=1\ne=5\n" });
    });

    it("edits again when the branch moves under it, and loses nobody's change", async () => {
      let calls = 0;
      // `edit` cannot wait: the second look at the file comes after somebody pushed.
      const others: Promise<string>[] = [];
      await change(CONF, (before) => {
        calls += 1;
        if (calls === 1) others.push(remote.commit({ [CONF]: "theirs=1\n" }));
        return append(`calls=${calls}\n`)(before);
      });
      await Promise.all(others);
      const content = (await remote.file(CONF))?.content;
      // Whoever was first, both are there; else ours came before and theirs replaced the file.
      expect(["theirs=1\ncalls=2\n", "theirs=1\n"]).toContain(content);
    });

    it("brings nothing back that was taken away from the branch meanwhile", async () => {
      const kept = await remote.head();
      await remote.commit({ "env/prod/web/etc/secret.conf": "leaked\n" });
      await change(CONF, append("c=3\n"));
      await remote.reset(kept);
      await change(CONF, append("d=4\n"));
      expect(await remote.file("env/prod/web/etc/secret.conf")).toBeUndefined();
      expect(await remote.file(CONF)).toMatchObject({ content: "a=1\nd=4\n" });
    });

    it("lets all of many changes at a time land", async () => {
      const keys = Array.from({ length: 12 }, (_, index) => `key${index}=${index}\n`);
      await Promise.all(keys.map((line) => change(CONF, append(line))));
      const { content } = (await remote.file(CONF))!;
      expect(content.split("\n").filter((line) => line.startsWith("key"))).toHaveLength(keys.length);
      expect(await remote.commits()).toHaveLength(keys.length + 1);
    });

    it("refuses what is no plain file by its name", async () => {
      const before = await remote.head();
      const paths = ["env/prod/web/etc/link", "env/prod/web/etc", "env/prod/web/etc/large"];
      const below = ["env/prod/web/etc/link/x", "env/prod/web/etc/web.conf/x"];
      const odd = ["", "/etc/passwd", "env/../x", "env//x", "env/./x", ".git/config", "env/.GIT/hooks/x"];
      for (const path of [...paths, ...below, ...odd]) {
        const refused = await change(path, () => Buffer.from("x\n")).catch((error: unknown) => error);
        expect(refused, path).toMatchObject({ reason: "NotEditable" });
      }
      expect(await remote.head()).toBe(before);
    });

    it("is interrupted by the signal", async () => {
      const aborted = AbortSignal.abort();
      const asked = editor.commit({ path: CONF, edit: append("x=1\n"), message: "change" }, aborted);
      await expect(asked).rejects.toMatchObject({ reason: "Interrupted" });
    });
  });
}
