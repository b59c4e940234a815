import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { hostKey, type Host } from "../../../src/model/host.ts";
import type { KnownFile } from "../../../src/ports/transport.ts";
import { RsyncTransport, type RsyncTransportOptions } from "../../../src/transport/rsync-transport.ts";
import { startFleet, until, type Fleet, type FleetHost } from "../../support/fleet.ts";
import { Snapshots } from "../../support/fleet-change.ts";
import { realClock } from "../../support/fleet-clock.ts";
import { hasCommand } from "../../support/fleet/processes.ts";

const APP = "m/e/a";

describe("the connections of RsyncTransport", () => {
  let fleet: Fleet;
  let snapshots: Snapshots;
  let socketDir: string;
  let secret: Map<string, string>;
  let made: RsyncTransport[];

  beforeEach(async () => {
    fleet = await startFleet({ hosts: 3, kind: "ports" });
    snapshots = new Snapshots(join(fleet.dir, "snapshots"));
    socketDir = mkdtempSync(join(tmpdir(), "s-"));
    const identity = readFileSync(fleet.identityFile, "utf8");
    secret = new Map([
      ["identity", identity],
      ["known_hosts", fleet.knownHosts],
    ]);
    made = [];
  });
  afterEach(async () => {
    for (const transport of made) await transport[Symbol.asyncDispose]();
    await fleet[Symbol.asyncDispose]();
    rmSync(socketDir, { recursive: true, force: true });
  });

  function make(options: Partial<RsyncTransportOptions> = {}) {
    const transport = new RsyncTransport({
      dir: join(fleet.dir, "work"),
      socketDir,
      secret: () => Promise.resolve(secret),
      hostKeys: "strict",
      sudo: false,
      client: "openssh",
      connectTimeout: 5000,
      clock: realClock,
      log: pino({ level: "silent" }),
      ...options,
    });
    made.push(transport);
    return transport;
  }

  function asHost({ address, port, root }: FleetHost): Host {
    return { key: hostKey(address, port), address, port, user: fleet.user, root };
  }

  async function sync(
    transport: RsyncTransport,
    machine: FleetHost,
    text = String(Math.random()),
    replaces: readonly KnownFile[] = [],
  ) {
    const app = { ...snapshots.app(APP, { "etc/a": text }), replaces };
    await using prepared = await transport.prepare({ ...snapshots.change([app]), keepVersions: 5 });
    const options = { timeout: 20_000, signal: new AbortController().signal };
    const { outcome } = await transport.apply(asHost(machine), prepared, options);
    return outcome.get(APP)?.reason ?? readFileSync(join(machine.dir, "etc/a"), "utf8") === text;
  }

  test("one connection serves many syncs", async () => {
    const transport = make();
    expect(await sync(transport, fleet.hosts[0]!)).toBe(true);
    const [socket] = readdirSync(socketDir);
    const before = statSync(join(socketDir, socket!)).ctimeMs;
    expect(await sync(transport, fleet.hosts[0]!)).toBe(true);
    expect(statSync(join(socketDir, socket!)).ctimeMs).toBe(before);
  });

  test.each([
    ["", []],
    [", also when it is looked whether somebody else changed it", [{ path: "etc/a", checksums: [] }]],
  ])("one changed file on a warm connection is one rsync and one ssh%s", async (_, replaces) => {
    const bin = join(fleet.dir, "bin");
    const log = join(bin, "log");
    mkdirSync(bin);
    for (const program of ["rsync", "ssh"]) {
      const real = execFileSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).trim();
      writeFileSync(join(bin, program), `#!/bin/sh\necho ${program} >> "${log}"\nexec ${real} "$@"\n`, { mode: 0o755 });
    }
    const transport = make();
    expect(await sync(transport, fleet.hosts[0]!)).toBe(true);
    vi.stubEnv("PATH", `${bin}:${process.env.PATH}`);
    expect(await sync(transport, fleet.hosts[0]!, "new", replaces)).toBe(true);
    vi.unstubAllEnvs();
    expect(readFileSync(log, "utf8")).toBe("rsync\nssh\n");
    expect(existsSync(join(fleet.hosts[0]!.dir, "var/lib/fssync/replaced/etc"))).toBe(replaces.length > 0);
  });

  test("never more than allowed; the one unused for longest goes", async () => {
    const transport = make({ maxMasters: 2 });
    for (const machine of fleet.hosts) expect(await sync(transport, machine)).toBe(true);
    expect(readdirSync(socketDir)).toHaveLength(2);
    expect(fleet.hosts[0]!.sessions()).toBe(0);
  });

  test("hosts beyond the limit are synced over a connection that ends with the sync", async () => {
    const transport = make({ maxMasters: 1 });
    expect(await Promise.all(fleet.hosts.map((machine) => sync(transport, machine)))).toEqual([true, true, true]);
    expect(readdirSync(socketDir).length).toBeLessThanOrEqual(1);
    await until(() => fleet.hosts.filter((machine) => machine.sessions() > 0).length <= 1, 5000, "the others to end");
  });

  test("what a killed process left running is ended, and its sockets are replaced", async () => {
    const first = make();
    expect(await sync(first, fleet.hosts[0]!)).toBe(true);
    // A second transport on the same folder stands for the process after the restart.
    const before = fleet.hosts[0]!.sessions();
    const second = make();
    expect(await sync(second, fleet.hosts[0]!)).toBe(true);
    expect(readdirSync(socketDir)).toHaveLength(1);
    await until(() => fleet.hosts[0]!.sessions() === before, 5000, "the old connection to end");
    fleet.hosts[0]!.cut();
    await until(() => fleet.hosts[0]!.sessions() === 0, 5000, "the connection to end");
    const [name] = [...readdirSync(socketDir), "stale"];
    if (name === "stale") writeFileSync(join(socketDir, name), "");
    expect(await sync(make(), fleet.hosts[0]!)).toBe(true);
  });

  test("keys are files of mode 0600 in a folder of mode 0700", async () => {
    expect(await sync(make(), fleet.hosts[0]!)).toBe(true);
    const dir = join(fleet.dir, "work");
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    for (const name of ["identity", "known_hosts", "ssh_config"]) {
      expect(statSync(join(dir, name)).mode & 0o777).toBe(0o600);
    }
  });

  test("a secret that changed is used after ten seconds, on new connections", async () => {
    let ahead = 0;
    const transport = make({ clock: { ...realClock, monotonic: () => performance.now() + ahead } });
    expect(await sync(transport, fleet.hosts[0]!)).toBe(true);
    secret = new Map(secret).set("known_hosts", "other ssh-ed25519 AAAA\n");
    expect(await sync(transport, fleet.hosts[0]!)).toBe(true);
    ahead = 11_000;
    expect(await sync(transport, fleet.hosts[0]!)).toBe("HostKeyUnknown");
  });

  test("a folder for sockets that others may enter is refused", async () => {
    chmodSync(socketDir, 0o755);
    await expect(make().prepare(snapshots.change([]))).rejects.toMatchObject({ reason: "InvalidSpec" });
    chmodSync(socketDir, 0o700);
    await expect(
      make({ socketDir: `${socketDir}/${"x".repeat(80)}` }).prepare(snapshots.change([])),
    ).rejects.toMatchObject({
      reason: "InvalidSpec",
    });
  });

  test("lists that a killed process left are removed", async () => {
    const left = join(fleet.dir, "work", "change-7");
    mkdirSync(left, { recursive: true, mode: 0o700 });
    chmodSync(join(fleet.dir, "work"), 0o700);
    expect(await sync(make(), fleet.hosts[0]!)).toBe(true);
    expect(existsSync(left)).toBe(false);
  });

  test("fault 43: many hosts down at once fail together, without waiting for each other", async () => {
    const transport = make();
    await Promise.all(fleet.hosts.map((machine) => machine.down()));
    expect(await Promise.all(fleet.hosts.map((machine) => sync(transport, machine)))).toEqual(
      fleet.hosts.map(() => "ConnectRefused"),
    );
  });

  if (!hasCommand("sudo"))
    test("a host without sudo is SudoDenied", async () => {
      expect(await sync(make({ sudo: true }), fleet.hosts[0]!)).toBe("SudoDenied");
    });

  test("with sudo, everything on the host runs through it", async () => {
    const bin = join(fleet.dir, "bin");
    mkdirSync(bin);
    writeFileSync(
      join(bin, "sudo"),
      `#!/bin/sh\nprintf "%s\\n" "$*" >> "${bin}/log"\n[ "$1" = -n ] && shift\nexec "$@"\n`,
      {
        mode: 0o755,
      },
    );
    const machine = fleet.hosts[0]!;
    await machine.forceCommand(`PATH="${bin}:$PATH"; eval "$SSH_ORIGINAL_COMMAND"`);
    expect(await sync(make({ sudo: true }), machine)).toBe(true);
    expect(readFileSync(join(bin, "log"), "utf8")).toMatch(/^-n rsync --server/);
  });

  describe("files that somebody else changed, with sudo", () => {
    /** A sudo that lets only these words through. */
    async function withSudo(machine: FleetHost, allowed: string): Promise<RsyncTransport> {
      const bin = join(fleet.dir, "bin");
      mkdirSync(bin);
      const refuse = `echo "sudo: a password is required" >&2; exit 1`;
      const script = `#!/bin/sh\n[ "$1" = -n ] && shift\ncase $1 in ${allowed}) exec "$@" ;; *) ${refuse} ;; esac\n`;
      writeFileSync(join(bin, "sudo"), script, { mode: 0o755 });
      await machine.forceCommand(`PATH="${bin}:$PATH"; eval "$SSH_ORIGINAL_COMMAND"`);
      mkdirSync(join(machine.dir, "etc"));
      writeFileSync(join(machine.dir, "etc/a"), "by hand");
      return make({ sudo: true });
    }

    async function replace(transport: RsyncTransport, machine: FleetHost) {
      const app = { ...snapshots.app(APP, { "etc/a": "2" }), replaces: [{ path: "etc/a", checksums: [] }] };
      await using prepared = await transport.prepare({ ...snapshots.change([app]), keepVersions: 5 });
      const { outcome, replaced } = await transport.apply(asHost(machine), prepared, options);
      expect(outcome.get(APP)).toBeNull();
      expect(readFileSync(join(machine.dir, "etc/a"), "utf8")).toBe("2");
      return replaced.get(APP)?.map(({ path, kept }) => [path, kept !== undefined]);
    }
    const options = { timeout: 20_000, signal: new AbortController().signal };
    const looked = [{ path: "etc/a" }];

    test("are seen, read and kept", async () => {
      const machine = fleet.hosts[0]!;
      const transport = await withSudo(machine, "rsync|sh");
      expect(await transport.inspect(asHost(machine), looked, options)).toMatchObject([{ kind: "file" }]);
      const [content] = await transport.read(asHost(machine), ["etc/a"], { ...options, limit: 100 });
      expect(content?.toString()).toBe("by hand");
      expect(await replace(transport, machine)).toEqual([["etc/a", true]]);
    });

    test("cannot be seen where rsync alone is allowed, and stop no sync there", async () => {
      const machine = fleet.hosts[0]!;
      const transport = await withSudo(machine, "rsync");
      const refused = { reason: "SudoDenied" };
      await expect(transport.inspect(asHost(machine), looked, options)).rejects.toMatchObject(refused);
      expect(await replace(transport, machine)).toBeUndefined();
    });

    test("do not hide why a sync failed", async () => {
      const machine = fleet.hosts[0]!;
      const transport = await withSudo(machine, "rsync");
      rmSync(join(machine.dir, "etc/a"));
      mkdirSync(join(machine.dir, "etc/a"));
      writeFileSync(join(machine.dir, "etc/a/theirs"), "");
      const app = { ...snapshots.app(APP, { "etc/a": "2" }), replaces: [{ path: "etc/a", checksums: [] }] };
      await using prepared = await transport.prepare(snapshots.change([app]));
      const { outcome } = await transport.apply(asHost(machine), prepared, options);
      expect(outcome.get(APP)).toMatchObject({ reason: "TargetIsFolder" });
    });
  });

  test("without a launcher, too, nothing is left of a time that is over, in use or idle", async () => {
    const [idle, busy] = fleet.hosts as [FleetHost, FleetHost];
    await busy.forceCommand(`touch "${busy.dir}/started"; exec sleep 600`);
    const transport = make();
    expect(await sync(transport, idle)).toBe(true);
    const outcome = sync(transport, busy);
    await until(() => existsSync(join(busy.dir, "started")), 10_000, "the receiver to start");
    transport.allow(0);
    expect(await outcome).toBe("Interrupted");
    await until(() => idle.sessions() + busy.sessions() === 0, 1000, "the connections to end");
    expect(await sync(transport, idle)).toBe("Interrupted");
    transport.allow(20_000);
    expect(await sync(transport, idle)).toBe(true);
  });

  test("work that runs when the transport is disposed is Interrupted and ended", async () => {
    const machine = fleet.hosts[0]!;
    await machine.forceCommand(`touch "${machine.dir}/started"; exec sleep 600`);
    const transport = make();
    const outcome = sync(transport, machine);
    await until(() => existsSync(join(machine.dir, "started")), 10_000, "the receiver to start");
    await transport[Symbol.asyncDispose]();
    expect(await outcome).toBe("Interrupted");
    expect(readdirSync(socketDir)).toEqual([]);
  });
});
