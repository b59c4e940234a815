import { readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Suspension } from "../../../src/http/schemas/suspension.ts";
import type { PlanReport } from "../../../src/plan/plan-report.ts";
import type { StatusReport } from "../../../src/plan/status-report.ts";
import { until, type FleetHost } from "../../support/fleet.ts";
import { World, type Controller } from "../../support/world.ts";
import { textOn } from "../on-host.ts";
import { get, post, refused, sync } from "./ask.ts";

const WEB = "nginx/prod/web";
const APP = { repo: "files", mod: "nginx", env: "prod", app: "web" };
const DB = "pg/prod/db";
const [FILE, DB_FILE] = ["etc/app.conf", "etc/db.conf"];

let world: World;
let controller: Controller;
let here: FleetHost;
let there: FleetHost;
let commits = 1;

/** A commit that changes both apps; `web` is on both hosts, `db` on the first. */
async function commit(): Promise<string> {
  const text = `${++commits}\n`;
  await world.repo.commit({ [`${WEB}/${FILE}`]: text, [`${DB}/${DB_FILE}`]: text });
  return text;
}

const hostText = ({ address, port }: FleetHost) => `${address}:${port}`;
const suspend = (body: object) => post<Suspension>(controller, "/api/v1/suspend", body);
const resume = (body: object) => post<Suspension>(controller, "/api/v1/resume", body);
const listed = async () => (await get<{ items: Suspension[] }>(controller, "/api/v1/suspensions")).body.items;
const metric = (kind: string, name: string) =>
  controller.metric(`fssync_suspended{repo="files",kind="${kind}",name="${name}"}`);

beforeAll(async () => {
  const files = { [`${WEB}/${FILE}`]: "1\n", [`${DB}/${DB_FILE}`]: "1\n" };
  world = await World.create({ hosts: 2, kind: "ports", files });
  [here, there] = world.fleet.hosts as [FleetHost, FleetHost];
  await world.assign(DB, [here]);
  controller = await world.start();
  await world.settled();
});
afterAll(() => world[Symbol.asyncDispose]());

describe("suspended over the API", () => {
  test("an app: its hosts are left alone, other apps go on; resumed it goes on at once", async () => {
    const { status, body } = await suspend({ ...APP, reason: "release of the 23rd" });
    const suspended = { ...APP, suspended: true, by: "local", reason: "release of the 23rd" };
    expect([status, body]).toMatchObject([200, suspended]);
    expect(await listed()).toEqual([{ ...suspended, since: expect.stringMatching(/^\d{4}-.*Z$/) }]);
    expect(await metric("ConfigApp", WEB)).toBe(1);
    const before = textOn(there, FILE);
    const text = await commit();
    await until(() => textOn(here, DB_FILE) === text, 20_000, "the other app");
    await until(
      async () => (await world.status()).repos[0]!.revision?.endsWith((await world.repo.commitOf("main"))!) === true,
      20_000,
      "the commit",
    );
    expect([textOn(here, FILE), textOn(there, FILE)]).toEqual([before, before]);
    expect((await world.status()).repos[0]!.apps.map(({ app, state }) => [app, state])).toEqual([
      ["web", "Suspended"],
      ["db", "Synced"],
    ]);
    expect((await resume(APP)).body).toEqual({ ...APP, suspended: false });
    await until(() => textOn(here, FILE) === text && textOn(there, FILE) === text, 20_000, "the app to go on at once");
    expect([await listed(), await metric("ConfigApp", WEB)]).toEqual([[], undefined]);
    expect(controller.logged("ApiCall").slice(-2)).toMatchObject([
      { what: "suspend", who: "local", repo: "files", app: WEB, reason: "release of the 23rd" },
      { what: "resume", who: "local", repo: "files", app: WEB },
    ]);
  });

  test("who and why is told by the operation, the status and the commands", async () => {
    await suspend({ ...APP, reason: "release freeze" });
    await commit();
    const done = await sync(controller, { app: "web" });
    const message = "app suspended by local: release freeze";
    expect(done.hosts).toMatchObject([
      { outcome: "Suspended", message },
      { outcome: "Suspended", message },
    ]);
    expect(done.leftAlone).toEqual([
      { ...APP, hosts: 2, by: "local", reason: "release freeze", since: expect.any(String) as string },
    ]);
    const said = `App ${WEB} of ConfigRepo files is suspended (by local: release freeze): 2 hosts are left alone.\n`;
    const synced = await world.run("sync", WEB);
    expect([synced.code, synced.stdout]).toEqual([0, expect.stringContaining(said)]);
    expect(synced.stdout).toContain(message);
    expect(await world.run("sync", WEB, "-o", "json")).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(message) as string,
      stderr: expect.stringContaining(said) as string,
    });
    expect(await world.run("resync", WEB)).toMatchObject({ code: 0, stdout: said });
    const byApi = ["resync", WEB, "--server", controller.url];
    expect(await world.spawnBare(byApi).ended).toMatchObject({ code: 0, stdout: said });
    const asked = await get<StatusReport>(controller, "/api/v1/status");
    const stored = await world.status();
    for (const { repos } of [asked.body, stored]) {
      const found = repos[0]!.hosts.flatMap(({ apps }) => apps.filter(({ app }) => app === WEB));
      expect(found.map((app) => app.message)).toEqual([message, message]);
    }
    await resume(APP);
    await world.settled();
  });

  test("a host: all its apps wait, other hosts go on; an address and its port are one host", async () => {
    await suspend({ repo: "files", host: hostText(here) });
    expect(await metric("ConfigHost", hostText(here))).toBe(1);
    const before = [textOn(here, FILE), textOn(here, DB_FILE)];
    const text = await commit();
    await until(() => textOn(there, FILE) === text, 20_000, "the other host");
    expect([textOn(here, FILE), textOn(here, DB_FILE)]).toEqual(before);
    expect((await resume({ repo: "files", host: hostText(here) })).body).toMatchObject({
      address: here.address,
      port: here.port,
      suspended: false,
    });
    await until(() => textOn(here, FILE) === text && textOn(here, DB_FILE) === text, 20_000, "the host to go on");
  });

  test("the repo: nobody is asked and nothing is synced, not even in full", async () => {
    await suspend({ repo: "files" });
    const before = textOn(here, FILE);
    await commit();
    const done = await sync(controller, { all: true, full: true });
    expect(done).toMatchObject({ phase: "Failed", counts: { total: 2, suspended: 2, attempted: 0 } });
    expect(textOn(here, FILE)).toBe(before);
    await resume({ repo: "files" });
    await world.settled();
  });

  test("twice is once, and keeps since when; resumed twice is no error", async () => {
    const first = (await suspend({ ...APP, reason: "one" })).body;
    const second = (await suspend({ ...APP, reason: "two" })).body;
    expect(second).toEqual({ ...first, reason: "two" });
    expect(await listed()).toHaveLength(1);
    expect([(await resume(APP)).status, (await resume(APP)).status]).toEqual([200, 200]);
    expect(await listed()).toEqual([]);
  });

  test.for<[object, number, RegExp]>([
    [{}, 400, /repo/],
    [{ repo: "files", app: "web" }, 400, /by mod, env and app together/],
    [{ ...APP, host: "10.0.0.1" }, 400, /an app or a host, not both/],
    [{ repo: "files", hots: "x" }, 400, /hots/],
    [{ repo: "nothing" }, 404, /no repo nothing/],
    [{ ...APP, app: "nothing" }, 404, /no app nginx\/prod\/nothing in repo files/],
    [{ repo: "files", host: "10.9.9.9" }, 404, /no host 10\.9\.9\.9 in repo files/],
    [{ repo: "files", host: "127.0.0.1" }, 400, /is the address of 2 hosts: say which/],
  ])("refused: %j", async ([body, status, said]) => {
    for (const path of ["/api/v1/suspend", "/api/v1/resume"]) {
      const problem = await refused(controller, path, body);
      expect([problem.status, JSON.stringify(problem)]).toEqual([status, expect.stringMatching(said)]);
    }
    expect(await listed()).toEqual([]);
  });
});

describe("a suspension outlives the process", () => {
  test("killed right after the answer; the next one syncs nothing there, nor do sync and plan by themselves", async () => {
    const before = textOn(there, FILE);
    expect((await suspend({ ...APP, reason: "stays" })).status).toBe(200);
    expect((await suspend({ repo: "files", host: hostText(here) })).status).toBe(200);
    await controller.kill();
    const text = await commit();

    const status = await world.status();
    expect(status.repos[0]!.hosts.find(({ port }) => port === here.port)).toMatchObject({ state: "Synced" });
    const synced = await world.run("sync", "-o", "json");
    const report = JSON.parse(synced.stdout) as StatusReport;
    expect([synced.code, report.repos[0]!.hosts.map(({ state }) => state)]).toEqual([0, ["Suspended", "Suspended"]]);
    expect(textOn(there, FILE)).toBe(before);
    const after = await world.status();
    expect(after.repos[0]!.hosts.map(({ state }) => state)).toEqual(["Suspended", "Suspended"]);
    const planned = JSON.parse((await world.run("plan", "-o", "json")).stdout) as PlanReport;
    const held = planned.repos[0]!.hosts.map(({ port, apps }) => [port, apps.map((app) => [app.app, app.suspended])]);
    expect(Object.fromEntries(held)).toEqual({
      [here.port]: [WEB, DB].map((app) => [app, true]),
      [there.port]: [[WEB, true]],
    });

    controller = await world.start();
    expect(await listed()).toMatchObject([
      { ...APP, reason: "stays", by: "local", suspended: true },
      { repo: "files", address: here.address, port: here.port },
    ]);
    expect([await metric("ConfigApp", WEB), await metric("ConfigHost", hostText(here))]).toEqual([1, 1]);
    await world.when(({ revision }) => revision !== null, "the commit");
    expect([textOn(here, DB_FILE), textOn(there, FILE)]).toEqual([before, before]);
    await resume({ repo: "files", host: hostText(here) });
    await until(() => textOn(here, DB_FILE) === text, 20_000, "the app on it that is not suspended");
    expect(textOn(here, FILE)).toBe(before);
    await resume(APP);
    await world.settled();
  }, 120_000);

  test("killed right after it was lifted, it stays lifted", async () => {
    await suspend({ repo: "files" });
    await resume({ repo: "files" });
    await controller.kill();
    const text = await commit();
    controller = await world.start();
    await until(() => textOn(there, FILE) === text, 20_000, "the commit");
    expect(await listed()).toEqual([]);
  }, 120_000);

  test("two controllers in turn: what one suspends the other resumes", async () => {
    await suspend({ repo: "files", reason: "handed over" });
    await controller.stop();
    const text = await commit();
    controller = await world.start();
    expect(await listed()).toMatchObject([{ repo: "files", suspended: true, reason: "handed over" }]);
    expect((await world.run("status")).stdout).toContain("uspended");
    await resume({ repo: "files" });
    await until(() => textOn(there, FILE) === text, 20_000, "it to go on at once");
  }, 120_000);

  test("of a host holds while the inventory does not name it, and may be lifted then", async () => {
    await world.assign(WEB, [here, there]);
    await suspend({ repo: "files", host: hostText(there) });
    await world.assign(WEB, [here]);
    await world.when(({ hosts }) => hosts.length === 1, "the host to leave");
    expect(await listed()).toMatchObject([{ port: there.port }]);
    const before = textOn(there, FILE);
    await world.assign(WEB, [here, there]);
    const text = await commit();
    await until(() => textOn(here, FILE) === text, 20_000, "the other host");
    expect(textOn(there, FILE)).toBe(before);
    await world.assign(WEB, [here]);
    await world.when(({ hosts }) => hosts.length === 1, "the host to leave");
    expect((await resume({ repo: "files", host: hostText(there) })).status).toBe(200);
    await world.assign(WEB, [here, there]);
    await world.settled();
  });
});

describe("spec.suspend in the file", () => {
  test("is listed, and only the file lifts it", async () => {
    await controller.stop();
    await world.configure({ suspend: true });
    controller = await world.start();
    expect(await listed()).toEqual([
      { repo: "files", suspended: true, reason: "spec.suspend in the configuration file" },
    ]);
    const problem = await refused(controller, "/api/v1/resume", { repo: "files" });
    expect(problem).toMatchObject({ status: 409, reason: "SuspendedElsewhere" });
    expect(problem.detail).toContain("spec.suspend");
    expect((await suspend({ repo: "files" })).body).toMatchObject({ suspended: true, by: "local" });
    await controller.stop();
    await world.configure({ suspend: false });
    controller = await world.start();
    expect(await listed()).toMatchObject([{ repo: "files", by: "local" }]);
    await resume({ repo: "files" });
    await world.settled();
  }, 120_000);
});

test("a repo that is forgotten takes its suspensions with it", async () => {
  await suspend({ repo: "files" });
  await controller.stop();
  const document = await readFile(world.configFile, "utf8");
  await writeFile(world.configFile, document.replace("name: files", "name: other"));
  controller = await world.start();
  expect(controller.log.some(({ msg }) => String(msg).startsWith("repos forgotten"))).toBe(true);
  await controller.stop();
  await writeFile(world.configFile, document);
  controller = await world.start();
  expect(await listed()).toEqual([]);
  const text = await commit();
  await until(() => textOn(there, FILE) === text, 20_000, "the commit");
}, 120_000);
