import { describe, expect, test } from "vitest";
import type { FileEntry } from "../../../src/model/manifest.ts";
import type { AppChange } from "../../../src/ports/transport.ts";
import { planPasses } from "../../../src/transport/passes.ts";

function file(path: string, attributes: Partial<FileEntry> = {}): FileEntry {
  const base = {
    kind: "file",
    blob: "",
    tree: "t1",
    from: "m/e/a",
    owner: "root",
    group: "root",
    mode: 0o644,
  } as const;
  return { ...base, path, ...attributes };
}

function plan(apps: AppChange[], emptyFolders: string[] = []) {
  return planPasses({ snapshotRoot: "/s", apps, emptyFolders }, ({ path }) => (path.endsWith(".sh") ? 0o755 : 0o644));
}

function one(send: FileEntry[], deletes: string[]) {
  const { clear, deletes: later } = plan([{ app: "m/e/a", send, delete: deletes }]);
  return { clear: clear.get("m/e/a"), later: later.get("m/e/a") };
}

describe("the order of passes", () => {
  test("deletes come after sends", () => {
    expect(one([file("etc/a")], ["etc/b"])).toEqual({ clear: undefined, later: ["etc/b"] });
  });

  test("a folder that becomes a file is cleared first", () => {
    expect(one([file("etc/a")], ["etc/a/b/c", "etc/a/d", "etc/ab"])).toEqual({
      clear: { files: ["etc/a//b/c", "etc/a//d"], folders: ["etc/a/b", "etc/a"] },
      later: ["etc/ab"],
    });
  });

  test("a file that becomes a folder is cleared first", () => {
    expect(one([file("etc/a/b/c")], ["etc/a", "etc/a/b"])).toEqual({
      clear: { files: ["etc/a", "etc/a//b"], folders: ["etc/a"] },
      later: undefined,
    });
  });

  test("what stands in the way may be another app's", () => {
    const { clear } = plan([
      { app: "m/e/a", send: [], delete: ["etc/x/y"] },
      { app: "m/e/b", send: [file("etc/x")], delete: [] },
    ]);
    expect(clear.get("m/e/a")).toEqual({ files: ["etc/x//y"], folders: ["etc/x"] });
  });

  test("a path that another app sends is not deleted", () => {
    const { clear, deletes } = plan([
      { app: "m/e/a", send: [], delete: ["etc/x"] },
      { app: "m/e/b", send: [file("etc/x")], delete: [] },
    ]);
    expect([clear.size, deletes.size]).toEqual([0, 0]);
  });
});

describe("two versions of which only one can be on the host", () => {
  test("are cleared with a guard instead of being deleted by list", () => {
    expect(one([], ["etc/x/a", "etc/x", "etc/y"])).toEqual({
      clear: { files: ["etc/x//a", "etc/x"], folders: ["etc/x"] },
      later: ["etc/y"],
    });
  });

  test("the guard stands at the outermost of them", () => {
    expect(one([file("etc/x", { kind: "symlink" })], ["etc/x/y/a", "etc/x/y"]).clear).toEqual({
      files: ["etc/x//y/a", "etc/x//y"],
      folders: ["etc/x/y", "etc/x"],
    });
  });
});

describe("runs", () => {
  test("files of all apps with one ownership go in one run, whichever of git's modes they have", () => {
    const { sends } = plan([
      {
        app: "m/e/a",
        send: [file("a"), file("b.sh", { mode: 0o755 }), file("l", { kind: "symlink", mode: 0o777 })],
        delete: [],
      },
      { app: "m/e/b", send: [file("c")], delete: [] },
    ]);
    expect(sends.map(({ ownership }) => ownership)).toEqual([{ owner: "root", group: "root", mode: null }]);
    expect([...sends[0]!.files].map(([app, files]) => [app, files.length])).toEqual([
      ["m/e/a", 3],
      ["m/e/b", 1],
    ]);
  });

  test("another owner, group or mode is another run", () => {
    const send = [
      file("a"),
      file("b", { owner: "app" }),
      file("c", { group: "app" }),
      file("d", { mode: 0o600 }),
      file("e.sh"),
    ];
    const { sends } = plan([{ app: "m/e/a", send, delete: [] }]);
    expect(sends.map(({ ownership: { owner, group, mode } }) => `${owner}:${group}:${mode?.toString(8)}`)).toEqual([
      "app:root:undefined",
      "root:app:undefined",
      "root:root:undefined",
      "root:root:600",
      "root:root:644",
    ]);
  });
});
