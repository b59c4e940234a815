import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { StatusReport } from "../../src/plan/status-report.ts";
import type { FleetHost } from "../support/fleet.ts";
import { World } from "../support/world.ts";
import { textOn } from "./on-host.ts";

const WEB = "nginx/prod/web";
/** Stands in front of the host's own rsync. */
const OLD_RSYNC = `#!/bin/sh
for word do
  case $word in --read-batch*) echo "rsync: $word: unknown option" >&2; exit 1 ;; esac
done
PATH=\${PATH#*:} exec rsync "$@"
`;

describe("a host whose rsync reads no batches, beside one whose does", () => {
  let world: World;
  let old: FleetHost;
  let modern: FleetHost;

  beforeAll(async () => {
    world = await World.create({
      hosts: 2,
      kind: "ports",
      files: { [`${WEB}/etc/a.conf`]: "0\n" },
    });
    [old, modern] = world.fleet.hosts as [FleetHost, FleetHost];
    const programs = join(world.dir, "old-programs");
    mkdirSync(programs);
    writeFileSync(join(programs, "rsync"), OLD_RSYNC);
    chmodSync(join(programs, "rsync"), 0o755);
    await old.forceCommand(`/bin/sh -c 'PATH=${programs}:$PATH exec sh -c "$SSH_ORIGINAL_COMMAND"' sh`);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  async function sync(text: string): Promise<void> {
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: text });
    const { code, stderr } = await world.run("sync");
    expect(code, stderr).toBe(0);
    for (const host of [old, modern]) expect(textOn(host, "etc/a.conf")).toBe(text);
  }

  async function fallbackOf({ address, port }: FleetHost): Promise<string | undefined> {
    const { stdout } = await world.run("status", "-o", "json");
    const { repos } = JSON.parse(stdout) as StatusReport;
    return repos[0]!.hosts.find((host) => host.address === address && host.port === port)!.fallback;
  }

  test("gets its files by plain rsync, and status says why of it alone", async () => {
    await sync("1\n");
    expect(await fallbackOf(old)).toMatch(/rsync/);
    expect(await fallbackOf(modern)).toBeUndefined();
    const { stdout } = await world.run("status", "-o", "wide");
    const told = stdout.split("\n").filter((line) => line.includes("plain rsync: "));
    expect(told.map((line) => line.trim().split(/ +/)[0])).toEqual([`${old.address}:${old.port}`]);
    expect((await world.run("status")).stdout).not.toContain("plain rsync");
  });

  test("gets a batch with the first change after its rsync was replaced and fssync restarted", async () => {
    await old.forceCommand(undefined);
    await sync("2\n");
    expect(await fallbackOf(old)).toBeUndefined();
  });
});
