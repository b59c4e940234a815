import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeKey } from "../support/fleet/sshd.ts";
import { until, type FleetHost } from "../support/fleet.ts";
import { World, type Controller } from "../support/world.ts";
import { fileOn, pathsOn, putOn, textOn } from "./on-host.ts";

const WEB = "nginx/prod/web";

/** A host's session that says or does something before what was asked for. */
function around(script: string): string {
  return `/bin/sh -c '${script}' sh`;
}
const ASKED = `exec sh -c "$SSH_ORIGINAL_COMMAND"`;
const NO_BATCH = `case "$SSH_ORIGINAL_COMMAND" in *read-batch*) exit 1 ;; esac`;

describe("hosts fail, each in its own way, at the same time", () => {
  let world: World;
  let controller: Controller;
  let commits = 0;
  /** Failures told while all hosts were well: a slow machine may be late for one. */
  let toldBefore = 0;

  const sick: Record<
    string,
    { host: FleetHost; reason: string; state: string; make: () => unknown; mend: () => unknown }
  > = {};
  let well: FleetHost;

  beforeAll(async () => {
    world = await World.create({
      hosts: 8,
      kind: "ports",
      files: { [`${WEB}/etc/a.conf`]: "0\n", [`${WEB}/etc/app/b.conf`]: "b\n" },
      spec: { ssh: { connectTimeout: "1s" }, sync: { timeout: "3s", concurrency: 16 } },
    });
    const [healthy, refuses, frozen, noisy, bare, stalls, liar, taken] = world.fleet.hosts as FleetHost[];
    well = healthy!;
    const plain = (host: FleetHost) => host.forceCommand(undefined);
    Object.assign(sick, {
      "refuses connections": {
        host: refuses,
        state: "Unreachable",
        reason: "ConnectRefused",
        make: () => refuses!.down(),
        mend: () => refuses!.up(),
      },
      "fault 26: takes connections and never answers": {
        host: frozen,
        state: "Unreachable",
        reason: "ConnectTimeout",
        make: () => frozen!.freeze(),
        mend: () => frozen!.thaw(),
      },
      "fault 31: prints something at login, and takes no batch": {
        host: noisy,
        state: "Failed",
        reason: "ProtocolError",
        make: () => noisy!.forceCommand(around(`echo Welcome to this host; ${NO_BATCH}; ${ASKED}`)),
        mend: () => plain(noisy!),
      },
      "fault 32: has no rsync": {
        host: bare,
        state: "Failed",
        reason: "RsyncMissing",
        make: () => bare!.forceCommand(around("echo sh: 1: rsync: not found >&2; exit 127")),
        mend: () => plain(bare!),
      },
      "fault 27: stalls": {
        host: stalls,
        state: "Failed",
        reason: "SyncTimeout",
        make: () => stalls!.forceCommand(around("exec sleep 600")),
        mend: () => plain(stalls!),
      },
      "fault 36: ends with 0 and writes nothing": {
        host: liar,
        state: "Failed",
        reason: "ProtocolError",
        make: () => liar!.forceCommand(around("exit 0")),
        mend: () => plain(liar!),
      },
      "fault 35: has a folder with files where a file must go": {
        host: taken,
        state: "Failed",
        reason: "TargetIsFolder",
        make: () => {
          rmSync(join(taken!.dir, "etc/a.conf"));
          putOn(taken!, "etc/a.conf/theirs.txt", "theirs\n");
        },
        mend: () => rmSync(join(taken!.dir, "etc/a.conf"), { recursive: true }),
      },
    });
    controller = await world.start();
    await world.settled();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  test("the healthy host is synced as if it were alone", async () => {
    toldBefore = controller.logged("SyncFailed").length;
    await Promise.all(Object.values(sick).map(({ make }) => make()));
    const started = performance.now();
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: `${++commits}\n` });
    await until(() => textOn(well, "etc/a.conf") === `${commits}\n`, 10_000, "the healthy host");
    expect(performance.now() - started).toBeLessThan(5000);
  });

  test("each sick host shows its own state and reason, told once, and keeps the record of what it has", async () => {
    await world.shows(well, "Synced");
    const before = await world.at(well);
    for (const [name, { host, state, reason }] of Object.entries(sick)) {
      await world.shows(host, state, { reason });
      const record = await world.at(host);
      expect(record?.digest, name).not.toBe(before?.digest);
      expect(record?.message, name).toBeTruthy();
    }
    await until(
      async () => (await world.at(sick["refuses connections"]!.host))!.attempts! >= 2,
      20_000,
      "a second attempt",
    );
    // A host that freezes is first one whose connection hangs, then one that takes none: two reasons, each told once.
    for (const [name, { host }] of Object.entries(sick)) {
      const key = `${host.address}:${host.port}`;
      const told = controller
        .logged("SyncFailed")
        .slice(toldBefore)
        .filter((line) => line["host"] === key);
      expect(told.length, name).toBeGreaterThan(0);
      const reasons = told.map((line) => line["reason"]);
      expect(reasons, name).toEqual([...new Set(reasons)]);
    }
    const hosts = (state: string) =>
      controller.metric(`fssync_app_hosts{repo="files",mod="nginx",env="prod",app="web",state="${state}"}`);
    expect(await hosts("Synced")).toBe(1);
    expect(await hosts("Unreachable")).toBe(2);
    expect(await hosts("Failed")).toBe(5);
    expect(
      await controller.metric(`fssync_app_oldest_lag_seconds{repo="files",mod="nginx",env="prod",app="web"}`),
    ).toBeGreaterThan(0);
    expect(textOn(sick["fault 35: has a folder with files where a file must go"]!.host, "etc/a.conf/theirs.txt")).toBe(
      "theirs\n",
    );
  });

  test("sync exits with 6 when some failed and some were not reached", async () => {
    const { code, stdout } = await world.run("sync", "-o", "json");
    expect(code).toBe(6);
    const { repos } = JSON.parse(stdout) as Awaited<ReturnType<World["status"]>>;
    expect(repos[0]!.hosts).toHaveLength(7);
  });

  test("mended, every host has the newest commit within one backoff, without anybody's doing", async () => {
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: `${++commits}\n` });
    await Promise.all(Object.values(sick).map(({ mend }) => mend()));
    await world.settled(8, 40_000);
    for (const { host } of Object.values(sick)) expect(textOn(host, "etc/a.conf")).toBe(`${commits}\n`);
    expect(
      await controller.metric(`fssync_app_oldest_lag_seconds{repo="files",mod="nginx",env="prod",app="web"}`),
    ).toBe(0);
  });

  test("fault 29: a host that shows another key is not trusted until known_hosts has it", async () => {
    const host = world.fleet.hosts[1]!;
    await host.changeHostKey();
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: `${++commits}\n` });
    await world.shows(host, "Failed", { reason: "HostKeyMismatch" });
    expect(textOn(host, "etc/a.conf")).not.toBe(`${commits}\n`);
    const lines = world.fleet.hosts.map((one) => one.knownHostsLine());
    await world.putSecret("ssh", { known_hosts: `${lines.join("\n")}\n` });
    await world.settled(8, 40_000);
  });

  test("fault 30: a key that is refused is AuthFailed everywhere, and a restart with a good one heals everything", async () => {
    const good = readFileSync(world.fleet.identityFile, "utf8");
    const other = join(world.dir, "other-key");
    makeKey(other);
    await controller.stop();
    await world.putSecret("ssh", { identity: readFileSync(other, "utf8") });
    controller = await world.start();
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: `${++commits}\n` });
    for (const host of world.fleet.hosts) await world.shows(host, "Failed", { reason: "AuthFailed" });
    await controller.stop();
    await world.putSecret("ssh", { identity: good });
    controller = await world.start();
    await world.settled(8, 40_000);
  });

  test("fault 34: a parent folder that is a symlink on the host stays one", async () => {
    const moved = join(well.dir, "elsewhere");
    mkdirSync(moved);
    rmSync(join(well.dir, "etc/app"), { recursive: true });
    symlinkSync("../elsewhere", join(well.dir, "etc/app"));
    await world.repo.commit({ [`${WEB}/etc/app/b.conf`]: "b2\n" });
    await world.settled(8);
    expect(fileOn(well, "etc/app")).toMatchObject({ link: "../elsewhere" });
    expect(textOn(well, "elsewhere/b.conf")).toBe("b2\n");
  });

  test("fault 38: a file edited by hand to the same size and time is put right by a full sync", async () => {
    putOn(well, "etc/a.conf", "x\n");
    chmodSync(join(well.dir, "etc/a.conf"), 0o600);
    const { code } = await world.run("sync", "--full", "--host", `${well.address}:${well.port}`, "-o", "json");
    expect(code).toBe(0);
    expect(fileOn(well, "etc/a.conf")).toMatchObject({ text: `${commits}\n`, mode: 0o644 });
  });

  test("no host has anything left of the attempts that failed", () => {
    for (const host of world.fleet.hosts) {
      expect(pathsOn(host).filter((path) => path.includes("~"))).toEqual([]);
    }
  });

  test("fault 36: no flood of a host's own words reaches the log or the status", async () => {
    const host = world.fleet.hosts[1]!;
    await host.forceCommand(
      around('head -c 3000000 /dev/zero | tr "\\\\0" A >&2; printf "\\\\033[31mred\\\\n" >&2; exit 3'),
    );
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: `${++commits}\n` });
    await world.shows(host, "Failed");
    const { message } = (await world.at(host))!;
    expect(message!.length).toBeLessThan(2000);
    expect(message).not.toContain("\u001b");
    await host.forceCommand(undefined);
    await world.settled(8, 40_000);
  });

  test("SIGTERM leaves no process behind", async () => {
    expect((await controller.stop()).code).toBe(0);
    expect(world.processes()).toEqual([]);
    expect(existsSync(join(world.dataDir, "controller.json"))).toBe(false);
  });
});
