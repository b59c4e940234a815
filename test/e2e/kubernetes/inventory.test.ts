import { afterAll, beforeAll, expect, test } from "vitest";
import type { FleetHost } from "../../support/fleet.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";
import { allHave, brief } from "./seen.ts";

const WEB = "nginx/prod/web";
const FILE = "etc/app.conf";

describeKube("a pod that has nothing on its disk knows what the last one knew (faults 17 and 18)", () => {
  let kube: Kube;
  let world: KubeWorld;
  let hosts: readonly FleetHost[];

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
    world = await KubeWorld.create({ kube, hosts: 2, files: { [`${WEB}/${FILE}`]: "1\n" } });
    hosts = [...world.world.fleet.hosts];
    await world.apply();
    const controller = await world.start("first");
    await world.settled();
    await controller.stop();
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await kube?.[Symbol.asyncDispose]();
  });

  test.for<[string, () => Promise<void>, string]>([
    ["empty", () => world.world.assign(WEB, []), "InventorySuspicious"],
    ["an error", async () => world.world.cmdb.behave({ status: 500 }), "InventoryFailed"],
  ])("the CMDB's answer is %s: every host keeps its object and gets the next commit", async ([what, spoil, reason]) => {
    await spoil();
    const uids = await Promise.all(hosts.map(async (host) => (await world.host(host))?.metadata?.uid));
    const controller = await world.start(`after ${what}`.replace(/\W/g, "-"));
    await world.world.repo.commit({ [`${WEB}/${FILE}`]: `${what}\n` });
    await world.when(
      async () => brief(await world.repo(), "InventoryFailed") === `True ${reason}`,
      `it to be ${reason}`,
    );
    await world.when(async () => allHave(hosts, FILE, `${what}\n`), "the hosts to have the commit");
    expect(await Promise.all(hosts.map(async (host) => (await world.host(host))?.metadata?.uid))).toEqual(uids);
    await controller.stop();
  });
});
