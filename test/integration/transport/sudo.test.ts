import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { until } from "../../support/fleet.ts";
import { hasCommand } from "../../support/fleet/processes.ts";
import { loginUnavailable, startLogin, type LoginHost } from "../../support/login-lab.ts";
import { LoginTransport, WAYS } from "../../support/login-transport.ts";
import { here } from "../../support/machine.ts";

/** The lines that the documentation gives. */
const page = readFileSync(join(import.meta.dirname, "../../../docs/hosts.md"), "utf8");
const both = /```sudoers\n([^`]*)```/.exec(page)![1]!;
const [rsyncLine, shellLine] = both.trim().split("\n") as [string, string];

const why = loginUnavailable() ?? (hasCommand("sudo") ? undefined : "sudo is not installed");
if (why !== undefined) process.stderr.write(`skipped: tests with real sudo; ${why}\n`);

describe.skipIf(why !== undefined)("with real sudo", () => {
  test.each([
    ["the lines of the documentation", both],
    ["use_pty, as Debian 12 has it", `Defaults use_pty\n${both}`],
    [
      "all that is read and written logged",
      (dir: string) => `Defaults use_pty, log_input, log_output, iolog_dir=${dir}/log\n${both}`,
    ],
  ])("and %s, everything works in each way", async (_, sudoers) => {
    await using login = await startLogin({ sudoers });
    const bytes = randomBytes(200_000);
    for (const { way, ...how } of WAYS) {
      await using transport = new LoginTransport(login, { ...how, sudo: true });
      const theirs = { text: bytes, owner: "daemon", group: "adm", mode: 0o640 };
      const first = await transport.apply({ "etc/a": `1 by ${way}`, [`etc/${way}`]: theirs });
      expect([[...first.outcome.values()], first.fallback], way).toEqual([[null], undefined]);
      expect(readFileSync(join(login.root, "etc", way)).equals(bytes), way).toBe(true);
      expect(lstatSync(join(login.root, "etc/a")).uid).toBe(0);
      const second = await transport.apply({ "etc/a": `2 by ${way}` }, { "etc/a": `1 by ${way}` });
      expect([[...second.outcome.values()], second.fallback, second.replaced.size], way).toEqual([
        [null],
        undefined,
        0,
      ]);
      expect(await transport.read("etc/a")).toBe(`2 by ${way}`);
      const look = await transport.inspect(`etc/${way}`);
      expect(look).toMatchObject({ kind: "file", owner: "daemon", group: "adm", mode: 0o640 });
      const third = await transport.apply({ "etc/a": `3 by ${way}` }, { "etc/a": "another" });
      const [kept] = [...third.replaced.values()].flat();
      expect(kept?.kept, way).toContain(`${login.root}/var/lib/fssync/replaced/etc/a.`);
      expect(readFileSync(kept!.kept!, "utf8")).toBe(`2 by ${way}`);
    }
  });

  test("that allows rsync alone, hosts are synced by plain rsync, and nothing can be looked at", async () => {
    await using login = await startLogin({ sudoers: rsyncLine });
    for (const { way, ...how } of WAYS) {
      await using transport = new LoginTransport(login, { ...how, sudo: true });
      for (const [text, before] of [["1"], ["2", "1"]] as const) {
        const { outcome, fallback } = await transport.apply({ "etc/a": text }, before ? { "etc/a": before } : {});
        expect([...outcome.values()], way).toEqual([null]);
        expect(fallback, way).toBe(how.batches ? "sudo does not allow sh" : undefined);
        expect(readFileSync(join(login.root, "etc/a"), "utf8")).toBe(text);
      }
      await expect(transport.inspect("etc/a"), way).rejects.toMatchObject({ reason: "SudoDenied" });
      await expect(transport.read("etc/a"), way).rejects.toMatchObject({ reason: "SudoDenied" });
    }
  });

  test("that allows the shell alone, batches work and plain rsync does not", async () => {
    await using login = await startLogin({ sudoers: shellLine });
    const reasons: (string | null)[] = [];
    for (const { way, ...how } of WAYS) {
      await using transport = new LoginTransport(login, { ...how, sudo: true });
      reasons.push(await transport.reason({ "etc/a": way }));
    }
    expect(reasons).toEqual([null, "SudoDenied", "SudoDenied"]);
  });

  test.each([
    ["that allows nothing", ""],
    ["that asks for a password", "fssync ALL=(root) ALL"],
    ["that wants a terminal", `Defaults requiretty\n${both}`],
  ])("%s, it is SudoDenied at once", async (_, sudoers) => {
    await using login = await startLogin({ sudoers });
    for (const { way, ...how } of WAYS) {
      await using transport = new LoginTransport(login, { ...how, sudo: true });
      expect(await transport.reason({ "etc/a": "1" }), way).toBe("SudoDenied");
      await expect(transport.inspect("etc/a"), way).rejects.toMatchObject({ reason: "SudoDenied" });
      expect(readdirSync(login.root)).toEqual([]);
    }
  });

  test("that warns, the reason is what went wrong", async () => {
    await using login = await startLogin({ sudoers: both, hostname: "nobody-knows-me" });
    mkdirSync(join(login.root, "etc/a/theirs"), { recursive: true });
    for (const { way, ...how } of WAYS) {
      await using transport = new LoginTransport(login, { ...how, sudo: true });
      expect(await transport.reason({ "etc/a": way }), way).toBe("TargetIsFolder");
      expect(await transport.reason({ "etc/b": way }), way).toBeNull();
    }
  });

  test.each(["", "Defaults use_pty\n"])("nothing runs on after a cut connection (%j)", async (defaults) => {
    await using login = await startLogin({ sudoers: `${defaults}${both}` });
    const rsyncPath = join(login.dir, "slow-rsync");
    // Something that does not look at its input, as rsync while it waits for a disk.
    writeFileSync(rsyncPath, `#!/bin/sh\ntouch ${login.dir}/begun\nwhile sleep 1; do :; done\n`, { mode: 0o755 });
    await using transport = new LoginTransport(login, { client: "builtin", batches: true, sudo: true, rsyncPath });
    const outcome = transport.reason({ "etc/a": "1" });
    await until(() => existsSync(join(login.dir, "begun")), here(20_000), "rsync to begin");
    expect(runningFor(login).length).toBeGreaterThan(0);
    login.cut();
    expect(await outcome).toBe("ConnectionLost");
    await until(() => runningFor(login).length === 0, here(10_000), "what sudo started to end");
  });
});

/** Processes of root that work for a host. */
function runningFor({ dir }: LoginHost): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(`${dir}/slow-rsync`);
    } catch {
      return false;
    }
  });
}
