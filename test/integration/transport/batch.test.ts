import { createHash } from "node:crypto";
import {
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
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { hostKey, type Host } from "../../../src/model/host.ts";
import type { HostChange } from "../../../src/ports/transport.ts";
import { RsyncTransport, type RsyncTransportOptions } from "../../../src/transport/rsync-transport.ts";
import { Snapshots } from "../../support/fleet-change.ts";
import { realClock } from "../../support/fleet-clock.ts";
import { run } from "../../support/fleet/processes.ts";
import { startFleet, until, type Fleet, type FleetHost } from "../../support/fleet.ts";
import { recordingLogger } from "../../support/log-lines.ts";
import { here } from "../../support/machine.ts";

const APP = "nginx/prod/web";
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

describe("batches over connections of this process", () => {
  let fleet: Fleet;
  let snapshots: Snapshots;
  let socketDir: string;
  let made: RsyncTransport[];
  let readers: string;

  beforeEach(async () => {
    fleet = await startFleet({ hosts: 1, kind: "ports" });
    snapshots = new Snapshots(join(fleet.dir, "snapshots"));
    socketDir = mkdtempSync(join(tmpdir(), "s-"));
    readers = join(fleet.dir, "readers");
    writeFileSync(readers, "");
    made = [];
  });
  afterEach(async () => {
    for (const transport of made) await transport[Symbol.asyncDispose]();
    await fleet[Symbol.asyncDispose]();
    rmSync(socketDir, { recursive: true, force: true });
    vi.unstubAllEnvs();
  });

  /** What the host's rsync was started for since it was asked last. */
  function started(): ("batch" | "plain")[] {
    const lines = readFileSync(readers, "utf8").split("\n").filter(Boolean);
    writeFileSync(readers, "");
    return lines.map((line) => (line.includes("--read-batch") ? "batch" : "plain"));
  }

  /** `inFront` is run on the host before its rsync. */
  function make(inFront = "", options: Partial<RsyncTransportOptions> = {}): RsyncTransport {
    const rsyncPath = join(fleet.dir, `rsync-${made.length}`);
    writeFileSync(rsyncPath, `#!/bin/sh\necho "$*" >>"${readers}"\n${inFront}\nexec rsync "$@"\n`, { mode: 0o755 });
    const secret = new Map([
      ["identity", readFileSync(fleet.identityFile, "utf8")],
      ["known_hosts", fleet.knownHosts],
    ]);
    const transport = new RsyncTransport({
      dir: join(fleet.dir, `work-${made.length}`),
      socketDir,
      secret: () => Promise.resolve(secret),
      hostKeys: "strict",
      sudo: false,
      client: "builtin",
      rsyncPath,
      connectTimeout: 5000,
      clock: realClock,
      log: recordingLogger().log,
      ...options,
    });
    made.push(transport);
    return transport;
  }

  function asHost({ address, port, root }: FleetHost): Host {
    return { key: hostKey(address, port), address, port, user: fleet.user, root };
  }

  function change(files: Record<string, string>, was: Record<string, string> = {}): HostChange {
    const replaces = Object.entries(was).map(([path, text]) => ({
      path,
      checksums: [sha256(text), sha256(files[path] ?? "")],
    }));
    return { ...snapshots.change([{ ...snapshots.app(APP, files), replaces }]), keepVersions: 3 };
  }

  async function apply(
    transport: RsyncTransport,
    what: HostChange,
    { timeout = 60_000, machine = fleet.hosts[0]! } = {},
  ) {
    await using prepared = await transport.prepare(what);
    const { outcome, replaced, fallback } = await transport.apply(asHost(machine), prepared, {
      timeout,
      signal: new AbortController().signal,
    });
    return { reason: outcome.get(APP)?.reason, fallback, replaced: replaced.get(APP) };
  }

  const at = (path: string) => join(fleet.hosts[0]!.dir, path);

  /** Everything on this machine that still has a file of the host's in its command line or works there. */
  function left(word: string): string {
    return run("ps", ["-eo", "pid=,args="])
      .split("\n")
      .filter((line) => line.includes(word))
      .join("\n");
  }

  test("bring a change to all hosts of a group with one rsync here and one on each", async () => {
    const bin = join(fleet.dir, "bin");
    mkdirSync(bin);
    const log = join(bin, "log");
    writeFileSync(join(bin, "rsync"), `#!/bin/sh\necho run >>"${log}"\nPATH=\${PATH#*:} exec rsync "$@"\n`, {
      mode: 0o755,
    });
    vi.stubEnv("PATH", `${bin}:${process.env["PATH"]}`);
    await fleet.add();
    const transport = make();
    await using prepared = await transport.prepare(change({ "etc/a": "1", "etc/b": "1" }));
    const options = { timeout: 60_000, signal: new AbortController().signal };
    const all = await Promise.all(fleet.hosts.map((machine) => transport.apply(asHost(machine), prepared, options)));
    for (const { outcome, fallback } of all) expect([outcome.get(APP), fallback]).toEqual([null, undefined]);
    for (const { dir } of fleet.hosts) expect(readFileSync(join(dir, "etc/a"), "utf8")).toBe("1");
    expect(readFileSync(log, "utf8")).toBe("run\n");
    expect(started()).toEqual(["batch", "batch"]);
    await prepared[Symbol.asyncDispose]();
    expect(readdirSync(join(fleet.dir, "work-0")).filter((name) => name.startsWith("change-"))).toEqual([]);
  });

  test("of some megabytes are sent when the host asks for them, and not when it has them", async () => {
    const transport = make();
    const random = () => Array.from({ length: 20_000 }, () => Math.random()).join("\n");
    const files = { "etc/a": random(), "etc/b": random(), "etc/c": "1" };
    expect(await apply(transport, change(files))).toEqual({});
    expect(started()).toEqual(["batch"]);
    for (const [path, text] of Object.entries(files)) expect(readFileSync(at(path), "utf8")).toBe(text);
    const before = statSync(at("etc/a")).ino;
    expect(await apply(transport, change(files, files))).toEqual({});
    expect(started()).toEqual([]);
    expect(statSync(at("etc/a")).ino).toBe(before);
    const kept = { reason: undefined, fallback: "files are not as last synced" };
    writeFileSync(at("etc/b"), "by hand");
    expect(await apply(transport, change({ ...files, "etc/b": random() }, files))).toMatchObject({
      ...kept,
      replaced: [{ path: "etc/b" }],
    });
    expect(started()).toEqual(["plain"]);
  });

  test("leave to rsync what somebody edited, which keeps it and tells", async () => {
    const transport = make();
    expect(await apply(transport, change({ "etc/a": "1", "etc/b": "1" }))).toEqual({});
    writeFileSync(at("etc/b"), "by hand");
    const { reason, fallback, replaced } = await apply(
      transport,
      change({ "etc/a": "2", "etc/b": "2" }, { "etc/a": "1", "etc/b": "1" }),
    );
    expect([reason, fallback]).toEqual([undefined, "files are not as last synced"]);
    expect(replaced).toMatchObject([{ path: "etc/b" }]);
    expect(readFileSync(join("/", replaced![0]!.kept!), "utf8")).toBe("by hand");
    expect(readFileSync(at("etc/b"), "utf8")).toBe("2");
    expect(started()).toEqual(["batch", "plain"]);
    expect(await apply(transport, change({ "etc/a": "3", "etc/b": "3" }, { "etc/a": "2", "etc/b": "2" }))).toEqual({});
    expect(started()).toEqual(["batch"]);
  });

  test("that the host's rsync cannot lay are laid by plain rsync, which names what is wrong", async () => {
    const transport = make('case $1 in --read-batch*) echo "rsync: No space left on device (28)" >&2; exit 11 ;; esac');
    expect(await apply(transport, change({ "etc/a": "1" }))).toEqual({ fallback: "rsync ended with 11 on the host" });
    expect(started()).toEqual(["batch", "plain"]);
    mkdirSync(at("etc/b/c"), { recursive: true });
    const outcome = await apply(make(), change({ "etc/b": "1" }));
    expect(outcome).toMatchObject({ reason: "TargetIsFolder", fallback: "rsync ended with 23 on the host" });
  });

  test("are not followed by plain rsync when the connection is lost, and leave nothing on the host", async () => {
    const mark = `4${process.pid}.4`;
    const transport = make(`case $1 in --read-batch*) sleep ${mark} ;; esac`);
    const applying = apply(transport, change({ "etc/a": "1", "etc/b": "1" }));
    await until(() => left(`sleep ${mark}`) !== "", here(10_000), "the host's rsync to begin");
    fleet.hosts[0]!.cut();
    expect(await applying).toEqual({ reason: "ConnectionLost" });
    expect(started()).toEqual(["batch"]);
    await until(() => left(`sleep ${mark}`) === "", here(10_000), "the host's processes to end");
    expect(existsSync(at("etc/a"))).toBe(false);
    expect(await apply(make(), change({ "etc/a": "1", "etc/b": "1" }))).toEqual({});
    expect(readdirSync(at("etc"))).toEqual(["a", "b"]);
  });

  test("are not followed by plain rsync when the time is over, and leave nothing on the host", async () => {
    const mark = `5${process.pid}.5`;
    // As one whose input ended in the middle, in which rsync would wait for the rest.
    const transport = make(`case $1 in --read-batch*) { head -c 50; sleep ${mark}; } | rsync "$@" ;; esac`);
    expect(await apply(transport, change({ "etc/a": "1", "etc/b": "1" }), { timeout: here(2000) })).toEqual({
      reason: "SyncTimeout",
    });
    expect(started()).toEqual(["batch"]);
    await until(() => left(`sleep ${mark}`) === "" && left(at("")) === "", here(10_000), "the host's processes to end");
    expect(existsSync(at("etc/a"))).toBe(false);
  });

  test("that were ended in the middle leave no part of a file", async () => {
    const fifo = join(fleet.dir, "fifo");
    const cut = `mkfifo "${fifo}"; rsync "$@" <"${fifo}" & { head -c 200000; kill $!; } >"${fifo}"; wait $!; exit`;
    const old = { "etc/a": "0", "etc/b": "0", "etc/c": "0" };
    expect(await apply(make(), change(old))).toEqual({});
    started();
    const transport = make(`case $1 in --read-batch*) ${cut} ;; esac`);
    const random = Array.from({ length: 40_000 }, () => Math.random()).join("\n");
    const outcome = await apply(transport, change({ "etc/a": "1", "etc/b": random, "etc/c": "1" }, old));
    expect(outcome).toEqual({ fallback: "rsync ended with 20 on the host" });
    expect(started()).toEqual(["batch", "plain"]);
    expect(readdirSync(at("etc")).toSorted()).toEqual(["a", "b", "c"]);
  });
});
