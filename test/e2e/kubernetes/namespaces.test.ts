import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../../support/fleet.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";
import type { Controller } from "../../support/world.ts";
import { textOn } from "../on-host.ts";
import { asChart } from "./chart-account.ts";

const WEB = "nginx/prod/web";
const FILE = "etc/app.conf";

describeKube("ConfigRepos of one name in two namespaces, with --all-namespaces", () => {
  let kube: Kube;
  let here: KubeWorld;
  let there: KubeWorld;
  let controller: Controller;

  const hosts = () => [textOn(here.world.fleet.hosts[0]!, FILE), textOn(there.world.fleet.hosts[0]!, FILE)];
  const suspend = (world: KubeWorld, on: boolean) =>
    world.kubectl("patch", "configrepo", "files", "--type=merge", "-p", JSON.stringify({ spec: { suspend: on } }));
  const suspended = ({ namespace }: KubeWorld) => {
    const name = `${namespace}/files`;
    return controller.metric(`fssync_suspended{repo="${name}",kind="ConfigRepo",name="${name}"}`);
  };

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
    [here, there] = (await Promise.all(
      ["here\n", "there\n"].map((text) => KubeWorld.create({ kube, hosts: 1, files: { [`${WEB}/${FILE}`]: text } })),
    )) as [KubeWorld, KubeWorld];
    await Promise.all([here.apply(), there.apply()]);
    const rights = await asChart(here, { values: { rbac: { scope: "cluster" } } });
    controller = await here.start("a", { ...rights, args: ["--all-namespaces"] });
    await Promise.all([here.settled(), there.settled()]);
  });
  afterAll(async () => {
    for (const part of [here, there, kube]) await part?.[Symbol.asyncDispose]();
  });

  test("each has its own Git, Secret, hosts and objects", async () => {
    expect(hosts()).toEqual(["here\n", "there\n"]);
    for (const world of [here, there]) {
      expect((await world.repo()).status).toMatchObject({ apps: 1, hosts: 1, synced: 1 });
      expect((await world.kubectl("get", "configapps,confighosts", "-o", "name")).trim().split("\n")).toHaveLength(2);
    }
  });

  test("suspended, asked for and deleted it leaves the other alone", async () => {
    await suspend(here, true);
    await until(async () => (await suspended(here)) === 1, 10_000, "one to be suspended");
    expect(await suspended(there)).toBe(0);
    await there.world.repo.commit({ [`${WEB}/${FILE}`]: "there 2\n" });
    await there.settled();
    await there.request("configapp", there.appName(), "t");
    await there.when(async () => (await there.app())?.status?.lastHandledReconcileAt === "t", "the token to be echoed");
    expect((await here.app())?.status?.lastHandledReconcileAt).toBeUndefined();
    expect(hosts()).toEqual(["here\n", "there 2\n"]);

    await there.kubectl("delete", "configrepo", "files");
    const left = async () => (await there.kubectl("get", "configapps,confighosts", "-o", "name")).trim();
    await until(async () => (await left()) === "", 10_000, "the objects to be gone");
    expect((await here.app())?.status?.state).toBe("Synced");
    await suspend(here, false);
    await here.world.repo.commit({ [`${WEB}/${FILE}`]: "here 2\n" });
    await here.settled();
    expect(hosts()).toEqual(["here 2\n", "there 2\n"]);
  });
});
