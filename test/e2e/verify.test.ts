import { chmodSync, chownSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { AppOnHostReport, StatusReport } from "../../src/plan/status-report.ts";
import type { FleetHost } from "../support/fleet.ts";
import { World, type Ran } from "../support/world.ts";
import { putOn, textOn, touchedBetween, touchesOn } from "./on-host.ts";

const WEB = "nginx/prod/web";
const API = "nginx/prod/api";
const isRoot = process.getuid?.() === 0;

const FILES = {
  [`${WEB}/etc/a.conf`]: "a1\nsame\n",
  [`${WEB}/etc/b.conf`]: "b1\n",
  [`${WEB}/etc/link`]: { symlink: "a.conf" },
  [`${WEB}/etc/key.pem`]: "the-key-of-git\n",
  [`${WEB}/etc/private`]: "private-of-git\n",
  [`${WEB}/etc/blob`]: Buffer.from([0, 1, 2, 0xff]),
  [`${WEB}/.gitattributes`]: "*.pem secret\nprivate mode=0600\n",
  [`${API}/etc/api.conf`]: "api1\n",
};

type Finding = [path: string, change: string];

function appsOf({ stdout }: Ran, host: FleetHost): readonly AppOnHostReport[] {
  const { repos } = JSON.parse(stdout) as StatusReport;
  return repos.flatMap(({ hosts }) => hosts).find(({ port }) => port === host.port)?.apps ?? [];
}

function filesOf(ran: Ran, host: FleetHost, app = WEB): Finding[] | undefined {
  const found = appsOf(ran, host).find((one) => one.app === app);
  return found?.files?.map(({ path, change }) => [path, change]);
}

describe("fssync verify", () => {
  let world: World;
  let first: FleetHost;
  let second: FleetHost;

  const name = ({ address, port }: FleetHost) => `${address}:${port}`;
  const at = (host: FleetHost, path: string) => join(host.dir, path);

  beforeAll(async () => {
    world = await World.create({ hosts: 2, kind: "ports", files: FILES });
    [first, second] = world.fleet.hosts as [FleetHost, FleetHost];
    await world.assign(API, [first]);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  describe("before the first sync", () => {
    test("an app that was never synced is compared with Git: Pending, with what a sync would lay over", async () => {
      putOn(first, "etc/a.conf", "old way\nsame\n");
      const before = touchesOn(first);
      const ran = await world.run("verify", "--diff", "-o", "json");
      expect(ran.code).toBe(2);
      const app = appsOf(ran, first).find((one) => one.app === WEB)!;
      expect(app).toMatchObject({ state: "Pending", revision: null });
      expect(app.files!.find(({ path }) => path === "/etc/a.conf")).toEqual({
        path: "/etc/a.conf",
        change: "content",
        diff: "--- git/etc/a.conf\n+++ host/etc/a.conf\n@@ -1,2 +1,2 @@\n-a1\n+old way\n same\n",
      });
      expect(app.files!.filter(({ change }) => change === "missing")).toHaveLength(5);
      expect(touchedBetween(before, touchesOn(first))).toEqual([]);
      expect((await world.run("verify")).stdout).toContain("never synced");
    });
  });

  describe("of what was synced", () => {
    beforeEach(async () => {
      await world.configure({});
      const { code, stdout, stderr } = await world.run("sync", "--full");
      expect(code, stdout + stderr).toBe(0);
    });

    test("equal: exit 0, one line for people, empty lists for programs", async () => {
      expect(await world.run("verify")).toMatchObject({ code: 0, stdout: "2 hosts have what Git has.\n" });
      const ran = await world.run("verify", "-o", "json");
      expect(ran.code).toBe(0);
      expect([filesOf(ran, first), filesOf(ran, first, API), filesOf(ran, second)]).toEqual([[], [], []]);
      expect(parse((await world.run("verify", "-o", "yaml")).stdout)).toEqual(JSON.parse(ran.stdout));
    });

    test("each kind of change has its verdict, nothing is touched, and status knows afterwards", async () => {
      writeFileSync(at(first, "etc/a.conf"), "by hand\nsame\n");
      chmodSync(at(first, "etc/b.conf"), 0o666);
      rmSync(at(first, "etc/link"));
      symlinkSync("elsewhere", at(first, "etc/link"));
      rmSync(at(first, "etc/private"));
      symlinkSync("a.conf", at(first, "etc/private"));
      rmSync(at(first, "etc/blob"));
      mkdirSync(at(first, "etc/blob"));
      rmSync(at(first, "etc/key.pem"));
      const before = touchesOn(first);
      const ran = await world.run("verify", "-o", "json");
      expect(ran.code).toBe(2);
      expect(filesOf(ran, first)).toEqual([
        ["/etc/key.pem", "missing"],
        ["/etc/blob", "type"],
        ["/etc/private", "type"],
        ["/etc/a.conf", "content"],
        ["/etc/link", "content"],
        ["/etc/b.conf", "mode"],
      ]);
      expect(filesOf(ran, first, API)).toEqual([]);
      expect(filesOf(ran, second)).toEqual([]);
      expect(touchedBetween(before, touchesOn(first))).toEqual([]);
      const { stdout } = await world.run("verify", WEB);
      expect(stdout).toMatch(/^files {2}\S+ {2}2 hosts: 1 Drifted, 1 Synced\n/);
      expect(stdout).toMatch(new RegExp(`${name(first)} +${WEB} +Drifted +/etc/key\\.pem +missing +\\S+ ago`));
      expect((await world.run("status")).stdout).toMatch(/Drifted .* 6 files changed: \/etc\/key\.pem \(missing\), …/);
      rmSync(at(first, "etc/blob"), { recursive: true });
    });

    test.runIf(isRoot)("a file that was given away is a change of owner", async () => {
      chownSync(at(first, "etc/a.conf"), 1, 0);
      chownSync(at(first, "etc/b.conf"), 0, 1);
      expect(filesOf(await world.run("verify", "-o", "json"), first)).toEqual([
        ["/etc/a.conf", "owner"],
        ["/etc/b.conf", "owner"],
      ]);
    });

    test("--diff shows what differs, once for hosts that have the same", async () => {
      for (const host of [first, second]) writeFileSync(at(host, "etc/a.conf"), "a1\nby hand\n");
      const { code, stdout } = await world.run("verify", "--diff");
      expect(code).toBe(2);
      const [one, other] = [first, second].toSorted((a, b) => a.port - b.port).map(name);
      const diff = "--- git/etc/a.conf\n+++ host/etc/a.conf\n@@ -1,2 +1,2 @@\n a1\n-same\n+by hand\n";
      expect(stdout).toContain(`/etc/a.conf  ${WEB}  on ${one}, ${other}\n${diff}`);
      expect(stdout.split(diff)).toHaveLength(2);
    });

    test("--diff shows neither what is secret, nor what others may not read, nor what is no text", async () => {
      writeFileSync(at(first, "etc/key.pem"), "the-key-by-hand\n");
      writeFileSync(at(first, "etc/private"), "private-by-hand\n");
      writeFileSync(at(first, "etc/b.conf"), "closed-by-hand\n");
      chmodSync(at(first, "etc/b.conf"), 0o600);
      writeFileSync(at(first, "etc/blob"), Buffer.from([0, 9]));
      for (const output of ["table", "wide", "json", "yaml"]) {
        const { stdout, stderr, code } = await world.run("verify", "--diff", "-o", output, "--log-level", "debug");
        expect(code).toBe(2);
        for (const path of ["/etc/key.pem", "/etc/private", "/etc/b.conf", "/etc/blob"]) expect(stdout).toContain(path);
        expect(stdout + stderr).not.toMatch(/-by-hand|-of-git|^-b1$|contents/m);
        expect(stdout.match(/secret, or not for others to read/g)).toHaveLength(3);
        expect(stdout.match(/not text/g)).toHaveLength(1);
      }
    });

    test("a path that writes to the terminal is shown, not obeyed", async () => {
      const path = "etc/\u001b[31mred\n.conf";
      await world.repo.commit({ [`${WEB}/${path}`]: "x\n" });
      expect((await world.run("sync")).code).toBe(0);
      writeFileSync(at(first, path), "\u001b]0;title\u0007\n");
      const { stdout } = await world.run("verify", "--diff");
      expect(stdout).toContain("/etc/\\x1b[31mred\\x0a.conf");
      expect(stdout).toContain("\\x1b]0;title\\x07");
      expect(stdout).not.toContain("\u001b");
      await world.repo.commit({ [`${WEB}/${path}`]: null });
      expect((await world.run("sync")).code).toBe(0);
    });

    test("changed by hand and in Git while the repo was suspended: a conflict; asked for, it is looked at", async () => {
      writeFileSync(at(first, "etc/a.conf"), "by hand\nsame\n");
      await world.configure({ suspend: true });
      await world.repo.commit({ [`${WEB}/etc/a.conf`]: "a2\nsame\n" });
      // Suspended, Git's news are not even asked for.
      expect(filesOf(await world.run("verify", "-o", "json"), first)).toEqual([["/etc/a.conf", "content"]]);
      await world.configure({});
      const before = touchesOn(first);
      const ran = await world.run("verify", "--diff", "-o", "json");
      expect(ran.code).toBe(2);
      const app = appsOf(ran, first).find((one) => one.app === WEB)!;
      expect(app).toMatchObject({ state: "Pending", files: [{ path: "/etc/a.conf", change: "conflict" }] });
      expect(app.files![0]!.diff).toContain("-a1\n+by hand\n");
      expect(touchedBetween(before, touchesOn(first))).toEqual([]);
      const { stdout } = await world.run("verify", "--diff");
      expect(stdout).toContain("against what was synced last, Git has changed it since");
      // A host that somebody has brought to what Git wants by now is right.
      writeFileSync(at(first, "etc/a.conf"), "a2\nsame\n");
      expect(filesOf(await world.run("verify", "-o", "json"), first)).toEqual([]);
    });

    test("names of apps and hosts choose what is looked at; one that is not there is an error", async () => {
      writeFileSync(at(first, "etc/a.conf"), "by hand\n");
      writeFileSync(at(second, "etc/a.conf"), "by hand\n");
      const one = await world.run("verify", "--host", name(second), "-o", "json");
      expect([appsOf(one, first), filesOf(one, second)]).toEqual([[], [["/etc/a.conf", "content"]]]);
      expect(await world.run("verify", API)).toMatchObject({ code: 0, stdout: "1 host has what Git has.\n" });
      for (const args of [["nginx/prod/nothere"], ["--host", "10.9.9.9"]]) {
        const { code, stderr } = await world.run("verify", ...args);
        expect(code).toBe(1);
        expect(stderr).toContain("UnknownName");
      }
    });

    test("also with action heal nothing is healed by looking; drift.ignore is left out", async () => {
      await world.configure({ drift: { interval: "0s", action: "heal", ignore: ["/etc/b.*"] } });
      for (const file of ["etc/a.conf", "etc/b.conf"]) writeFileSync(at(first, file), "by hand\n");
      const before = touchesOn(first);
      const ran = await world.run("verify", "--diff", "-o", "json");
      expect(ran.code).toBe(2);
      expect(filesOf(ran, first)).toEqual([["/etc/a.conf", "content"]]);
      expect(touchedBetween(before, touchesOn(first))).toEqual([]);
    });

    test("a running controller is asked through its socket and looks for itself", async () => {
      const controller = await world.start();
      await world.settled();
      writeFileSync(at(first, "etc/a.conf"), "by hand\nsame\n");
      const before = touchesOn(first);
      const ran = await world.run("verify", "--diff", "-o", "json");
      expect(ran.code).toBe(2);
      expect(filesOf(ran, first)).toEqual([["/etc/a.conf", "content"]]);
      expect(ran.stdout).toMatch(/-a\d\\n\+by hand\\n/);
      expect(ran.stdout).not.toContain("contents");
      expect(touchedBetween(before, touchesOn(first))).toEqual([]);
      expect(await controller.metric(`fssync_drifted_files{repo="files",mod="nginx",env="prod",app="web"}`)).toBe(1);
      expect(await world.run("verify", "--host", name(second))).toMatchObject({ code: 0 });
      expect((await world.run("sync", "--full")).code).toBe(0);
      expect(textOn(first, "etc/a.conf")).toBe((await world.repo.git(["show", `main:${WEB}/etc/a.conf`])).toString());
      expect((await world.run("verify")).code).toBe(0);
      await controller.stop();
    });

    test("a plain sync leaves what was changed by hand and says how to put it right", async () => {
      writeFileSync(at(first, "etc/a.conf"), "by hand\n");
      expect((await world.run("verify")).code).toBe(2);
      await world.repo.commit({ [`${WEB}/etc/b.conf`]: `b${Date.now()}\n` });
      const plain = await world.run("sync");
      expect(plain.code).toBe(2);
      expect(plain.stdout).toContain("`sync --full` lays Git's over them");
      expect(textOn(first, "etc/a.conf")).toBe("by hand\n");
      expect((await world.run("sync", "--full")).code).toBe(0);
      expect((await world.run("verify")).code).toBe(0);
    });

    test("a host that is down is 4, beside drift 6; when it is back 0", async () => {
      await second.down();
      const down = await world.run("verify");
      expect(down.code).toBe(4);
      expect(down.stdout).toMatch(new RegExp(`${name(second)} +${WEB} +Unreachable +- +- +- +ConnectRefused`));
      writeFileSync(at(first, "etc/a.conf"), "by hand\n");
      const both = await world.run("verify", "-o", "json");
      expect(both.code).toBe(6);
      expect(appsOf(both, second)).toMatchObject([{ state: "Unreachable", notCompared: true, files: [] }]);
      await second.up();
      expect((await world.run("verify", "--host", name(second))).code).toBe(0);
    });

    test("a host that was reached and cannot be looked at is 1, with its reason", async () => {
      await second.changeHostKey();
      const { code, stdout } = await world.run("verify");
      expect(code).toBe(1);
      expect(stdout).toMatch(new RegExp(`${name(second)} .*Failed .*HostKeyMismatch`));
      writeFileSync(
        join(world.dir, "secrets/ssh/known_hosts"),
        `${first.knownHostsLine()}\n${second.knownHostsLine()}\n`,
      );
      expect((await world.run("verify")).code).toBe(0);
    });

    test("Git that does not answer is 1, and what is known is compared", async () => {
      await world.configure({ git: { url: `${world.repo.url}-nothere` } });
      const { code, stdout, stderr } = await world.run("verify", "-o", "json");
      expect(code).toBe(1);
      expect(stderr).toContain("! files: FetchFailed");
      expect(filesOf({ code, stdout, stderr }, first)).toEqual([]);
    });
  });
});
