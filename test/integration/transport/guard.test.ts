import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { hostKey } from "../../../src/model/host.ts";
import { RsyncTransport } from "../../../src/transport/rsync-transport.ts";
import { realClock } from "../../support/fleet-clock.ts";
import { Snapshots } from "../../support/fleet-change.ts";
import { startFleet } from "../../support/fleet.ts";
import { hasCommand, run } from "../../support/fleet/processes.ts";
import { recordingLogger, WARN } from "../../support/log-lines.ts";

test("a host that cannot tell what somebody changed is said once, with what follows from it", async () => {
  await using fleet = await startFleet({ hosts: 1, kind: "ports" });
  const machine = fleet.hosts[0]!;
  const bin = join(fleet.dir, "bin");
  mkdirSync(bin);
  for (const each of ["sh", "rsync", "xargs", "id"].filter(hasCommand))
    symlinkSync(run("which", [each]).trim(), join(bin, each));
  await machine.forceCommand(`PATH="${bin}"; export PATH; eval "$SSH_ORIGINAL_COMMAND"`);
  const { log, lines } = recordingLogger();
  const secret = new Map([
    ["identity", readFileSync(fleet.identityFile, "utf8")],
    ["known_hosts", fleet.knownHosts],
  ]);
  await using transport = new RsyncTransport({
    dir: join(fleet.dir, "transport"),
    socketDir: join(fleet.dir, "s"),
    secret: () => Promise.resolve(secret),
    hostKeys: "strict",
    sudo: false,
    client: "openssh",
    connectTimeout: 5000,
    clock: realClock,
    log,
  });
  const { address, port, root } = machine;
  const host = { key: hostKey(address, port), address, port, user: fleet.user, root };
  const snapshots = new Snapshots(join(fleet.dir, "snapshots"));
  writeFileSync(join(machine.dir, "a"), "by hand");
  for (const text of ["1", "2"]) {
    const app = { ...snapshots.app("nginx/prod/web", { a: text }), replaces: [{ path: "a", checksums: [] }] };
    await using prepared = await transport.prepare(snapshots.change([app]));
    const signal = new AbortController().signal;
    const { outcome } = await transport.apply(host, prepared, { timeout: 20_000, signal });
    expect([...outcome.values()]).toEqual([null]);
  }
  const said = lines.filter(({ level }) => level >= WARN);
  expect(said).toMatchObject([
    { level: WARN, host: host.key, msg: "files that somebody changed on the host are not kept" },
  ]);
  expect(said[0]!.next).toContain("they are overwritten");
});
