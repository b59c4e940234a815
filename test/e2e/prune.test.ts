import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PlanReport } from "../../src/plan/plan-report.ts";
import { until, type FleetHost } from "../support/fleet.ts";
import { World, type Controller } from "../support/world.ts";
import { pathsOn, putOn, textOn, touchedBetween, touchesOn } from "./on-host.ts";

const WEB = "nginx/prod/web";
const API = "nginx/prod/api";

function files(app: string, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [`${app}/etc/${app.split("/").at(-1)}/${name}`, `${name}\n`]));
}

const TEN = Array.from({ length: 10 }, (_, index) => `${index}.conf`);

describe("a change that deletes too much is held", () => {
  let world: World;
  let controller: Controller;
  let first: FleetHost;
  let second: FleetHost;

  beforeAll(async () => {
    world = await World.create({ hosts: 2, kind: "ports", files: { ...files(WEB, TEN), ...files(API, TEN) } });
    [first, second] = world.fleet.hosts as [FleetHost, FleetHost];
    await world.assign(API, [first]);
    controller = await world.start();
    await world.settled();
    putOn(first, "etc/web/theirs.conf", "theirs\n");
  });
  afterAll(() => world[Symbol.asyncDispose]());

  test("fault 7: nothing of it is sent, it is told once with numbers, other apps go on", async () => {
    const before = touchesOn(second);
    await world.repo.commit({
      ...Object.fromEntries(Object.keys(files(WEB, TEN.slice(0, 3))).map((path) => [path, null])),
      [`${WEB}/etc/web/9.conf`]: "changed\n",
      [`${API}/etc/api/0.conf`]: "changed\n",
    });
    for (const host of [first, second]) await world.shows(host, "Failed", { reason: "PruneLimitExceeded" });
    await world.shows(first, "Synced", { app: API });
    expect((await world.at(first))?.message).toBe("deletes 3 of 10 files, sync.maxDeletePercent 20 allows 2");
    expect(textOn(first, "etc/api/0.conf")).toBe("changed\n");
    expect(touchedBetween(before, touchesOn(second))).toEqual([]);
    const told = () => controller.log.filter(({ event }) => event === "PruneLimitExceeded").length;
    // The log is read from a pipe: it may come after the status.
    await until(async () => told() >= 2, 5000, "both hosts to be told of");
    expect(told()).toBe(2);
  });

  test("fault 7: plan says that it is held and why, a plain sync changes nothing and exits with 2", async () => {
    const planned = await world.run("plan", "-o", "json", "--detailed-exitcode");
    expect(planned.code).toBe(2);
    const { hosts } = (JSON.parse(planned.stdout) as PlanReport).repos[0]!;
    const web = hosts[0]!.apps.find(({ app }) => app === WEB)!;
    const gone = TEN.slice(0, 3).map((name) => `/etc/web/${name}`);
    expect(web).toMatchObject({ send: [], delete: [] });
    expect(web.held).toMatchObject({ reason: "PruneLimitExceeded", send: ["/etc/web/9.conf"], delete: gone });
    const told = (await world.run("plan", "-v", WEB)).stdout.split("\n").map((line) => line.trim());
    expect(told).toEqual(expect.arrayContaining(["held + /etc/web/9.conf", ...gone.map((path) => `held - ${path}`)]));
    expect((await world.run("plan", WEB)).stdout).not.toContain("/etc/web");
    const before = touchesOn(first);
    expect((await world.run("sync")).code).toBe(2);
    expect(touchedBetween(before, touchesOn(first))).toEqual([]);
  });

  test("fault 7: `sync --allow-prune` through the running controller lets it pass, for the app that is named", async () => {
    const { code, stdout, stderr } = await world.run("sync", WEB, "--allow-prune", "-o", "json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining("synced 2/2 hosts") });
    expect(JSON.parse(stdout)).toMatchObject({ repos: [{ apps: [{ app: "web", hosts: { total: 2, synced: 2 } }] }] });
    for (const host of [first, second]) {
      expect(pathsOn(host).filter((path) => /etc\/web\/\d/.test(path))).toHaveLength(7);
      expect(textOn(host, "etc/web/9.conf")).toBe("changed\n");
    }
    expect(textOn(first, "etc/web/theirs.conf")).toBe("theirs\n");
    await world.settled();
  });

  test("fault 7: the permission does not outlive the change it was given for", async () => {
    await world.repo.commit(Object.fromEntries(Object.keys(files(WEB, TEN.slice(3, 6))).map((path) => [path, null])));
    await world.shows(first, "Failed", { reason: "PruneLimitExceeded" });
    expect(pathsOn(first).filter((path) => /etc\/web\/\d/.test(path))).toHaveLength(7);
  });

  test("fault 7: restored files end the hold without a connection", async () => {
    const before = touchesOn(first);
    await world.repo.commit(files(WEB, TEN.slice(3, 6)));
    await world.settled();
    expect(touchedBetween(before, touchesOn(first))).toEqual([]);
  });

  test("an app that Git no longer holds is held too, and its files go with --allow-prune", async () => {
    await world.repo.commit({ [API]: null });
    await world.shows(first, "Failed", { app: API, reason: "PruneLimitExceeded" });
    await world.shows(first, "Synced");
    expect(pathsOn(first).filter((path) => path.startsWith("etc/api/"))).toHaveLength(10);
    expect((await controller.metrics()).includes(`app="api"`)).toBe(true);

    const { code } = await world.run("sync", API, "--allow-prune");
    expect(code).toBe(0);
    expect(pathsOn(first).filter((path) => path.startsWith("etc/api"))).toEqual([]);
    const report = await world.when(({ apps }) => apps.length === 1, "the app to be forgotten");
    expect(report.hosts.flatMap(({ apps }) => apps.map(({ app }) => app))).toEqual([WEB, WEB]);
    expect((await controller.metrics()).includes(`app="api"`)).toBe(false);
  });

  test("an app that leaves Git while fssync is away is pruned by the same rule", async () => {
    await world.assign("nginx/prod/late", [second]);
    await world.repo.commit(files("nginx/prod/late", TEN.slice(0, 1)));
    await world.settled();
    await controller.stop();
    await world.repo.commit({ "nginx/prod/late": null });
    controller = await world.start();
    await world.shows(second, "Failed", { app: "nginx/prod/late", reason: "PruneLimitExceeded" });
    expect((await world.run("sync", "--allow-prune")).code).toBe(0);
    expect(pathsOn(second).filter((path) => path.startsWith("etc/late"))).toEqual([]);
    await world.settled();
  });

  test("with prune: false nothing is ever deleted", async () => {
    await controller.stop();
    await world.configure({ sync: { prune: false } });
    controller = await world.start();
    await world.repo.commit({ [`${WEB}/etc/web/3.conf`]: null, [`${WEB}/etc/web/new.conf`]: "new\n" });
    await world.settled();
    expect(textOn(second, "etc/web/new.conf")).toBe("new\n");
    expect(textOn(second, "etc/web/3.conf")).toBe("3.conf\n");
  });
});
