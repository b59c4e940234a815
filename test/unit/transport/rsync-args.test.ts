import { execFileSync, spawnSync } from "node:child_process";
import { userInfo } from "node:os";
import { describe, expect, test } from "vitest";
import { deleteArgs, quote, sendArgs, sshArgs, type Remote } from "../../../src/transport/rsync-args.ts";

const remote: Remote = {
  host: { key: "10.0.0.1:22", address: "10.0.0.1", port: 22, user: "root", root: "/" },
  controlPath: "/run/s/ab12",
  sudo: false,
  rsyncPath: "rsync",
  ioTimeout: 60,
};
const files = { list: "change-1/send-0", source: "/data/snap shots" };
const plain = { owner: "root", group: "root", mode: null };

describe("rsync's arguments", () => {
  test("sending", () => {
    expect(sendArgs(remote, files, plain)).toEqual([
      "-lpog",
      "--checksum",
      "--delay-updates",
      "--from0",
      "--files-from=change-1/send-0",
      "--no-implied-dirs",
      "--chown=root:root",
      "-s",
      "--timeout=60",
      "--rsync-path=umask 022; exec rsync",
      "-e",
      "ssh -F ssh_config -S /run/s/ab12 -p 22",
      "--",
      "/data/snap shots/",
      "root@10.0.0.1:/",
    ]);
  });

  test("deleting", () => {
    expect(deleteArgs(remote, { list: "change-1/delete", source: "/d/delete.source" }, 3)).toEqual([
      "-lpog",
      "--from0",
      "--files-from=change-1/delete",
      "--no-implied-dirs",
      "--existing",
      "--delete-missing-args",
      "--max-delete=3",
      "-s",
      "--timeout=60",
      "--rsync-path=umask 022; exec rsync",
      "-e",
      "ssh -F ssh_config -S /run/s/ab12 -p 22",
      "--",
      "/d/delete.source/",
      "root@10.0.0.1:/",
    ]);
  });

  test.each(["-a", "-r", ".", "--inplace", "--delete", "-t", "--times"])("never %s", (word) => {
    expect([...sendArgs(remote, files, plain), ...deleteArgs(remote, files, 1)]).not.toContain(word);
  });

  test("the mode is set only when it has to be", () => {
    expect(sendArgs(remote, files, { ...plain, mode: 0o640 })).toContain("--chmod=F0640");
    expect(sendArgs(remote, files, { ...plain, mode: 0o4755 })).toContain("--chmod=F4755");
  });

  test("IPv6 in brackets, the root with one slash at its end", () => {
    const host = { ...remote.host, address: "fd00::1", root: "/srv/host 1/" };
    expect(sendArgs({ ...remote, host }, files, plain).at(-1)).toBe("root@[fd00::1]:/srv/host 1/");
    expect(sendArgs({ ...remote, host: { ...host, root: "/srv" } }, files, plain).at(-1)).toBe("root@[fd00::1]:/srv/");
  });

  test("with sudo", () => {
    expect(deleteArgs({ ...remote, sudo: true }, files, 1)).toContain("--rsync-path=umask 022; exec sudo -n rsync");
  });

  test("a guard comes behind the check for accounts and before rsync", () => {
    const args = sendArgs(remote, files, { owner: "app", group: "root", mode: null }, "guard;");
    expect(args.find((each) => each.startsWith("--rsync-path="))).toMatch(
      /^--rsync-path=id -u .*; guard; umask 022; exec rsync$/,
    );
  });

  test("operands of ssh come after --", () => {
    expect(sshArgs(remote, "true").slice(-3)).toEqual(["--", "10.0.0.1", "true"]);
  });
});

describe("the check for accounts, as a shell runs it", () => {
  function check(owner: string, group: string) {
    const args = sendArgs({ ...remote, rsyncPath: "echo ran" }, files, { owner, group, mode: null });
    const command = args.find((each) => each.startsWith("--rsync-path="))!.slice("--rsync-path=".length);
    const { status, stdout, stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8" });
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
