import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { AppKey } from "../../src/model/app.ts";
import { hostKey, type Host } from "../../src/model/host.ts";
import type { AppChange, Transport } from "../../src/ports/transport.ts";
import { startFleet, until, type Fleet, type FleetHost } from "../support/fleet.ts";
import { Snapshots } from "../support/fleet-change.ts";
import { run } from "../support/fleet/processes.ts";
import { commandsOn, unplug } from "../support/host-commands.ts";
import { here } from "../support/machine.ts";
import { transportFactory, type TransportWay } from "../support/transport-factory.ts";
import type { TransportChildOptions } from "./transport-child.ts";

const APP: AppKey = "nginx/prod/web";
const child = new URL("transport-child.ts", import.meta.url).pathname;

/** What every transport promises about what is in the middle of it when something ends, on a real sshd with a real rsync. */
export function transportCutsContract(name: string, way: TransportWay): void {
  describe(`${name} keeps the contract of Transport about what is cut in the middle`, () => {
    // So much, and nothing that gets smaller: it cannot be on the host before the end.
    const big = randomBytes(8_000_000);
    let fleet: Fleet;
    let machine: FleetHost;
    let host: Host;
    let snapshots: Snapshots;
    let dir: string;
    let transport: Transport;

    beforeAll(async () => {
      fleet = await startFleet({ hosts: 0, kind: "ports" });
      snapshots = new Snapshots(join(fleet.dir, "snapshots"));
    });
    afterAll(() => fleet[Symbol.asyncDispose]());

    beforeEach(async () => {
      machine = await fleet.add();
      const { address, port, root } = machine;
      host = { key: hostKey(address, port), address, port, user: fleet.user, root };
      dir = join(fleet.dir, `transport-${port}`);
      transport = make();
      mkdirSync(at("etc"));
      writeFileSync(at("etc/big"), "old");
    });
    afterEach(async () => {
      await transport[Symbol.asyncDispose]();
      await machine.down();
    });

    const at = (path: string) => join(machine.dir, path);
    const temporary = () =>
      readdirSync(at("etc"), { recursive: true }).filter((each) => String(each).includes(".big."));

    function secret(): [string, string][] {
      return [
        ["identity", readFileSync(fleet.identityFile, "utf8")],
        ["known_hosts", fleet.knownHosts],
      ];
    }

    function make(): Transport {
      const keys = () => Promise.resolve(new Map(secret()));
      return transportFactory(way)({ dir, secret: keys, hostKeys: "strict", connectTimeout: 5000 });
    }

    /** The host's rsync gets 16 KiB at a time. */
    async function slowLine(): Promise<void> {
      const bin = `${machine.dir}-bin`;
      mkdirSync(bin);
      writeFileSync(join(bin, "rsync"), slowly(run("which", ["rsync"]).trim()), { mode: 0o755 });
      await machine.forceCommand(`PATH="${bin}:$PATH"; export PATH; eval "$SSH_ORIGINAL_COMMAND"`);
    }

    async function apply(app: AppChange) {
      await using prepared = await transport.prepare(snapshots.change([app]));
      const { outcome } = await transport.apply(host, prepared, {
        timeout: 60_000,
        signal: new AbortController().signal,
      });
      return outcome.get(APP);
    }

    const bigChange = () => snapshots.app(APP, { "etc/big": { text: big }, "etc/small": "s" });

    async function nothingRuns() {
      await until(() => commandsOn(machine).length === 0, here(5000), "all that was started on the host to end");
      const text = readFileSync(at("etc/big"), "latin1");
      expect([text.slice(0, 9), temporary()]).toEqual(["old", []]);
    }

    async function nextSyncIsWhole() {
      await machine.forceCommand(undefined);
      expect(await apply(bigChange())).toBeNull();
      expect(readFileSync(at("etc/big")).equals(big)).toBe(true);
      expect(readdirSync(at("etc")).toSorted()).toEqual(["big", "small"]);
    }

    test("a host that is slow gets it all", async () => {
      await slowLine();
      const text = big.subarray(0, 300_000);
      expect(await apply(snapshots.app(APP, { "etc/big": { text }, "etc/small": "s" }))).toBeNull();
      expect(readFileSync(at("etc/big")).equals(text)).toBe(true);
    });

    test("a connection that is cut in the middle leaves nothing running on the host, the old file whole", async () => {
      await slowLine();
      const outcome = apply(bigChange());
      await until(() => temporary().length > 0, 20_000, "a partial file");
      unplug(machine);
      expect(await outcome).toMatchObject({ reason: "ConnectionLost" });
      await nothingRuns();
      await nextSyncIsWhole();
    });

    test("a controller that is killed in the middle leaves nothing running on the host, the old file whole", async () => {
      await slowLine();
      const options: TransportChildOptions = {
        way,
        dir,
        secret: secret(),
        host,
        change: snapshots.change([bigChange()]),
      };
      const controller = spawn(process.execPath, [child, JSON.stringify(options)], {
        stdio: ["ignore", "ignore", "inherit"],
      });
      await until(() => temporary().length > 0, 20_000, "a partial file");
      controller.kill("SIGKILL");
      await nothingRuns();
      await nextSyncIsWhole();
    });
  });
}

/** A program in the place of rsync. */
function slowly(rsync: string): string {
  return `#!/bin/sh
mkfifo "$0.$$"
exec 3<&0
while dd bs=16k count=1 of="$0.part.$$" && [ -s "$0.part.$$" ]; do cat "$0.part.$$"; sleep 0.01; done \\
  <&3 >"$0.$$" 2>/dev/null &
${rsync} "$@" <"$0.$$" 3<&-
code=$?
kill $!
exit $code
`;
}
