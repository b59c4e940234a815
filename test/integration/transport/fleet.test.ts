import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { namespaceUnavailable, startFleet, type Fleet, type FleetHost } from "../../support/fleet.ts";

const unavailable = namespaceUnavailable();
if (unavailable !== undefined) console.log(`fleet: namespace hosts are skipped: ${unavailable}`);

function ssh(fleet: Fleet, { address, port }: FleetHost, command: string) {
  const knownHosts = join(fleet.dir, "known_hosts");
  writeFileSync(knownHosts, fleet.knownHosts);
  const options = ["BatchMode=yes", `UserKnownHostsFile=${knownHosts}`, "ConnectTimeout=1"].flatMap((each) => [
    "-o",
    each,
  ]);
  const target = ["-i", fleet.identityFile, "-p", String(port), `${fleet.user}@${address}`, command];
  const [program, ...args] = [...fleet.prefix, "ssh", "-F", "/dev/null", ...options, ...target];
  return spawnSync(program!, args, { encoding: "utf8" });
}

describe.each(["ports", "namespace"] as const)("a fleet of %s", (kind) => {
  test.skipIf(kind === "namespace" && unavailable !== undefined)("has hosts that fall, freeze and end", async () => {
    const fleet = await startFleet({ hosts: 1, kind });
    try {
      const second = await fleet.add();
      for (const [index, host] of [fleet.hosts[0]!, second].entries()) {
        expect(ssh(fleet, host, `echo ${index} > '${host.root}/file'`)).toMatchObject({ status: 0, stderr: "" });
        expect(readFileSync(join(host.dir, "file"), "utf8")).toBe(`${index}\n`);
      }
      await second.down();
      expect(ssh(fleet, second, "true").stderr).toMatch(/refused|No route/);
      await second.up();
      await second.freeze();
      expect(ssh(fleet, second, "true").stderr).toContain("timed out");
      expect(ssh(fleet, fleet.hosts[0]!, "true").status).toBe(0);
      await second.thaw();
      expect(ssh(fleet, second, "true").status).toBe(0);
    } finally {
      await fleet[Symbol.asyncDispose]();
    }
    expect(existsSync(fleet.dir)).toBe(false);
  });
});
