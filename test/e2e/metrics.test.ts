import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../support/fleet.ts";
import { complaintsAbout, prometheusUnavailable } from "../support/prometheus.ts";
import { World, type Controller } from "../support/world.ts";

const WEB = "nginx/prod/web";
const API = "nginx/prod/api";
const APP = ["repo", "mod", "env", "app"];

/** The design's table, in its order, and what came to it. */
const METRICS: Record<string, readonly string[]> = {
  fssync_app_hosts: [...APP, "state"],
  fssync_app_info: [...APP, "revision"],
  fssync_app_oldest_lag_seconds: APP,
  fssync_sync_total: ["repo", "result"],
  fssync_sync_duration_seconds: ["repo"],
  fssync_propagation_seconds: ["repo"],
  fssync_git_fetch_total: ["repo", "result"],
  fssync_git_last_success_timestamp_seconds: ["repo"],
  fssync_webhook_total: ["repo", "result"],
  fssync_inventory_refresh_total: ["repo", "result"],
  fssync_inventory_last_success_timestamp_seconds: ["repo"],
  fssync_inventory_hosts: ["repo"],
  fssync_fallback_hosts: ["repo"],
  fssync_ssh_connections: ["repo"],
  fssync_drifted_files: APP,
  fssync_drift_recurring_files: APP,
  fssync_drift_replaced_files_total: ["repo"],
  fssync_verify_total: ["repo", "result"],
  fssync_verify_duration_seconds: ["repo"],
  fssync_suspended: ["repo", "kind", "name"],
  fssync_http_requests_total: ["method", "route", "code"],
  fssync_http_request_duration_seconds: ["method", "route"],
  fssync_http_connections: [],
  workqueue_depth: ["name"],
  workqueue_adds_total: ["name"],
  workqueue_queue_duration_seconds: ["name"],
  workqueue_work_duration_seconds: ["name"],
  workqueue_retries_total: ["name"],
  workqueue_unfinished_work_seconds: ["name"],
  fssync_leader: [],
  fssync_build_info: ["version"],
};

/** Those with series only while something is wrong. */
const OF_TROUBLE: Record<string, readonly string[]> = {
  fssync_app_failures: [...APP, "reason"],
  fssync_problems: ["repo", "reason"],
};

describe("the HTTP endpoints of a controller", () => {
  let world: World;
  let controller: Controller;

  beforeAll(async () => {
    world = await World.create({
      hosts: 2,
      kind: "ports",
      files: { [`${WEB}/etc/a.conf`]: "a\n", [`${API}/etc/api.conf`]: "api\n" },
      spec: { sync: { maxDeletePercent: 100 } },
    });
    await world.assign(API, world.fleet.hosts.slice(0, 1));
    controller = await world.start();
    await world.settled();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  test("healthz and readyz answer in plain text, anything else is 404", async () => {
    for (const path of ["/healthz", "/readyz"]) {
      const answer = await controller.get(path);
      expect([answer.status, await answer.text()]).toEqual([200, "ok\n"]);
      expect(answer.headers.get("content-type")).toMatch(/^text\/plain/);
    }
    expect((await controller.get("/sync")).status).toBe(404);
    expect((await controller.get("/")).status).toBe(404);
  });

  test("every metric of the design is there with its labels, and no label names a host", async () => {
    const text = await controller.metrics();
    const series = seriesOf(text);
    for (const [name, labels] of Object.entries(METRICS)) {
      const found = series.filter((one) => one.name === name || one.name === `${name}_count`);
      expect(found.length, name).toBeGreaterThan(0);
      for (const one of found) expect(one.labels.toSorted(), name).toEqual(labels.toSorted());
      expect(text, name).toMatch(new RegExp(`^# HELP ${name} .+\\n# TYPE ${name} (counter|gauge|histogram)$`, "m"));
    }
    const known = new Set(
      Object.keys(METRICS).flatMap((name) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]),
    );
    expect(series.map(({ name }) => name).filter((name) => !known.has(name))).toEqual([]);
    for (const { port } of world.fleet.hosts) expect(text).not.toContain(String(port));
  });

  test.skipIf(prometheusUnavailable() !== undefined)("names, types and help are as promtool wants them", async () => {
    expect(complaintsAbout(await controller.metrics())).toBe("");
  });

  test("each host has one connection, which is kept", async () => {
    expect(await controller.metric(`fssync_ssh_connections{repo="files"}`)).toBe(2);
  });

  test("counters begin at zero for every result", async () => {
    for (const result of ["failed", "unreachable"]) {
      expect(await controller.metric(`fssync_sync_total{repo="files",result="${result}"}`)).toBe(0);
    }
    expect(await controller.metric(`fssync_git_fetch_total{repo="files",result="failure"}`)).toBe(0);
    expect(await controller.metric(`fssync_inventory_refresh_total{repo="files",result="failure"}`)).toBe(0);
    expect(await controller.metric(`workqueue_retries_total{name="files"}`)).toBe(0);
  });

  test("fssync_app_info has one series an app, at the revision of its newest change", async () => {
    const before = await world.repo.commitOf("main");
    const after = await world.repo.commit({ [`${WEB}/etc/a.conf`]: "a2\n" });
    await world.settled();
    const revisions = (await controller.metrics()).match(/^fssync_app_info.*$/gm)!;
    expect(revisions).toHaveLength(2);
    expect(revisions.find((line) => line.includes(`app="web"`))).toContain(after);
    expect(revisions.find((line) => line.includes(`app="api"`))).toContain(before);
  });

  test("what is wrong is told by reason, and not any more when it is mended", async () => {
    const wrong = async () => seriesOf(await controller.metrics()).filter(({ name }) => name in OF_TROUBLE);
    expect(await wrong()).toEqual([]);
    const [, host] = world.fleet.hosts;
    await host!.down();
    world.cmdb.behave({ status: 500 }, API);
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: "a3\n" });
    await until(async () => (await wrong()).length === 2, 20_000, "a failure and a problem");
    for (const { name, labels } of await wrong()) expect(labels.toSorted(), name).toEqual(OF_TROUBLE[name]!.toSorted());
    const failures = `fssync_app_failures{repo="files",mod="nginx",env="prod",app="web",reason="ConnectRefused"}`;
    expect(await controller.metric(failures)).toBe(1);
    expect(await controller.metric(`fssync_problems{repo="files",reason="InventoryFailed"}`)).toBe(1);
    await host!.up();
    world.cmdb.behave("ok", API);
    await world.settled();
    await until(async () => (await wrong()).length === 0, 20_000, "nothing to be wrong");
  });

  test("the series of an app that is gone are removed", async () => {
    expect(await controller.metrics()).toContain(`app="api"`);
    await world.repo.commit({ [API]: null });
    await world.when(({ apps }) => apps.length === 1, "the app to be forgotten");
    expect(await controller.metrics()).not.toContain(`app="api"`);
  });

  test("a removed app that comes back is synced again", async () => {
    await world.repo.commit({ [`${API}/etc/api.conf`]: "api again\n" });
    await world.when(({ apps }) => apps.find(({ app }) => app === "api")?.hosts.synced === 1, "the app to be back");
  });

  test("the controller answers on the address it was given, and logs it", () => {
    const started = controller.log.find(({ msg }) => msg === "controller started");
    expect(started).toMatchObject({ address: controller.url, dataDir: world.dataDir });
  });
});

/** Each series' name and the names of its labels. */
function seriesOf(text: string): { name: string; labels: string[] }[] {
  return [...text.matchAll(/^([a-z_]+)(?:\{(.*)\})? \S+$/gm)].map(([, name, labels = ""]) => ({
    name: name!,
    labels: [...labels.matchAll(/([a-z_]+)="/g)].map(([, label]) => label!),
  }));
}
