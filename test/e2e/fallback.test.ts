import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { FleetHost } from "../support/fleet.ts";
import { World } from "../support/world.ts";
import { textOn } from "./on-host.ts";

const WEB = "nginx/prod/web";
/** Stands in front of the host's own rsync. */
const OLD_RSYNC = `#!/bin/sh
for word do
  case $word in
    --read-batch*) echo "rsync: $word: unknown option" >&2; exit 1 ;;
    --version) echo "rsync  version 3.0.9  protocol version 30"; exit 0 ;;
  esac
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

  async function fallbacks(): Promise<(string | undefined)[]> {
    const [repo] = (await world.status()).repos;
    return [old, modern].map(({ port }) => repo!.hosts.find((host) => host.port === port)!.fallback);
  }

  test("gets its files by plain rsync, and status says why of it alone", async () => {
    await sync("1\n");
    expect(await fallbacks()).toEqual(["rsync 3.0.9 cannot read the batch", undefined]);
    const { stdout } = await world.run("status", "-o", "wide");
    const told = stdout.split("\n").filter((line) => line.includes("plain rsync: "));
    expect(told.map((line) => line.trim().split(/ +/)[0])).toEqual([`${old.address}:${old.port}`]);
  });

  test("gets a batch with the first change after its rsync was replaced and fssync restarted", async () => {
    await old.forceCommand(undefined);
    await sync("2\n");
    expect(await fallbacks()).toEqual([undefined, undefined]);
  });
});
