import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { decodePath, encodePath } from "../../../src/model/path.ts";
import type { AppChange } from "../../../src/ports/transport.ts";
import { parseGuardReport } from "../../../src/transport/guard-report.ts";
import { guardCommand, makeGuard, riddenGuard, versionStamp, type Guard } from "../../../src/transport/guard.ts";
import type { Remote } from "../../../src/transport/rsync-args.ts";
import { hostShells } from "../../support/host-shells.ts";

const WEB = "nginx/prod/web";
const STAMP = "20261122T224501.123Z";
const isRoot = process.getuid?.() === 0;
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** Files that may have these contents. */
function guardOf(files: Record<string, string[]>, keep = 5, rest: Partial<AppChange> = {}, maxSize?: number): Guard {
  const replaces = Object.entries(files).map(([path, texts]) => ({
    path,
    checksums: texts.map(sha256),
    ...(maxSize !== undefined && { maxSize }),
  }));
  const app: AppChange = { app: WEB, send: [], delete: [], replaces, ...rest };
  return makeGuard({ snapshotRoot: "/s", apps: [app], emptyFolders: [], keepVersions: keep })!;
}

test("a change that replaces nothing has no guard", () => {
  expect(makeGuard({ snapshotRoot: "/s", apps: [{ app: WEB, send: [], delete: ["a"] }], emptyFolders: [] })).toBe(
    undefined,
  );
});

test("a list that is too long for a command goes on standard input", () => {
  const files = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, number) => [`etc/app/file-${number}.conf`, ["a", "b"]]));
  expect(guardOf(files(50)).printed?.length).toBeLessThan(16_384);
  expect(guardOf(files(200)).printed).toBeUndefined();
});

test("a list with files that not everybody may read goes on standard input", () => {
  const send = (mode: number): Partial<AppChange> => ({
    send: [{ path: "a", kind: "file", mode, owner: "root", group: "root", blob: "b", tree: "t", from: WEB }],
  });
  expect(guardOf({ a: ["1"] }, 5, send(0o644)).printed).toBeDefined();
  expect(guardOf({ a: ["1"] }, 5, send(0o640)).printed).toBeUndefined();
  expect(guardOf({ a: ["1"] }, 5, { delete: ["a"] }).printed).toBeUndefined();
});

test("what rides is made of plain characters and escapes", () => {
  const { printed } = guardOf({ "etc/a'; id; '\n$x\\": ["a"], [decodePath(Buffer.of(0xff, 0x30))]: [] });
  expect(printed).toMatch(/^(?:[A-Za-z0-9._/-]|\\0[0-3][0-7][0-7])+$/);
});

test("a stamp is UTC, to the millisecond", () => {
  expect(versionStamp(Date.UTC(2026, 10, 22, 22, 45, 1, 123))).toBe(STAMP);
});

describe("a report", () => {
  const guard = guardOf({ "etc/a": [], "etc/b": [] });

  test("stands among other lines, which remain", () => {
    const text = ["bash: warning", "fssync-home /home/x", "fssync-replaced 1 none", "fssync-guarded", "rsync: x", ""];
    expect(parseGuardReport(text.join("\n"), guard, "/srv/")).toEqual({
      done: true,
      replaced: [[WEB, { path: "etc/b" }]],
      unkept: new Map(),
      rest: "bash: warning\nrsync: x\n",
    });
  });

  test("says where versions are", () => {
    const text = `fssync-home /home/x\nfssync-replaced 0 root ${STAMP}\nfssync-replaced 1 home ${STAMP}\n`;
    expect(parseGuardReport(text, guard, "/").replaced.map(([, { kept }]) => kept)).toEqual([
      `/var/lib/fssync/replaced/etc/a.${STAMP}`,
      `/home/x/.local/state/fssync/replaced/etc/b.${STAMP}`,
    ]);
  });

  test.each([
    ["cp: error writing 'x': No space left on device", "NoSpace"],
    ["cp: cannot open './etc/a' for reading: Permission denied", "PermissionDenied"],
    ["cp: cannot create regular file 'x': Read-only file system", "ReadOnly"],
    ["cp: cannot create regular file 'x': File name too long", "PartialTransfer"],
  ])("of a file that could not be kept: %s", (why, reason) => {
    const { unkept } = parseGuardReport(`fssync-unkept 0 ${why}\nfssync-guarded\n`, guard, "/");
    expect(unkept.get(WEB)).toMatchObject({
      reason,
      message: `etc/a was changed on the host and could not be kept (${why}); drift.keep: 0 goes without`,
    });
  });

  test("of files that nobody asked for counts for nothing", () => {
    expect(parseGuardReport("fssync-replaced 7 none\nfssync-unkept 8 x\n", guard, "/")).toMatchObject({
      replaced: [],
      unkept: new Map(),
    });
  });
});

describe.each(hostShells())("the guard, as $name runs it", ({ name: shell, path }) => {
  let dir: string;
  let root: string;
  const program = shell === "busybox" ? join(path, "sh") : shell;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "guard-"));
    root = join(dir, "the 'root'");
    mkdirSync(root);
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const at = (file: string) => Buffer.concat([Buffer.from(`${root}/`), encodePath(file)]);
  const kept = (file: string) => at(`var/lib/fssync/replaced/${file}`);
  const env = () => ({ PATH: path, HOME: join(dir, "home") });

  function put(file: string, text: string) {
    mkdirSync(at(dirname(file)), { recursive: true });
    writeFileSync(at(file), text);
  }

  function remote(): Remote {
    const host = { key: "h:22", address: "h", port: 22, user: "root", root };
    return { host, sudo: false, rsyncPath: "rsync", ioTimeout: 60 };
  }

  /** In a session of its own. */
  function run(guard: Guard, stamp = STAMP) {
    const alone = spawnSync(program, ["-c", guardCommand(remote(), guard, stamp)], {
      input: guard.input,
      env: env(),
      encoding: "utf8",
      timeout: 20_000,
    });
    const report = parseGuardReport(alone.stdout, guard, root);
    expect([alone.status, report.done, report.rest]).toEqual([report.unkept.size > 0 ? 96 : 0, true, ""]);
    return { replaced: report.replaced.map(([, found]) => found), unkept: report.unkept };
  }

  /** In front of another command. */
  function ride(guard: Guard, stamp = STAMP) {
    const command = `${riddenGuard(remote(), guard, stamp)} echo ran`;
    const { stdout, stderr, status } = spawnSync(program, ["-c", command], {
      env: env(),
      encoding: "utf8",
      timeout: 20_000,
    });
    const { done, replaced } = parseGuardReport(stderr, guard, root);
    return { stdout, status, done, replaced: replaced.map(([, found]) => found) };
  }

  describe("under a root of plain characters", () => {
    beforeEach(() => {
      root = join(dir, "root");
      mkdirSync(root);
    });

    test("files that are as they were synced last cost one sha256sum and nothing else", () => {
      put("etc/a", "base");
      put("etc/b.conf", "base b");
      const guard = guardOf({ "etc/a": ["base", "desired"], "etc/b.conf": ["base b", "desired"] }, 5, {}, 10);
      const tools = join(dir, "tools");
      mkdirSync(tools);
      const found = path
        .split(":")
        .map((folder) => join(folder, "sha256sum"))
        .find((each) => existsSync(each));
      symlinkSync(found!, join(tools, "sha256sum"));
      const command = `${riddenGuard(remote(), guard, STAMP)} echo ran`;
      const file = program.startsWith("/") ? program : `/bin/${program}`;
      const { stdout, stderr } = spawnSync(file, ["-c", command], {
        env: { PATH: tools, HOME: dir },
        encoding: "utf8",
      });
      expect([stdout, stderr]).toEqual(["ran\n", "fssync-guarded\n"]);
    });

    test("what is not as it was synced last is looked at in full", () => {
      const of = (...files: string[]) =>
        guardOf(Object.fromEntries(files.map((file) => [file, ["base", "desired"]])), 5, {}, 10);
      const replaced = (file: string) => [{ path: file, kept: kept(`${file}.${STAMP}`).toString() }];
      for (const [file, text] of [
        ["etc/base", "base"],
        ["etc/desired", "desired"],
        ["etc/edited", "by hand"],
      ] as const)
        put(file, text);
      symlinkSync("edited", at("etc/link"));
      const ran = { stdout: "ran\n", status: 0, done: true };
      expect(ride(of("etc/base", "etc/desired"))).toEqual({ ...ran, replaced: [] });
      expect(ride(of("etc/base", "etc/gone"))).toEqual({ ...ran, replaced: [] });
      expect(ride(of("etc/base", "etc/edited"))).toEqual({
        ...ran,
        replaced: replaced("etc/edited"),
      });
      expect(ride(of("etc/link"))).toEqual({ ...ran, replaced: replaced("etc/link") });
    });
  });

  test("a file that was edited is kept and told, with mode and time; known versions and missing files are not", () => {
    put("etc/edited", "by hand");
    chmodSync(at("etc/edited"), 0o640);
    utimesSync(at("etc/edited"), 1e9, 1e9);
    put("etc/base", "base");
    put("etc/desired", "desired");
    const known = ["base", "desired"];
    const guard = guardOf({ "etc/gone": known, "etc/edited": known, "etc/base": known, "etc/desired": known });
    const expected = [{ path: "etc/edited", kept: kept(`etc/edited.${STAMP}`).toString() }];
    expect(ride(guard)).toEqual({ stdout: "ran\n", status: 0, done: true, replaced: expected });
    const { mode, mtimeMs } = statSync(kept(`etc/edited.${STAMP}`));
    expect([(mode & 0o777).toString(8), mtimeMs]).toEqual(["640", 1e12]);
    expect(readFileSync(kept(`etc/edited.${STAMP}`), "utf8")).toBe("by hand");
    expect(readFileSync(at("etc/edited"), "utf8")).toBe("by hand");
    expect(readdirSync(kept("etc"))).toEqual([`edited.${STAMP}`]);
    expect(
      ["var", "var/lib", "var/lib/fssync", "var/lib/fssync/replaced"].map((each) => statSync(at(each)).mode & 0o777),
    ).toEqual([0o755, 0o755, 0o700, 0o700]);
  });

  test("odd names", () => {
    const names = ["new\nline", "back\\slash", "-n", "quo'te\"s", "$(id)", "*", "%s%b\\n", " ", "ünï", "e'"];
    names.push(decodePath(Buffer.from([0x66, 0xff, 0xfe])));
    const files = Object.fromEntries(names.map((name) => [name, ["known"]]));
    for (const name of names) writeFileSync(at(name), "known");
    expect(ride(guardOf(files)).replaced).toEqual([]);
    for (const name of names) writeFileSync(at(name), "by hand");
    expect(ride(guardOf(files)).replaced.map((found) => found.path)).toEqual(names);
    for (const name of names) expect(readFileSync(kept(`${name}.${STAMP}`), "utf8")).toBe("by hand");
    expect(run(guardOf(files)).replaced.map((found) => found.path)).toEqual(names);
  });

  test("symlinks go by their target; a file in the place of a link, and a link in the place of a file, were changed", () => {
    symlinkSync("target\n", at("same"));
    symlinkSync("/etc/passwd", at("other"));
    symlinkSync("nowhere", at("was-file"));
    writeFileSync(at("was-link"), "text");
    const guard = guardOf({ same: ["target\n"], other: ["target"], "was-file": ["text"], "was-link": ["target"] });
    expect(run(guard).replaced.map((found) => found.path)).toEqual(["other", "was-file", "was-link"]);
    expect(readlinkSync(kept(`other.${STAMP}`))).toBe("/etc/passwd");
    expect(lstatSync(kept(`was-file.${STAMP}`)).isSymbolicLink()).toBe(true);
    expect(readFileSync(kept(`was-link.${STAMP}`), "utf8")).toBe("text");
  });

  test("folders and FIFOs are told and not copied", () => {
    mkdirSync(at("folder"));
    spawnSync("mkfifo", [join(root, "fifo")]);
    expect(run(guardOf({ folder: ["x"], fifo: ["x"] })).replaced).toEqual([{ path: "folder" }, { path: "fifo" }]);
    expect(existsSync(at("var"))).toBe(false);
  });

  test("a folder, or what lies behind a symlink, may be there when an unfinished sync put it there", () => {
    mkdirSync(at("to-folder"));
    put("real/a", "theirs");
    symlinkSync("real", at("to-link"));
    const guard = guardOf({ "to-folder": ["x"], "to-link/a": ["x"] }, 5, {
      send: [{ path: "to-folder/b" }, { path: "to-link" }] as never,
      delete: ["to-folder", "to-link/a"],
    });
    expect(run(guard).replaced).toEqual([]);
  });

  test("the newest versions are kept, those of other files and what is no version stay", () => {
    const stamps = [1, 2, 3, 4].map((day) => `2026110${day}T000000.000Z`);
    put("etc/a.conf", "other");
    run(guardOf({ "etc/a.conf": ["x"] }));
    writeFileSync(kept("etc/a.old"), "");
    for (const stamp of stamps) {
      put("etc/a", stamp);
      run(guardOf({ "etc/a": ["x"] }, 2), stamp);
    }
    expect(readdirSync(kept("etc"))).toEqual([`a.${stamps[2]}`, `a.${stamps[3]}`, `a.conf.${STAMP}`, "a.old"]);
    expect(readFileSync(kept(`etc/a.${stamps[3]}`), "utf8")).toBe(stamps[3]);
  });

  test("the same version is not kept twice, so that older ones stay while an app fails again and again", () => {
    put("etc/a", "by hand");
    const first = run(guardOf({ "etc/a": ["x"] })).replaced;
    expect(run(guardOf({ "etc/a": ["x"] }), "20271122T000000.000Z").replaced).toEqual(first);
    expect(readdirSync(kept("etc"))).toEqual([`a.${STAMP}`]);
  });

  test("with keep 0 it is told and not kept", () => {
    put("etc/a", "by hand");
    expect(run(guardOf({ "etc/a": ["x"] }, 0)).replaced).toEqual([{ path: "etc/a" }]);
    expect(existsSync(at("var"))).toBe(false);
  });

  test("many go in more than one command line", () => {
    const names = Array.from({ length: 3000 }, (_, number) => `etc/${"long ".repeat(8)}${number}`);
    mkdirSync(at("etc"));
    for (const name of names) writeFileSync(at(name), name.endsWith("77") ? "by hand" : "known");
    const guard = guardOf(Object.fromEntries(names.map((name) => [name, ["known", "other"]])));
    expect(run(guard).replaced.map((found) => found.path)).toEqual(names.filter((name) => name.endsWith("77")));
  });

  test("where the folder is a symlink or cannot be made the home is taken, and without it nothing may begin", () => {
    put("etc/a", "by hand");
    mkdirSync(join(dir, "home"));
    mkdirSync(join(dir, "elsewhere"));
    mkdirSync(at("var/lib"), { recursive: true });
    symlinkSync(join(dir, "elsewhere"), at("var/lib/fssync"));
    const guard = guardOf({ "etc/a": ["x"] });
    expect(run(guard).replaced).toEqual([{ path: "etc/a", kept: inHome("etc/a") }]);
    expect(readFileSync(inHome("etc/a"), "utf8")).toBe("by hand");
    expect(readdirSync(join(dir, "elsewhere"))).toEqual([]);
    rmSync(join(dir, "home"), { recursive: true });
    writeFileSync(join(dir, "home"), "");
    const error = run(guard).unkept.get(WEB)!;
    expect(error.message).toMatch(/^etc\/a was changed .*Not a directory/);
    expect(ride(guard)).toEqual({ stdout: "", status: 96, done: true, replaced: [] });
  });

  const inHome = (file: string) => join(dir, `home/.local/state/fssync/replaced/${file}.${STAMP}`);

  test.each(["var", "var/lib", "var/lib/fssync/replaced", "var/lib/fssync/replaced/etc"])(
    "nothing is written through a symlink in the place of %s",
    (link) => {
      put("etc/a", "by hand");
      mkdirSync(join(dir, "home"));
      mkdirSync(join(dir, "elsewhere"));
      mkdirSync(at(dirname(link)), { recursive: true });
      symlinkSync(join(dir, "elsewhere"), at(link));
      expect(run(guardOf({ "etc/a": ["x"] })).replaced).toEqual([{ path: "etc/a", kept: inHome("etc/a") }]);
      expect(readdirSync(join(dir, "elsewhere"))).toEqual([]);
    },
  );

  test.each([
    [".", 0o775],
    ["var", 0o1777],
    ["var/lib/fssync/replaced/etc", 0o702],
  ])("where others may write in %s the home is taken, and if they may there too, nothing may begin", (folder, mode) => {
    put("etc/a", "by hand");
    mkdirSync(join(dir, "home"));
    mkdirSync(at(folder), { recursive: true });
    chmodSync(at(folder), mode);
    const before = readdirSync(at(folder));
    const guard = guardOf({ "etc/a": ["x"] });
    expect(run(guard).replaced).toEqual([{ path: "etc/a", kept: inHome("etc/a") }]);
    expect(readdirSync(at(folder))).toEqual(before);
    chmodSync(join(dir, "home/.local"), 0o777);
    expect(run(guard).unkept.get(WEB)?.message).toContain("others may write in");
    expect(ride(guard)).toMatchObject({ stdout: "", status: 96 });
  });

  test("what has the name of the version stays as it is, and what it leads to", () => {
    put("etc/a", "by hand");
    mkdirSync(kept("etc"), { recursive: true });
    writeFileSync(join(dir, "secret"), "secret");
    symlinkSync(join(dir, "secret"), kept(`etc/a.${STAMP}`));
    expect(run(guardOf({ "etc/a": ["x"] })).unkept.get(WEB)?.message).toContain("File exists");
    expect(readFileSync(join(dir, "secret"), "utf8")).toBe("secret");
    expect(readdirSync(kept("etc"))).toEqual([`a.${STAMP}`]);
  });

  if (isRoot)
    test("a folder of somebody else is not written to, though it leads to root's", () => {
      put("etc/a", "by hand");
      mkdirSync(kept("etc"), { recursive: true });
      writeFileSync(join(dir, "secret"), "secret", { mode: 0o600 });
      symlinkSync(join(dir, "secret"), kept(`etc/a.${STAMP}`));
      spawnSync("chown", ["-hR", "65534", root]);
      mkdirSync(join(dir, "home"));
      const stranger = readdirSync(kept("etc"));
      expect(run(guardOf({ "etc/a": ["x"] })).replaced).toEqual([{ path: "etc/a", kept: inHome("etc/a") }]);
      expect([readdirSync(kept("etc")), readFileSync(join(dir, "secret"), "utf8")]).toEqual([stranger, "secret"]);
      expect(statSync(join(dir, "secret")).uid).toBe(0);
    });

  test("the version just made stays though the clock was set back", () => {
    for (const day of [2, 3]) {
      put("etc/a", `of day ${day}`);
      run(guardOf({ "etc/a": ["x"] }, 2), `2026110${day}T000000.000Z`);
    }
    put("etc/a", "of today");
    run(guardOf({ "etc/a": ["x"] }, 2), "20261101T000000.000Z");
    expect(readdirSync(kept("etc"))).toEqual(["a.20261101T000000.000Z", "a.20261103T000000.000Z"]);
    expect(readFileSync(kept("etc/a.20261101T000000.000Z"), "utf8")).toBe("of today");
  });

  test("a file that is larger than it may be was changed; it is not read, and kept unless it is far too large", () => {
    put("etc/larger", "0123456789 and more");
    put("etc/exact", "0123456789");
    spawnSync("truncate", ["-s", "300G", at("etc/huge").toString()]);
    const names = ["etc/larger", "etc/exact", "etc/huge"];
    const guard = guardOf(Object.fromEntries(names.map((each) => [each, ["0123456789"]])), 5, {}, 10);
    const expected = [{ path: "etc/larger", kept: kept(`etc/larger.${STAMP}`).toString() }, { path: "etc/huge" }];
    expect(run(guard).replaced).toEqual(expected);
    expect(run(guard, "20271122T000000.000Z").replaced).toEqual(expected);
    expect(readdirSync(kept("etc"))).toEqual([`larger.${STAMP}`]);
  });

  test("a version of 16 MiB, or of four times what the file may have, is kept", () => {
    const cases = { "etc/a": [17, 5], "etc/b": [17, 4] } as const;
    for (const [path, [size, most]] of Object.entries(cases)) {
      put(path, "");
      spawnSync("truncate", ["-s", `${size}M`, at(path).toString()]);
      const [found] = run(guardOf({ [path]: ["x"] }, 5, {}, most * 2 ** 20)).replaced;
      expect([path, found?.kept !== undefined]).toEqual([path, most === 5]);
    }
  });

  // busybox's shell has its own: it is never without.
  const lacking = shell === "busybox" ? [] : ["sha256sum"];
  test.each(lacking)("a host without %s goes on without, and says nothing", () => {
    put("etc/a", "by hand");
    const bin = join(dir, "bin");
    mkdirSync(bin);
    for (const each of ["sh", "xargs", "cp", "mkdir", "readlink", "stat"]) {
      const found = path
        .split(":")
        .map((folder) => join(folder, each))
        .find(existsSync);
      symlinkSync(found!, join(bin, each));
    }
    const command = `${riddenGuard(remote(), guardOf({ "etc/a": ["x"] }), STAMP)} echo ran`;
    const ended = spawnSync(`/bin/${program}`, ["-c", command], {
      env: { ...env(), PATH: bin },
      encoding: "utf8",
    });
    expect([ended.status, ended.stdout]).toEqual([0, "ran\n"]);
    expect(ended.stderr).not.toMatch(/fssync-(guarded|replaced|unkept)/);
  });

  test("a root that is not there holds nothing", () => {
    rmSync(root, { recursive: true });
    expect(run(guardOf({ "etc/a": ["x"] })).replaced).toEqual([]);
  });

  if (!isRoot)
    test("a file that the login may not read cannot be kept", () => {
      put("etc/a", "by hand");
      chmodSync(at("etc/a"), 0);
      expect(run(guardOf({ "etc/a": ["x"] })).unkept.get(WEB)).toMatchObject({ reason: "PermissionDenied" });
    });
});
