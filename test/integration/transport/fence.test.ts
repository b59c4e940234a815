import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { hostKey } from "../../../src/model/host.ts";
import { startFleet, until, type Fleet, type FleetHost } from "../../support/fleet.ts";
import { Snapshots } from "../../support/fleet-change.ts";
import { killTree } from "../../support/fleet/processes.ts";
import type { TransportProcessOptions } from "../../support/transport-process.ts";

const program = new URL("../../support/transport-process.ts", import.meta.url).pathname;

/** Milliseconds, from when both syncs have begun. */
const ALLOWED = 4000;

/** Until its connection ends. */
const NEVER_ENDS = "exec cat > /dev/null";

interface Begin {
  readonly client?: "builtin" | "openssh";
  /** Of the one file. */
  readonly text?: string;
  readonly ready?: () => Promise<void>;
}

describe("a controller that is stopped for longer than it is allowed to work", () => {
  let fleet: Fleet;
  let idle: FleetHost;
  let busy: FleetHost;
  let socketDir: string;
  let controller: ChildProcess;
  let said: string;

  beforeEach(async () => {
    fleet = await startFleet({ hosts: 2, kind: "ports" });
    [idle, busy] = fleet.hosts as [FleetHost, FleetHost];
    socketDir = mkdtempSync(join(tmpdir(), "s-"));
  });
  afterEach(async () => {
    await killTree(controller);
    await fleet[Symbol.asyncDispose]();
    rmSync(socketDir, { recursive: true, force: true });
  });

  /** One host is synced and idle; on the other `command` has begun, and what `ready` waits for has come. */
  async function start(
    command: string,
    { client = "openssh", text = "a", ready = () => Promise.resolve() }: Begin = {},
  ): Promise<void> {
    await busy.forceCommand(`touch "${busy.dir}/started"; ${command}`);
    const snapshots = new Snapshots(join(fleet.dir, "snapshots"));
    const options: TransportProcessOptions = {
      dir: join(fleet.dir, "work"),
      socketDir,
      identity: readFileSync(fleet.identityFile, "utf8"),
      knownHosts: fleet.knownHosts,
      allowed: ALLOWED,
      client,
      hosts: [idle, busy].map((host) => ({ ...host, key: hostKey(host.address, host.port), user: fleet.user })),
      change: snapshots.change([snapshots.app("m/e/a", { "etc/a": text })]),
    };
    controller = spawn(process.execPath, [program, JSON.stringify(options)], {
      detached: true,
      stdio: ["pipe", "pipe", "inherit"],
    });
    said = "";
    controller.stdout!.setEncoding("utf8").on("data", (part: string) => (said += part));
    const begun = () => said.includes("synced") && existsSync(join(busy.dir, "started"));
    await until(begun, 60_000, "one host to be synced and one to be in the middle of it");
    await until(() => idle.sessions() > 0 && busy.sessions() > 0, 1000, "both connections to be seen");
    await ready();
    controller.stdin!.write("\n");
    await until(() => said.includes("allowed\n"), 10_000, "the time to be allowed");
  }

  function lines(): string[] {
    return said.split("\n").filter((line) => line !== "" && line !== "allowed");
  }

  test("has no connection to any host within a second of the end, and records nothing when it goes on", async () => {
    await start(NEVER_ENDS);
    controller.kill("SIGSTOP");
    await until(() => idle.sessions() + busy.sessions() === 0, ALLOWED + 1000, "all connections to end");
    await busy.forceCommand(undefined);
    controller.kill("SIGCONT");
    await until(() => lines().at(-1) === "end", 10_000, "the controller to end");
    const [first, ...later] = lines().slice(0, -1);
    expect(first).toMatch(/ synced$/);
    expect(later.map((line) => line.split(" ")[1])).toEqual(["Interrupted", "Interrupted", "Interrupted"]);
    expect(existsSync(join(busy.dir, "etc/a"))).toBe(false);
  });

  test("the same when its whole process group is stopped", async () => {
    await start(NEVER_ENDS);
    process.kill(-controller.pid!, "SIGSTOP");
    await until(() => idle.sessions() + busy.sessions() === 0, ALLOWED + 1000, "all connections to end");
  });

  test("does not believe what ended well in time and is heard of too late", async () => {
    const go = join(busy.dir, "go");
    await start(
      `until [ -e "${go}" ] || [ ! -d "${busy.dir}" ]; do sleep 0.05; done; exec sh -c "$SSH_ORIGINAL_COMMAND"`,
    );
    controller.kill("SIGSTOP");
    writeFileSync(go, "");
    await until(() => existsSync(join(busy.dir, "etc/a")), ALLOWED, "the sync to end well");
    await until(() => idle.sessions() + busy.sessions() === 0, ALLOWED + 1000, "all connections to end");
    controller.kill("SIGCONT");
    await until(() => lines().at(-1) === "end", 10_000, "the controller to end");
    expect(lines()[1]).toMatch(/ Interrupted$/);
  });

  describe("with connections of its own", () => {
    /** What a slow line does: 16 KiB at a time. */
    function slowly(): string {
      const [pipe, part] = [join(busy.dir, ".pipe"), join(busy.dir, ".part")];
      const take = `dd bs=16k count=1 of="${part}" <&5 2>/dev/null && [ -s "${part}" ]`;
      const line = `{ while ${take}; do cat "${part}"; sleep 0.02; done >"${pipe}"; } &`;
      return `[ -p "${pipe}" ] || mkfifo "${pipe}"; exec 5<&0; ${line} exec sh -c "$SSH_ORIGINAL_COMMAND" <"${pipe}" 5<&-`;
    }
    // Nothing makes it smaller on its way.
    const big = randomBytes(6_000_000).toString("base64");
    const partial = () => existsSync(join(busy.dir, "etc")) && readdirSync(join(busy.dir, "etc")).length > 0;

    test("is ended when its process group is stopped in a batch, and nothing of it goes on or comes later", async () => {
      const ready = () => until(partial, 60_000, "the batch to be in the middle");
      await start(slowly(), { client: "builtin", text: big, ready });
      const ended = once(controller, "exit");
      process.kill(-controller.pid!, "SIGSTOP");
      await until(() => idle.sessions() + busy.sessions() === 0, ALLOWED + 1500, "all connections to end");
      await until(() => !partial(), 4000, "what runs on the host to end");
      expect((await ended)[1]).toBe("SIGKILL");
      expect(lines().map((line) => line.split(" ")[1])).toEqual(["synced"]);
    });

    test("that runs ends them by itself, and is not ended", async () => {
      await start(NEVER_ENDS, { client: "builtin" });
      const [code] = await once(controller, "exit");
      expect(lines().map((line) => line.split(" ")[1] ?? line)).toEqual([
        "synced",
        "Interrupted",
        "Interrupted",
        "Interrupted",
        "end",
      ]);
      expect(code).toBe(0);
      await until(() => idle.sessions() + busy.sessions() === 0, 1000, "all connections to end");
    });
  });
});
