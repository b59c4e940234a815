import { describe, expect, test } from "vitest";
import { fileContents, inGit } from "../bench/bench-world.ts";
import { noticeDeadConnections } from "../bench/host-faults.ts";
import { heldNow, heldWhenQuiet, leftInDataDir, leftOnHosts, wrongOnHost } from "../bench/leftovers.ts";
import { Soak } from "../bench/soak.ts";
import { namespaceUnavailable, until } from "../support/fleet.ts";
import { World } from "../support/world.ts";

const HOSTS = 20;
/** Milliseconds of commits and faults. `npm run bench -- --soak 60m` goes on for longer. */
const LENGTH = 12_000;
/** Milliseconds after which everything of a cut connection has ended on its host. */
const SOON = 60_000;

describe.skipIf(namespaceUnavailable() !== undefined)("commits while connections are cut and hosts are away", () => {
  test(
    "every host ends up with what Git has, and no socket, process or file is left on either side",
    { timeout: 240_000 },
    async () => {
      const files = fileContents(5, 0);
      await using world = await World.create({
        hosts: HOSTS,
        kind: "namespace",
        files: inGit(files),
        spec: { ssh: { client: "builtin", connectTimeout: "3s" }, sync: { timeout: "3s" } },
      });
      noticeDeadConnections(world.fleet);
      const controller = await world.start();
      await world.settled(HOSTS, 60_000);
      const before = heldNow(world, controller.running);
      const options = { world, controller: controller.running, files, seed: Date.now() % 1_000_000 };
      const soak = new Soak({ ...options, pause: 500, longestFault: 8000 });

      await soak.run(LENGTH);
      await soak.calm(90_000);

      expect(soak.done.commits).toBeGreaterThan(5);
      const after = await heldWhenQuiet(world, controller.running, { deadline: SOON, before });
      expect(after.strays).toEqual([]);
      expect(after.sockets).toBeLessThanOrEqual(before.sockets);
      expect(after.children).toBeLessThanOrEqual(before.children);
      expect(after.sessions).toBeLessThanOrEqual(HOSTS);
      for (const host of world.fleet.hosts) expect(wrongOnHost(host, soak.files), host.address).toEqual([]);

      expect((await controller.stop()).code).toBe(0);
      await until(() => leftOnHosts(world).length === 0, SOON, "the hosts to be quiet").catch(() => undefined);
      expect(leftOnHosts(world)).toEqual([]);
      expect(world.processes()).toEqual([]);
      expect(leftInDataDir(world)).toEqual([]);
    },
  );
});
