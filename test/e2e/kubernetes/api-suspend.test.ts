import { afterAll, beforeAll, expect, test } from "vitest";
import type { Suspension } from "../../../src/http/schemas/suspension.ts";
import type { Operation } from "../../../src/http/schemas/operation.ts";
import type { StatusReport } from "../../../src/plan/status-report.ts";
import { until, type FleetHost } from "../../support/fleet.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { Gate } from "../../support/kube/gate.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";
import type { Controller } from "../../support/world.ts";
import { get, post, refused } from "../api/ask.ts";
import { textOn } from "../on-host.ts";
import { asChart } from "./chart-account.ts";
import { allHave } from "./seen.ts";

const WEB = "nginx/prod/web";
const APP = { repo: "files", mod: "nginx", env: "prod", app: "web" };
const FILE = "etc/app.conf";

describeKube("suspend and resume over the API", () => {
  let kube: Kube;
  let world: KubeWorld;
  let controller: Controller;
  let rights: { kubeconfig: string };
  let hosts: [FleetHost, FleetHost];
  let commits = 1;

  const commit = async (): Promise<string> => {
    const text = `${++commits}\n`;
    await world.world.repo.commit({ [`${WEB}/${FILE}`]: text });
    return text;
  };
  const taken = async () => {
    const head = await world.world.repo.commitOf("main");
    const seen = async () => (await world.repo()).status?.revision?.endsWith(`:${head}`) === true;
    await world.when(seen, "the commit to be seen");
  };
  const listed = async () => (await get<{ items: Suspension[] }>(controller, "/api/v1/suspensions")).body.items;
  const specOf = async (kind: string, name: string) => {
    const found = (await world.get(kind, name)) as {
      spec: { suspend?: boolean };
      metadata: { annotations?: Record<string, string> };
    };
    const { annotations = {} } = found.metadata;
    return [found.spec.suspend, annotations["fssync.dev/suspended-by"], annotations["fssync.dev/suspend-reason"]];
  };

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
    world = await KubeWorld.create({
      kube,
      hosts: 2,
      files: { [`${WEB}/${FILE}`]: "1\n" },
      // Longer than a term: a host that hangs is waited for to its end.
      spec: { ssh: { connectTimeout: "60s" } },
    });
    hosts = world.world.fleet.hosts.slice(0, 2) as [FleetHost, FleetHost];
    await world.apply();
    rights = await asChart(world);
    controller = await world.start("a", rights);
    await world.settled();
  }, 180_000);
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await kube?.[Symbol.asyncDispose]();
  });

  test("write spec.suspend of the ConfigApp, with who and why, and are in effect when they are answered", async () => {
    const { status, body } = await post<Suspension>(controller, "/api/v1/suspend", { ...APP, reason: "release" });
    expect([status, body]).toMatchObject([200, { ...APP, suspended: true, by: "local", reason: "release" }]);
    expect(body.since).toMatch(/^\d{4}-.*Z$/);
    expect(await specOf("configapp", world.appName())).toEqual([true, "local", "release"]);
    expect(await controller.metric(`fssync_suspended{repo="files",kind="ConfigApp",name="${WEB}"}`)).toBe(1);
    expect(await listed()).toEqual([body]);
    const before = textOn(hosts[0], FILE)!;
    const text = await commit();
    await taken();
    await world.when(async () => (await world.app())?.status?.state === "Suspended", "the app to say so");
    expect(allHave(hosts, FILE, before)).toBe(true);

    expect((await post<Suspension>(controller, "/api/v1/resume", APP)).body).toEqual({ ...APP, suspended: false });
    expect(await specOf("configapp", world.appName())).toEqual([false, undefined, undefined]);
    await until(() => allHave(hosts, FILE, text), 20_000, "the app to go on");
    expect(await listed()).toEqual([]);
    await world.settled();
  }, 60_000);

  test("of a host and of the repo hold for the controller that comes next, which lists and lifts them", async () => {
    const [here] = hosts;
    const host = `${here.address}:${here.port}`;
    await post(controller, "/api/v1/suspend", { repo: "files", host });
    await post(controller, "/api/v1/suspend", { repo: "files", reason: "move" });
    expect(await specOf("confighost", world.hostName(here))).toEqual([true, "local", undefined]);
    expect(await specOf("configrepo", "files")).toEqual([true, "local", "move"]);
    const before = textOn(here, FILE)!;
    await controller.kill();
    const text = await commit();
    controller = await world.start("b", rights);
    const metric = 'fssync_suspended{repo="files",kind="ConfigRepo",name="files"}';
    await until(async () => (await controller.metric(metric)) === 1, 60_000, "the next one to lead");
    expect(await listed()).toMatchObject([
      { repo: "files", suspended: true, by: "local", reason: "move" },
      { repo: "files", address: here.address, port: here.port, by: "local" },
    ]);
    await post(controller, "/api/v1/resume", { repo: "files" });
    await until(() => textOn(hosts[1], FILE) === text, 20_000, "the other host");
    expect(textOn(here, FILE)).toBe(before);
    await post(controller, "/api/v1/resume", { repo: "files", host });
    await until(() => textOn(here, FILE) === text, 20_000, "the host");
    await world.settled();
  }, 120_000);

  test("what kubectl suspends is listed and lifted too; twice is no error", async () => {
    await world.kubectl("patch", "configapp", world.appName(), "--type=merge", "-p", '{"spec":{"suspend":true}}');
    await until(async () => (await listed()).length === 1, 20_000, "it to be listed");
    expect(await listed()).toEqual([{ ...APP, suspended: true }]);
    for (const _ of [1, 2]) expect((await post(controller, "/api/v1/resume", APP)).status).toBe(200);
    expect(await specOf("configapp", world.appName())).toEqual([false, undefined, undefined]);
    const problem = await refused(controller, "/api/v1/suspend", { ...APP, app: "nothing" });
    expect(problem).toMatchObject({ status: 404, reason: "UnknownName" });
  }, 60_000);

  test("whoever waits for a sync when another process may lead is told so, and nothing hangs", async () => {
    await using gate = await Gate.open(kube.url);
    await controller.stop();
    const { kubeconfig } = rights;
    const cutOff = await world.start("cut-off", { kubeconfig: gate.kubeconfig(kubeconfig) });
    await until(async () => (await cutOff.metric("fssync_leader")) === 1, 60_000, "it to lead");
    await until(async () => (await get(cutOff, "/api/v1/operations")).status === 200, 20_000, "its API");
    await until(
      async () => (await get<StatusReport>(cutOff, "/api/v1/status")).body.repos.length === 1,
      20_000,
      "its repo",
    );
    await hosts[0].freeze();
    try {
      const waiting = post<Operation>(cutOff, "/api/v1/sync?wait=5m", { ...APP, full: true });
      const begun = async () => {
        const { items } = (await get<{ items: Operation[] }>(cutOff, "/api/v1/operations")).body;
        return items[0]?.counts.synced === 1;
      };
      await until(begun, 20_000, "the other host");
      gate.shut();
      const { body } = await waiting;
      expect(body).toMatchObject({
        phase: "Failed",
        error: { reason: "Interrupted" },
        counts: { synced: 1, waiting: 1 },
      });
      expect(body.message).toContain("another process may lead now");
    } finally {
      await hosts[0].thaw();
    }
    await cutOff.stop();
    controller = await world.start("d", rights);
    await world.settled();
  }, 180_000);

  test("a sync in full is an operation, and an Event", async () => {
    // It began to lead a moment ago.
    await until(async () => (await controller.get("/api/v1/repos")).status === 200, 30_000, "it to lead");
    const { body } = await post<Operation>(controller, "/api/v1/sync?wait=60s", { ...APP, full: true });
    expect(body).toMatchObject({ phase: "Succeeded", counts: { total: 2, synced: 2 } });
    const events = () => world.kubectl("get", "events", "-o", "json");
    await until(async () => (await events()).includes("asked for by local"), 20_000, "the Event");
  }, 60_000);
});
