import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { hostKey, type Host } from "../../../src/model/host.ts";
import { RsyncTransport, type RsyncTransportOptions } from "../../../src/transport/rsync-transport.ts";
import { Snapshots, type FileSpec } from "../../support/fleet-change.ts";
import { realClock } from "../../support/fleet-clock.ts";
import { startFleet, until, type Fleet, type FleetHost } from "../../support/fleet.ts";
import { descendants, signalAll } from "../../support/fleet/processes.ts";
import { here } from "../../support/machine.ts";

const APP = "m/e/a";
const BIG = Buffer.alloc(30_000_000, "0123456789abcdef");
const launcher = new URL("../../../src/launcher-main.ts", import.meta.url);

let fleet: Fleet;
let machine: FleetHost;
let snapshots: Snapshots;
let transport: RsyncTransport;
let made = 0;

beforeAll(async () => {
  fleet = await startFleet({ hosts: 1, kind: "ports" });
  machine = fleet.hosts[0]!;
  snapshots = new Snapshots(join(fleet.dir, "snapshots"));
});
afterAll(() => fleet[Symbol.asyncDispose]());

function make(options: Partial<RsyncTransportOptions> = {}): RsyncTransport {
  const keys = new Map([
    ["identity", readFileSync(fleet.identityFile, "utf8")],
    ["known_hosts", fleet.knownHosts],
  ]);
  return new RsyncTransport({
    dir: join(fleet.dir, `work-${++made}`),
    socketDir: join(fleet.dir, `s-${made}`),
    secret: () => Promise.resolve(keys),
    hostKeys: "strict",
    sudo: false,
    client: "builtin",
    batches: false,
    connectTimeout: 5000,
    launcher,
    clock: realClock,
    log: pino({ level: "silent" }),
    ...options,
  });
}

interface SyncOptions {
  readonly signal?: AbortSignal;
  readonly timeout?: number;
}

/** The reason of the failure; undefined when it was synced. */
async function sync(files: Record<string, string | FileSpec>, options: SyncOptions = {}): Promise<string | undefined> {
  const { address, port, root } = machine;
  const host: Host = { key: hostKey(address, port), address, port, user: fleet.user, root };
  await using prepared = await transport.prepare(snapshots.change([snapshots.app(APP, files)]));
  const { signal = new AbortController().signal, timeout = 60_000 } = options;
  const { outcome } = await transport.apply(host, prepared, { timeout, signal });
  return outcome.get(APP)?.reason;
}

/** Processes below this one that plain rsync is made of. */
function programs(name = /^(rsync|sh|cat|ssh)$/): number[] {
  return descendants(process.pid).filter((pid) => name.test(nameOf(pid)) && !belowSshd(pid));
}

function belowSshd(pid: number): boolean {
  const sshds = descendants(process.pid).filter((each) => nameOf(each).startsWith("sshd"));
  return sshds.some((each) => descendants(each).includes(pid));
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

function launcherPid(): number {
  const found = descendants(process.pid).find((pid) => commandLine(pid).includes("launcher-main"));
  if (found === undefined) throw new Error("no launcher runs");
  return found;
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

/** Sockets and pipes that a process has open. */
function pipesOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return /^(socket|pipe):/.test(readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      return false;
    }
  }).length;
}

/** The receiver gets 64 KiB at a time; after `times` of them no more as long as the file `.hold` is there. */
async function slowLine(times = Infinity): Promise<void> {
  const [part, hold] = [".part", ".hold"].map((name) => join(machine.dir, name));
  const step = `dd bs=64k count=1 of="${part}" 2>/dev/null && [ -s "${part}" ] && cat "${part}"`;
  const pause =
    times === Infinity ? "" : `[ $((i += 1)) -lt ${times} ] || while [ -e "${hold}" ]; do sleep 0.05; done;`;
  await machine.forceCommand(`i=0; while ${step}; do ${pause} sleep 0.01; done | sh -c "$SSH_ORIGINAL_COMMAND"`);
}

function partial(): boolean {
  return (
    existsSync(join(machine.dir, "etc")) &&
    readdirSync(join(machine.dir, "etc")).some((name) => name.startsWith(".big."))
  );
}

describe("plain rsync through the connection", () => {
  beforeEach(async () => {
    transport = make();
    await machine.forceCommand(undefined);
    // A receiver that is killed leaves its part of a file.
    rmSync(join(machine.dir, "etc"), { recursive: true, force: true });
  });
  afterEach(() => transport[Symbol.asyncDispose]());

  test("starts no ssh and opens no second connection", async () => {
    const bin = join(fleet.dir, "bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "ssh"), `#!/bin/sh\n[ "$1" = -Q ] || touch "${bin}/log"\nexit 1\n`, { mode: 0o755 });
    vi.stubEnv("PATH", `${bin}:${process.env["PATH"]}`);
    expect(await sync({ "etc/a": "1" })).toBeUndefined();
    const sessions = machine.sessions();
    expect(await sync({ "etc/a": "2" })).toBeUndefined();
    vi.unstubAllEnvs();
    expect(readFileSync(join(machine.dir, "etc/a"), "utf8")).toBe("2");
    expect(existsSync(join(bin, "log"))).toBe(false);
    await until(() => machine.sessions() === sessions, 10_000, "the host to be idle");
  });

  test("leaves no process, pipe, channel or listener behind, however often it runs", async () => {
    const warned: Error[] = [];
    const warn = (warning: Error) => void warned.push(warning);
    process.on("warning", warn);
    expect(await sync({ "etc/a": "0" })).toBeUndefined();
    const pids = [process.pid, launcherPid()];
    const before = [...pids.map(pipesOf), machine.sessions()];
    for (let count = 1; count <= 12; count++) expect(await sync({ "etc/a": String(count) })).toBeUndefined();
    expect(programs()).toEqual([]);
    const after = () => [...pids.map(pipesOf), machine.sessions()];
    await until(() => after().every((each, at) => each <= before[at]!), 10_000, "the pipes to close");
    process.off("warning", warn);
    expect(warned).toEqual([]);
  });

  test("a host that prints without end is not waited for to the end of the time", async () => {
    await machine.forceCommand("yes flood >&2");
    expect(await sync({ "etc/a": "1" })).toBe("ProtocolError");
    expect(programs()).toEqual([]);
  });

  test("a host that reads no further holds rsync back: little of a large file is in memory", async () => {
    const hold = join(machine.dir, ".hold");
    writeFileSync(hold, "");
    await slowLine(10);
    const stop = new AbortController();
    const running = sync({ "etc/big": { text: BIG } }, { signal: stop.signal });
    await until(partial, 30_000, "the host to have some of it");
    const reader = () => programs(/^rsync$/).map(bytesRead);
    let [last, since] = ["", performance.now()];
    await until(
      () => {
        const now = String(reader());
        if (now !== last) [last, since] = [now, performance.now()];
        return performance.now() - since > 500;
      },
      30_000,
      "rsync to stop reading",
    );
    // Once for its checksum, and then what is under way.
    const underWay = Math.max(...reader()) - BIG.length;
    expect(underWay).toBeGreaterThan(300_000);
    expect(underWay).toBeLessThan(9_000_000);
    stop.abort();
    expect(await running).toBe("Interrupted");
    rmSync(hold);
  });

  describe.each([
    ["the launcher", { launcher }],
    ["this process", { launcher: undefined }],
  ] as const)("cut off in the middle of a file, started by %s", (by, options) => {
    beforeEach(async () => {
      await transport[Symbol.asyncDispose]();
      transport = make(options);
    });

    test.each(faults(by === "the launcher"))(
      "%s has its reason, and the next sync is whole",
      async (_, reason, begin) => {
        expect(await sync({ "etc/a": "warm", "etc/big": "old" })).toBeUndefined();
        const before = pipesOf(process.pid);
        await slowLine();
        const fault = begin();
        const running = sync({ "etc/big": { text: BIG } }, fault.options);
        await until(partial, 30_000, "the host to have some of it");
        fault.happens();
        expect(await running).toMatch(reason);
        await until(() => programs().length === 0, 10_000, "the programs to end");
        await until(() => onHost().length === 0, 20_000, "all to end on the host");
        await until(() => pipesOf(process.pid) <= before, 10_000, "the pipes to close");
        expect(readFileSync(join(machine.dir, "etc/big"), "utf8")).toBe("old");
        await machine.forceCommand(undefined);
        transport.allow(60_000);
        expect(await sync({ "etc/big": "new" })).toBeUndefined();
        expect(readFileSync(join(machine.dir, "etc/big"), "utf8")).toBe("new");
      },
    );
  });
});

interface Fault {
  readonly options: SyncOptions;
  readonly happens: () => void;
}

/** What happens, the reason it is given, and how. */
function faults(withLauncher: boolean): [string, RegExp, () => Fault][] {
  const now = (happens: () => void) => (): Fault => ({ options: {}, happens });
  const always: [string, RegExp, () => Fault][] = [
    ["a connection that is cut", /^ConnectionLost$/, now(() => machine.cut())],
    ["an abort", /^Interrupted$/, aborted],
    ["the end of the time allowed", /^Interrupted$/, now(() => transport.allow(50))],
  ];
  if (!withLauncher) return always;
  return [
    ...always,
    ["a deadline", /^SyncTimeout$/, () => ({ options: { timeout: here(2500) }, happens: () => undefined })],
    ["an rsync that is killed here", /^RsyncFailed$/, now(() => signalAll(programs(/^rsync$/), "SIGKILL"))],
    // As with ssh: rsync here says that its input has ended, or that it could not write, whatever it sees first.
    [
      "an rsync that is killed on the host",
      /^(ConnectionLost|RsyncFailed)$/,
      now(() => signalAll(receivers(), "SIGKILL")),
    ],
    ["a launcher that is killed", /^ControllerExhausted$/, now(() => signalAll([launcherPid()], "SIGKILL"))],
  ];
}

function aborted(): Fault {
  const stop = new AbortController();
  return { options: { signal: stop.signal }, happens: () => stop.abort() };
}

function receivers(): number[] {
  return onHost().filter((pid) => nameOf(pid) === "rsync");
}

/** What works for us on the host, also what nobody is the parent of any more. */
function onHost(): number[] {
  const pids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  return pids.filter((pid) => {
    const line = commandLine(pid);
    return (
      line.includes(join(machine.dir, ".part")) || (/rsync\0--server\0/.test(line) && folderOf(pid) === machine.dir)
    );
  });
}

function folderOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return "";
  }
}

function bytesRead(pid: number): number {
  return Number(/^rchar: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);
}
