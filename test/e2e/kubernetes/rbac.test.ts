import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { until } from "../../support/fleet.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { describeOwnKube, startKube, type Kube } from "../../support/kube.ts";
import type { Controller } from "../../support/world.ts";
import { textOn } from "../on-host.ts";
import { asChart, grant } from "./chart-account.ts";
import { brief, condition } from "./seen.ts";

const WEB = "nginx/prod/web";
const FILE = "etc/app.conf";

describeOwnKube("what the controller may not do, it says, and goes on when it may", () => {
  let kube: Kube;
  let world: KubeWorld;
  let controller: Controller;

  /** Waits for a line of the log, at least a warning, that has all of these words. */
  const says = (...words: string[]) =>
    until(
      () =>
        controller.log.some(
          (line) =>
            ["warn", "error"].includes(String(line["level"])) && words.every((word) => told(line).includes(word)),
        ),
      20_000,
      `the log to say ${words.join(", ")}`,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}; it says\n${controller.running.stderr}`, { cause: error });
    });
  const told = (line: Record<string, unknown>) => `${String(line["error"])} ${String(line["message"])}`;

  beforeAll(async () => {
    kube = await startKube();
    world = await KubeWorld.create({ kube, hosts: 1, files: { [`${WEB}/${FILE}`]: "1\n" } });
  });
  afterEach(async () => {
    await controller.stop();
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await kube?.[Symbol.asyncDispose]();
  });

  test("without the CRDs it says so, and begins when they are there", async () => {
    controller = await world.start("a", await asChart(world));
    await says("fssync.dev", "install the CRDs");
    await kube.applyCrds();
    await world.apply();
    await world.settled(1);
    expect(textOn(world.world.fleet.hosts[0]!, FILE)).toBe("1\n");
  }, 60_000);

  test("without the rule for Leases it is not ready, and says which right it lacks", async () => {
    const rights = await asChart(world, { without: "leases" });
    controller = await world.launch("b", rights);
    await says("fssync", "leases.coordination.k8s.io", `namespace ${world.namespace}`, "may not get");
    expect((await controller.get("/readyz")).status).toBe(503);
    expect((await controller.get("/healthz")).status).toBe(200);
    await grant(world);
    await controller.ready();
    await until(async () => (await controller.metric("fssync_leader")) === 1, 15_000, "it to lead");
  }, 60_000);

  test("without the rule for Secrets the hosts fail with the right that is lacking, and go on when it is there", async () => {
    const rights = await asChart(world, { without: "secrets" });
    controller = await world.start("c", rights);
    await world.world.repo.commit({ [`${WEB}/${FILE}`]: "2\n" });
    const host = world.world.fleet.hosts[0]!;
    await world.when(async () => brief(await world.host(host), "Ready") === "False SecretInvalid", "SecretInvalid");
    expect(condition(await world.host(host), "Ready")?.message).toMatch(/may not list secrets in namespace/);
    await says("may not list secrets", `namespace ${world.namespace}`);
    await grant(world);
    await until(() => textOn(host, FILE) === "2\n", 35_000, "the commit on the host");
  }, 90_000);

  test("objects that may not be deleted do not hold up the end", async () => {
    const rights = await asChart(world);
    controller = await world.start("e", rights);
    await world.settled(1);
    await grant(world, { withoutVerb: "deletecollection" });
    await world.kubectl("delete", "configrepo", "files");
    await says("may not deletecollection configapps", `namespace ${world.namespace}`);
    const told = performance.now();
    expect((await controller.stop()).code).toBe(0);
    expect(performance.now() - told).toBeLessThan(8000);
    await grant(world);
    await world.apply();
  }, 60_000);

  test("without the rule for status the files go on, the log says what is lacking, and the records come later", async () => {
    const rights = await asChart(world);
    controller = await world.start("d", rights);
    await world.settled(1);
    await grant(world, { without: "configapps/status" });
    await world.world.repo.commit({ [`${WEB}/${FILE}`]: "3\n" });
    await until(() => textOn(world.world.fleet.hosts[0]!, FILE) === "3\n", 40_000, "the commit on the host");
    await says("may not patch configapps/status.fssync.dev", `namespace ${world.namespace}`);
    await grant(world);
    await world.settled(1);
  }, 90_000);
});
