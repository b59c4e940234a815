import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { decodePath, encodePath } from "../../../src/model/path.ts";
import type { AppChange, HostChange, KnownFile } from "../../../src/ports/transport.ts";
import type { FileSpec } from "../../support/fleet-change.ts";
import { hostShells } from "../../support/host-shells.ts";
import { ShellHost } from "./batch-host.ts";

const WEB = "nginx/prod/web";
const isRoot = process.getuid?.() === 0;
const DONE = { done: true };
const sha256 = (text: string | Buffer) => createHash("sha256").update(text).digest("hex");

type Files = Record<string, string | FileSpec>;

describe.each(hostShells().map((shell) => [shell.name, shell] as const))("a batch on a host with %s", (name, shell) => {
  let host: ShellHost;

  beforeEach(() => {
    host = new ShellHost({ shell });
  });
  afterEach(() => host[Symbol.asyncDispose]());

  const at = (path: string) => encodePath(join(host.root, path));
  const read = (path: string) => readFileSync(at(path), "utf8");
  const mode = (path: string) => (lstatSync(at(path)).mode & 0o7777).toString(8);

  function put(path: string, text: string) {
    mkdirSync(dirname(at(path).toString()), { recursive: true });
    writeFileSync(at(path), text);
  }

  function change(files: Files, { deletes = [], replaces = [], emptyFolders = [] }: Partial<Extra> = {}): HostChange {
    const app: AppChange = { ...host.snapshots.app(WEB, files, deletes), replaces };
    return host.snapshots.change([app], emptyFolders);
  }

  /** As a sync does that knows what it laid before. */
  function next(before: Files, after: Files): HostChange {
    const deletes = Object.keys(before).filter((path) => after[path] === undefined);
    const send = Object.fromEntries(Object.entries(after).filter(([path, file]) => before[path] !== file));
    const known = Object.entries(before).filter(([path, file]) => after[path] !== file);
    return change(send, { deletes, replaces: known.map(([path, file]) => knownFile(path, file)) });
  }

  interface Extra {
    readonly deletes: string[];
    readonly replaces: KnownFile[];
    readonly emptyFolders: string[];
  }

  function knownFile(path: string, ...versions: (string | FileSpec)[]): KnownFile {
    const contents = versions.map((file) => (typeof file === "string" ? file : (file.link ?? file.text ?? "")));
    return { path, checksums: contents.map(sha256) };
  }

  async function laid(before: Files, after: Files) {
    expect(await host.lay(change(before))).toEqual(DONE);
    expect(await host.lay(next(before, after))).toEqual(DONE);
  }

  /** Lays `before`, lets somebody do something, and brings `after`. */
  async function afterwards(before: Files, after: Files, edit: () => void) {
    expect(await host.lay(change(before))).toEqual(DONE);
    edit();
    return host.lay(next(before, after));
  }

  test("brings a file, its folders and its next version, and deletes it", async () => {
    await laid({ "etc/app/a.conf": "1" }, { "etc/app/a.conf": "2" });
    expect(read("etc/app/a.conf")).toBe("2");
    expect([mode("etc/app"), mode("etc/app/a.conf")]).toEqual(["755", "644"]);
    const gone = change(
      {},
      { deletes: ["etc/app/a.conf"], replaces: [knownFile("etc/app/a.conf", "2")], emptyFolders: ["etc/app", "etc"] },
    );
    expect(await host.lay(gone)).toEqual(DONE);
    expect(readdirSync(host.root)).toEqual([]);
  });

  test("brings names and contents of all kinds", async () => {
    const odd = [
      "with space",
      "it's",
      '"quoted"',
      "$(id) `id` $x",
      "*",
      "-rf",
      "--help",
      "#c",
      "ünï",
      decodePath(Buffer.of(0xff, 0x41)),
      "~",
      "a=b",
      "!",
      "%s",
      "[a]",
    ];
    const files: Files = Object.fromEntries(odd.map((path, index) => [`odd dir/${path}`, `${index}`]));
    files["empty"] = "";
    files["-n"] = "top";
    files["exec"] = { text: "#!/bin/sh\n", mode: 0o755 };
    files["link"] = { link: "exec" };
    files["dangling"] = { link: " no where\n" };
    const changed = Object.fromEntries(
      Object.entries(files).map(([path, file]) => [path, typeof file === "string" ? `${file} 2` : file]),
    );
    await laid(files, changed);
    for (const [index, path] of odd.entries()) expect(read(`odd dir/${path}`)).toBe(`${index} 2`);
    expect([read("empty"), read("-n"), mode("exec")]).toEqual([" 2", "top 2", "755"]);
    expect([readlinkSync(at("link")), readlinkSync(at("dangling"))]).toEqual(["exec", " no where\n"]);
    const kept = { "odd dir/keep": "1" };
    expect(await host.lay(next({ ...changed, ...kept }, kept))).toEqual(DONE);
    expect(readdirSync(host.root)).toEqual(["odd dir"]);
  });

  test("turns a file into a symlink and back, and deletes a symlink", async () => {
    await laid({ a: "1", b: { link: "x" } }, { a: { link: "y" }, b: "2" });
    expect([readlinkSync(at("a")), read("b")]).toEqual(["y", "2"]);
    expect(await host.lay(next({ a: { link: "y" } }, {}))).toEqual(DONE);
    expect(readdirSync(host.root)).toEqual(["b"]);
  });

  test("sends nothing that is there already, also when nothing is known of the host", async () => {
    const files = {
      "etc/big": "x\n".repeat(400_000) + Array.from({ length: 40_000 }, () => Math.random()).join(),
      "etc/a": "1",
    };
    expect(await host.lay(change(files))).toEqual(DONE);
    expect(host.sent).toBeGreaterThan(100_000);
    host.sent = 0;
    const replaces = Object.entries(files).map(([path, text]) => knownFile(path, text));
    expect(await host.lay(change(files))).toEqual(DONE);
    expect(await host.lay(change(files, { replaces }))).toEqual(DONE);
    expect(host.sent).toBe(0);
    chmodSync(at("etc/a"), 0o600);
    expect(await host.lay(change(files, { replaces }))).toEqual(DONE);
    expect(host.sent).toBeGreaterThan(100_000);
    expect(mode("etc/a")).toBe("644");
  });

  test("looks at every file's mode, whoever the login is", async () => {
    const files: Files = Object.fromEntries(["a", "b", "c"].map((path) => [path, { text: path, mode: 0o600 }]));
    const sent = change(files);
    for (const id of ["1000", "0"]) {
      host.program("id", `echo ${id}`);
      expect(await host.lay(sent, { user: "deploy" })).toEqual(DONE);
      chmodSync(at("b"), 0o666);
      chmodSync(at("c"), 0o644);
      expect(await host.lay(sent, { user: "deploy" })).toEqual(DONE);
      expect(Object.keys(files).map(mode), id).toEqual(["600", "600", "600"]);
    }
  });

  test.runIf(isRoot)("looks at owners where the login is root by another name", async () => {
    const sent = change({ a: "1", b: "2" });
    expect(await host.lay(sent, { user: "toor" })).toEqual(DONE);
    chownSync(at("b"), 1, 1);
    expect(await host.lay(sent, { user: "toor" })).toEqual(DONE);
    const { uid, gid } = lstatSync(at("b"));
    expect([uid, gid]).toEqual([0, 0]);
  });

  test("says what was changed by somebody, and touches nothing then", async () => {
    const before = { "etc/a": "1", "etc/b": "1", "etc/c": "1" };
    const outcome = await afterwards(before, { "etc/a": "2", "etc/b": "2" }, () => put("etc/b", "by hand"));
    expect(outcome).toEqual({ done: false, fallback: "files are not as last synced" });
    expect([read("etc/a"), read("etc/b"), read("etc/c")]).toEqual(["1", "by hand", "1"]);
    expect(host.lines.at(-1)).toMatchObject({ host: "10.0.0.1:22", files: ["etc/b: content"] });
  });

  test.each<[string, string, () => void]>([
    ["a folder", "files are not as last synced", () => (rmSync(at("etc/a")), mkdirSync(at("etc/a")))],
    ["a symlink", "files are not as last synced", () => (rmSync(at("etc/a")), symlinkSync("b", at("etc/a")))],
    [
      "behind a symlink",
      "a folder on the way is a symlink",
      () => (renameSync(at("etc"), at("real")), symlinkSync("real", at("etc"))),
    ],
    [
      "under a root that is gone",
      "the root folder cannot be entered",
      () => renameSync(host.root, join(host.dir, "moved")),
    ],
  ])("a file that is %s by now is not for a batch", async (_, fallback, edit) => {
    expect(await afterwards({ "etc/a": "1", "etc/b": "1" }, { "etc/a": "2" }, edit)).toEqual({ done: false, fallback });
  });

  test("a folder where a file is to be deleted is not for a batch", async () => {
    mkdirSync(at("a"));
    expect(await host.lay(change({ b: "1" }, { deletes: ["a"] }))).toEqual({
      done: false,
      fallback: "a file to delete is a folder",
    });
    expect(existsSync(at("b"))).toBe(false);
  });

  test("what is missing, or came with a sync before the last one, is nobody's change", async () => {
    put("etc/b", "0");
    put("etc/c", "2");
    put("etc/d", "1");
    const paths = ["etc/a", "etc/b", "etc/c", "etc/d"];
    const replaces = paths.map((path) => knownFile(path, "1", "0"));
    const outcome = await host.lay(
      change({ "etc/a": "2", "etc/b": "2", "etc/c": "2" }, { deletes: ["etc/d"], replaces }),
    );
    expect(outcome).toEqual(DONE);
    expect(readdirSync(at("etc"))).toEqual(["a", "b", "c"]);
    expect([read("etc/a"), read("etc/b"), read("etc/c")]).toEqual(["2", "2", "2"]);
  });

  test.runIf(isRoot)("gives files to those who shall have them", async () => {
    const files: Files = {
      a: "1",
      b: { text: "1", owner: "nobody", group: "nogroup", mode: 0o640 },
      c: { text: "1", owner: "1234", group: "0", mode: 0o4755 },
      d: { text: "1", owner: "1234", group: "0", mode: 0o2755 },
      e: { link: "a", owner: "nobody", group: "nogroup" },
    };
    const outcome = await host.lay(change(files));
    if (name === "busybox") {
      expect(outcome).toEqual({ done: false, fallback: "head on the host reads ahead" });
      // One class needs no head, and is not kept from it.
      expect(await host.lay(change({ b: files.b! }))).toEqual(DONE);
      expect(mode("b")).toBe("640");
      return;
    }
    expect(outcome).toEqual(DONE);
    const { uid, gid } = lstatSync(at("b"));
    expect(uid).not.toBe(0);
    expect([lstatSync(at("e")).uid, lstatSync(at("e")).gid]).toEqual([uid, gid]);
    expect([lstatSync(at("c")).uid, lstatSync(at("c")).gid]).toEqual([1234, 0]);
    expect([mode("b"), mode("c"), mode("d")]).toEqual(["640", "4755", "2755"]);
  });

  test("an account that is missing is told before anything is sent", async () => {
    const outcome = await host.lay(change({ a: "1", b: { text: "1", group: "no-such-group" } }));
    if (name === "busybox") expect(outcome.done).toBe(false);
    else expect(outcome).toEqual({ done: false, fallback: "an account is missing on the host" });
    expect(readdirSync(host.root)).toEqual([]);
  });

  test("a list that is too long for a command comes before the files", async () => {
    const folder = `etc/${Array.from({ length: 3 }, () => "long".repeat(50)).join("/")}`;
    const files = (text: string) =>
      Object.fromEntries(
        Array.from({ length: 200 }, (_, index) => [`${folder}/file ${index}.conf`, `${text} ${index}`]),
      );
    const outcome = await host.lay(change(files("1")));
    if (name === "busybox") return expect(outcome).toEqual({ done: false, fallback: "head on the host reads ahead" });
    expect(outcome).toEqual(DONE);
    expect(await host.lay(next(files("1"), files("2")))).toEqual(DONE);
    expect(host.commands).toBe(2);
    expect(read(`${folder}/file 187.conf`)).toBe("2 187");
    put(`${folder}/file 187.conf`, "by hand");
    const conflict = { done: false, fallback: "files are not as last synced" };
    expect(await host.lay(next(files("2"), files("3")))).toEqual(conflict);
    expect(read(`${folder}/file 8.conf`)).toBe("2 8");
    rmSync(at("etc"), { recursive: true });
    expect(await host.lay(next(files("2"), files("3")))).toEqual(DONE);
  });

  test("an rsync that lays nothing and ends well is found out", async () => {
    host.program("rsync", "cat >/dev/null");
    put("b", "1");
    const outcome = await host.lay(change({ a: "1", b: "2", c: { link: "x" } }));
    expect(outcome).toEqual({ done: false, fallback: "files were not right after the batch" });
    expect(host.lines.at(-1)!.files).toEqual(["a: missing", "b: content", "c: missing"]);
  });

  test("modes and owners that are not as they should be are found", async () => {
    const files: Files = { a: "1", b: "1", c: { link: "x" }, d: { text: "1", mode: 0o755 } };
    expect(await host.lay(change(files))).toEqual(DONE);
    host.program("rsync", "cat >/dev/null");
    chmodSync(at("a"), 0o640);
    rmSync(at("c"));
    put("c", "x");
    chmodSync(at("d"), 0o4755);
    expect((await host.lay(change(files))).done).toBe(false);
    expect(host.lines.at(-1)!.files).toEqual(["a: mode", "d: mode", "c: kind"]);
  });

  test("an rsync that is too old says which it is", async () => {
    host.program(
      "rsync",
      'case $1 in --version) echo "rsync  version 3.0.9  protocol version 30" ;; *) exit 1 ;; esac',
    );
    expect(await host.lay(change({ a: "1" }))).toEqual({ done: false, fallback: "rsync 3.0.9 cannot read the batch" });
  });

  test("parts that an rsync leaves which fails are removed at once", async () => {
    host.program("rsync", "mkdir -p etc/.~tmp~; echo part >etc/.~tmp~/a; exit 20");
    const fallback = "rsync ended with 20 on the host";
    expect(await host.lay(change({ "etc/a": "1", "etc/b": "1" }))).toEqual({ done: false, fallback });
    expect(readdirSync(at("etc"))).toEqual([]);
  });

  test("parts of an unfinished batch are removed, also those of another change", async () => {
    put("etc/.~tmp~/a", "part");
    put(".~tmp~/top", "part");
    put("etc/other/.~tmp~/theirs", "not of this change");
    expect(await host.lay(change({ "etc/a": "1", "etc/b": "1", top: "1" }))).toEqual(DONE);
    expect(readdirSync(host.root)).toEqual(["etc", "top"]);
    expect(readdirSync(at("etc"))).toEqual(["a", "b", "other"]);
    expect(readdirSync(at("etc/other/.~tmp~"))).toEqual(["theirs"]);
  });

  test("one changed file costs few processes", async () => {
    expect(await host.lay(change({ "etc/a": "1" }))).toEqual(DONE);
    const log = join(host.dir, "log");
    const { path } = host;
    const real = (each: string) =>
      path
        .split(":")
        .map((dir) => join(dir, each))
        .find(existsSync)!;
    for (const each of [
      "sha256sum",
      "stat",
      "readlink",
      "rsync",
      "uniq",
      "rm",
      "rmdir",
      "id",
      "getent",
      "head",
      "cat",
      "grep",
    ])
      host.program(each, `echo ${each} >>"${log}"\nexec ${real(each)} "$@"`);
    expect(await host.lay(next({ "etc/a": "1" }, { "etc/a": "2" }))).toEqual(DONE);
    expect(readFileSync(log, "utf8").trim().split("\n")).toEqual(["sha256sum", "rsync", "stat", "sha256sum"]);
  });
});
