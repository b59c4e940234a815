import { afterAll, beforeAll, expect, test } from "vitest";
import { configHostName, REPO_LABEL } from "../../../src/kubernetes/objects.ts";
import { until, type FleetHost } from "../../support/fleet.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";
import type { Controller } from "../../support/world.ts";
import { putOn } from "../on-host.ts";
import { asChart } from "./chart-account.ts";
import { allHave, brief } from "./seen.ts";

const WEB = "nginx/prod/web";
const FILE = "etc/app.conf";
const MANY = 500;

describeKube("objects that somebody deletes", () => {
  let kube: Kube;
  let world: KubeWorld;
  let controller: Controller;
  let rights: { kubeconfig: string };
  let hosts: readonly FleetHost[];
  let text = "1\n";

  const below = async () =>
    (await world.kubectl("get", "configapps,confighosts", "-o", "name")).split("\n").filter((line) => line !== "");
  const none = (deadline: number) =>
    until(async () => (await below()).length === 0, deadline, "all ConfigApps and ConfigHosts to be gone");
  const series = async () => (await controller.metrics()).split("\n").filter((line) => line.includes(`repo="files"`));

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
    world = await KubeWorld.create({ kube, hosts: 2, files: { [`${WEB}/${FILE}`]: text } });
    hosts = world.world.fleet.hosts;
    await world.apply();
    rights = await asChart(world);
    controller = await world.start("a", rights);
    await world.settled();
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await kube?.[Symbol.asyncDispose]();
  });

  test("a ConfigHost is there again with all that it said, and its host is not synced for it", async () => {
    const before = await world.host(hosts[0]!);
    putOn(hosts[0]!, FILE, "by hand\n");
    await world.kubectl("delete", "confighost", world.hostName(hosts[0]!));
    await world.when(async () => (await world.host(hosts[0]!))?.status?.state === "Synced", "the object again", 10_000);
    const after = await world.host(hosts[0]!);
    expect(after?.metadata?.uid).not.toBe(before?.metadata?.uid);
    expect(after?.metadata?.ownerReferences).toEqual(before?.metadata?.ownerReferences);
    const { conditions, ...said } = before!.status!;
    expect(after?.status).toMatchObject(said);
    expect(conditions).toHaveLength(1);
    expect(brief(after, "Ready")).toBe("True Synced");
    text = "2\n";
    await world.world.repo.commit({ [`${WEB}/${FILE}`]: text });
    await world.settled();
    expect(allHave(hosts, FILE, text)).toBe(true);
  });

  test("a ConfigApp is there again with all that it said", async () => {
    const before = await world.app();
    await world.kubectl("delete", "configapp", world.appName());
    await world.when(
      async () => (await world.app())?.status?.hosts?.synced === 2,
      "the object again with its counts",
      10_000,
    );
    const after = await world.app();
    expect(after?.metadata?.uid).not.toBe(before?.metadata?.uid);
    const { conditions, observedGeneration: _, ...said } = before!.status!;
    expect(after?.status).toMatchObject(said);
    expect(conditions).toHaveLength(1);
    expect(brief(after, "Ready")).toBe("True Synced");
  });

  test("with the ConfigRepo go its objects and its series; the files on the hosts stay", async () => {
    expect((await series()).length).toBeGreaterThan(0);
    await world.kubectl("delete", "configrepo", "files");
    await none(10_000);
    expect(allHave(hosts, FILE, text)).toBe(true);
    await until(async () => (await series()).length === 0, 5000, "the series to be gone").catch(
      async (error: unknown) => {
        throw new Error(`${String(error)}: ${(await series()).join("\n")}`, { cause: error });
      },
    );
    expect(world.world.processes()).toEqual([]);
  });

  test("a ConfigRepo of the same name made anew works, and takes nothing over from the one before", async () => {
    await world.apply();
    await world.settled();
    const uid = (await world.repo()).metadata?.uid;
    expect((await world.app())?.metadata?.ownerReferences).toMatchObject([{ uid }]);
    expect((await world.app())?.status?.history).toHaveLength(1);
    text = "3\n";
    await world.world.repo.commit({ [`${WEB}/${FILE}`]: text });
    await world.settled();
    expect(allHave(hosts, FILE, text)).toBe(true);
    expect((await series()).length).toBeGreaterThan(0);
  });

  test("what a ConfigRepo leaves that is deleted while no controller runs goes when one starts", async () => {
    await controller.stop();
    await world.kubectl("delete", "configrepo", "files");
    expect((await below()).length).toBe(3);
    controller = await world.start("b", rights);
    await none(10_000);
    expect(allHave(hosts, FILE, text)).toBe(true);
  });

  test("what a ConfigRepo leaves that is made anew while no controller runs is taken for another one's", async () => {
    await world.apply();
    await world.settled();
    await controller.stop();
    await world.kubectl("delete", "configrepo", "files");
    await world.apply();
    const uid = (await world.repo()).metadata?.uid;
    controller = await world.start("c", rights);
    await world.settled();
    for (const object of [await world.app(), await world.host(hosts[0]!)]) {
      expect(object?.metadata?.ownerReferences).toMatchObject([{ uid }]);
    }
    // All files were sent: nobody knew of a host what it has.
    expect(controller.logged("SyncSucceeded")).toHaveLength(2);
  });

  test("a ConfigRepo that somebody's finalizer holds is gone all the same: its work stops, its objects go", async () => {
    const finalizers = (value: string) => world.kubectl("patch", "configrepo", "files", "--type=merge", "-p", value);
    await finalizers('{"metadata":{"finalizers":["example.com/hold"]}}');
    await world.kubectl("delete", "configrepo", "files", "--wait=false");
    await none(20_000);
    await world.world.repo.commit({ [`${WEB}/${FILE}`]: "too late\n" });
    await until(async () => (await series()).length === 0, 10_000, "the repo's series to go");
    expect(allHave(hosts, FILE, text)).toBe(true);
    await finalizers('{"metadata":{"finalizers":null}}');
    text = "back\n";
    await world.world.repo.commit({ [`${WEB}/${FILE}`]: text });
    await world.apply();
    await world.settled();
    expect(allHave(hosts, FILE, text)).toBe(true);
  }, 60_000);

  test(`${MANY} hosts of a ConfigRepo that is deleted are gone within seconds`, async () => {
    const document = { ...(await world.repo()), metadata: { name: "many" }, status: undefined } as { spec?: object };
    await world.kubectl(
      "apply",
      "-f",
      await world.write("many.json", { ...document, spec: { ...document.spec, suspend: true } }),
    );
    const { metadata } = (await world.get("configrepo", "many")) as { metadata: { uid: string } };
    const client = kube.client();
    const path = `/apis/fssync.dev/v1alpha1/namespaces/${world.namespace}/confighosts`;
    const owner = { apiVersion: "fssync.dev/v1alpha1", kind: "ConfigRepo", name: "many", uid: metadata.uid };
    const make = (address: string) => ({
      apiVersion: "fssync.dev/v1alpha1",
      kind: "ConfigHost",
      metadata: {
        name: configHostName("many", { address, port: 22 }),
        labels: { [REPO_LABEL]: "many" },
        ownerReferences: [{ ...owner, controller: true, blockOwnerDeletion: false }],
      },
      spec: { repoRef: { name: "many" }, address, port: 22 },
    });
    const addresses = Array.from({ length: MANY }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
    await Promise.all(addresses.map((address) => client.json(path, { method: "POST", body: make(address) })));
    const started = performance.now();
    await world.kubectl("delete", "configrepo", "many");
    const left = async () => (await below()).filter((name) => name.includes("/many.")).length;
    await until(async () => (await left()) === 0, 10_000, "the objects to be gone");
    process.stdout.write(`${MANY} ConfigHosts gone after ${Math.round(performance.now() - started)} ms\n`);
    expect((await below()).length).toBe(3);
    await world.settled();
  });
});
