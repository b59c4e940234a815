import { execFileSync, spawnSync } from "node:child_process";
import { userInfo } from "node:os";
import { describe, expect, test } from "vitest";
import { deleteRun, quote, sendRun, type Remote } from "../../../src/transport/rsync-args.ts";

const remote: Remote = {
  host: { key: "10.0.0.1:22", address: "10.0.0.1", port: 22, user: "root", root: "/" },
  sudo: false,
  rsyncPath: "rsync",
  ioTimeout: 60,
};
const files = { list: "change-1/send-0", source: "/data/snap shots" };
const plain = { owner: "root", group: "root", mode: null };

describe("rsync's arguments", () => {
  test("sending", () => {
    expect(sendRun(remote, files, plain)).toEqual({
      options: [
        "-lpog",
        "--checksum",
        "--delay-updates",
        "--from0",
        "--files-from=change-1/send-0",
        "--no-implied-dirs",
        "--chown=root:root",
        "-s",
        "--timeout=60",
      ],
      rsyncPath: "umask 022; exec rsync",
      source: "/data/snap shots/",
      destination: "/",
    });
  });

  test("deleting", () => {
    expect(deleteRun(remote, { list: "change-1/delete", source: "/d/delete.source" }, 3)).toEqual({
      options: [
        "-lpog",
        "--from0",
        "--files-from=change-1/delete",
        "--no-implied-dirs",
        "--existing",
        "--delete-missing-args",
        "--max-delete=3",
        "-s",
        "--timeout=60",
      ],
      rsyncPath: "umask 022; exec rsync",
      source: "/d/delete.source/",
      destination: "/",
    });
  });

  test.each(["-a", "-r", ".", "--inplace", "--delete", "-t", "--times"])("never %s", (word) => {
    expect([...sendRun(remote, files, plain).options, ...deleteRun(remote, files, 1).options]).not.toContain(word);
  });

  test("the mode is set only when it has to be", () => {
    expect(sendRun(remote, files, { ...plain, mode: 0o640 }).options).toContain("--chmod=F0640");
    expect(sendRun(remote, files, { ...plain, mode: 0o4755 }).options).toContain("--chmod=F4755");
  });

  test("the root with one slash at its end", () => {
    const host = { ...remote.host, root: "/srv/host 1/" };
    expect(sendRun({ ...remote, host }, files, plain).destination).toBe("/srv/host 1/");
    expect(sendRun({ ...remote, host: { ...host, root: "/srv" } }, files, plain).destination).toBe("/srv/");
  });

  test("with sudo", () => {
    expect(deleteRun({ ...remote, sudo: true }, files, 1).rsyncPath).toBe("umask 022; exec sudo -n rsync");
  });

  test("a guard comes behind the check for accounts and before rsync", () => {
    const run = sendRun(remote, files, { owner: "app", group: "root", mode: null }, "guard;");
    expect(run.rsyncPath).toMatch(/^id -u .*; guard; umask 022; exec rsync$/);
  });
});

describe("the check for accounts, as a shell runs it", () => {
  function check(owner: string, group: string) {
    const { rsyncPath } = sendRun({ ...remote, rsyncPath: "echo ran" }, files, { owner, group, mode: null });
    const { status, stdout, stderr } = spawnSync("sh", ["-c", rsyncPath], { encoding: "utf8" });
    return `${status} ${stdout}${stderr}`.trim();
  }
  const me = userInfo().username;
  const mine = execFileSync("id", ["-gn"], { encoding: "utf8" }).trim();

  test.each([
    ["root", "root", "0 ran"],
    [me, mine, "0 ran"],
    ["0", "0", "0 ran"],
    ["nosuchuser", "root", "97 fssync-no-account user nosuchuser"],
    ["root", "nosuchgroup", "97 fssync-no-account group nosuchgroup"],
    [me, "r..t", "97 fssync-no-account group r..t"],
  ])("%s:%s", (owner, group, expected) => {
    expect(check(owner, group)).toBe(expected);
  });

  const isRoot = process.getuid?.() === 0;
  if (isRoot)
    test("root may give to anybody", () => {
      expect(check("daemon", "bin")).toBe("0 ran");
    });

  if (!isRoot)
    test("another login may not give to others", () => {
      expect(check("daemon", mine)).toBe("97 fssync-not-root user daemon");
    });
});

test("a quoted word is one word", () => {
  for (const word of ["a b", "it's", "$(id)", "`id`", "\\", "\n", "'"]) {
    expect(execFileSync("sh", ["-c", `printf %s ${quote(word)}`], { encoding: "utf8" })).toBe(word);
  }
});
