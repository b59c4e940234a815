import { afterAll, beforeAll, expect, test } from "vitest";
import { KubeWorld } from "../../support/kube-world.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";
import type { Ran } from "../../support/world.ts";

const WEB = "nginx/prod/web";

describeKube("commands beside a controller in Kubernetes", () => {
  let kube: Kube;
  let world: KubeWorld;

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
    world = await KubeWorld.create({ kube, hosts: 1, files: { [`${WEB}/etc/app.conf`]: "1\n" } });
    await world.apply();
    await world.start("a");
    await world.settled();
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await kube?.[Symbol.asyncDispose]();
  });

  const run = (args: readonly string[], env: Record<string, string> = {}): Promise<Ran> =>
    world.world.spawnBare(args, { KUBECONFIG: kube.kubeconfig, ...env }).ended;
  /** As `kubectl exec` into the pod of the leader: what the chart's environment says holds. */
  const inPod = (...args: string[]) => {
    const env = { FSSYNC_KUBERNETES: "true", FSSYNC_NAMESPACE: world.namespace };
    return run(args, { ...env, FSSYNC_DATA_DIR: world.dataDir("a") });
  };

  test("sync, plan, resync and status work in the leader's pod, without a file", async () => {
    const accepted = { code: 0, stdout: "Accepted: 1 host is synced in full.\n" };
    expect(await inPod("resync", WEB)).toMatchObject(accepted);
    expect(await run(["resync", WEB, "--kubernetes", "--data-dir", world.dataDir("a")])).toMatchObject(accepted);
    expect(await inPod("sync", "--full")).toMatchObject({ code: 0 });
    expect(await inPod("plan")).toMatchObject({ code: 0, stdout: expect.stringContaining("Nothing to do") as string });
    expect(await inPod("status")).toMatchObject({ code: 0, stdout: expect.stringContaining("1 Synced") as string });
  });

  test("a ConfigRepo that is suspended is named by each of them", async () => {
    await world.kubectl("patch", "configrepo", "files", "--type=merge", "-p", '{"spec":{"suspend":true}}');
    const said = "ConfigRepo files is suspended: nothing is synced there.\n";
    await world.when(async () => (await inPod("sync")).stdout === said, "sync to say so");
    expect(await inPod("resync", WEB)).toMatchObject({ code: 0, stdout: said });
    expect((await inPod("plan")).stdout).toMatch(/^files .* suspended: /);
    expect((await inPod("status")).stdout).toMatch(/^files .* suspended {2}1 host/);
    await world.kubectl("patch", "configrepo", "files", "--type=merge", "-p", '{"spec":{"suspend":false}}');
    await world.when(async () => (await inPod("sync")).stdout !== said, "sync to go on");
  });

  test("status where there is no ConfigRepo says where it looked", async () => {
    const empty = await kube.createNamespace("empty");
    const there = await run(["status", "--kubernetes", "--namespace", empty]);
    expect(there).toMatchObject({ code: 0, stdout: `There is no ConfigRepo in namespace ${empty}.\n` });
    const everywhere = await inPod("status", "--all-namespaces");
    expect(everywhere).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`${world.namespace}/files`) as string,
    });
  });

  test("a namespace on the command line is of effect or refused", async () => {
    for (const [flags, said] of [
      [["--namespace", "x"], "--namespace is of use with --kubernetes only"],
      [["--all-namespaces"], "--all-namespaces is of use with --kubernetes only"],
      [["--kubernetes", "--all-namespaces", "--namespace", "x"], "contradict each other"],
    ] as const)
      expect(await run(["status", ...flags])).toMatchObject({
        code: 1,
        stderr: expect.stringContaining(said) as string,
      });
    const of = { FSSYNC_ALL_NAMESPACES: "true", FSSYNC_KUBERNETES: "true" };
    const one = await run(["status", "--namespace", "x"], of);
    expect(one).toMatchObject({ code: 0, stdout: "There is no ConfigRepo in namespace x.\n" });
    // The environment alone is no mistake.
    const outside = await run(["status", "--data-dir", world.dataDir("none")], { FSSYNC_NAMESPACE: "x" });
    expect(outside).toMatchObject({ code: 0, stderr: "" });
  });
});
