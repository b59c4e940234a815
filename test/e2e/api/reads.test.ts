import { rename } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { App } from "../../../src/http/schemas/app.ts";
import type { Host } from "../../../src/http/schemas/host.ts";
import type { Repo } from "../../../src/http/schemas/repo.ts";
import type { Problem } from "../../../src/http/problem.ts";
import type { AppKey } from "../../../src/model/app.ts";
import type { PlanReport } from "../../../src/plan/plan-report.ts";
import type { StatusReport } from "../../../src/plan/status-report.ts";
import { until, type FleetHost } from "../../support/fleet.ts";
import { World, type Controller } from "../../support/world.ts";
import { putOn } from "../on-host.ts";
import { get, refused, sync } from "./ask.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const TEST: AppKey = "nginx/test/web";

interface List<Item> {
  readonly items: readonly Item[];
  readonly next?: string;
}

let world: World;
let controller: Controller;
let first: FleetHost;
let second: FleetHost;
let third: FleetHost;

/** web on all three hosts, api on the first two, the test web on the third. */
beforeAll(async () => {
  world = await World.create({
    hosts: 3,
    kind: "ports",
    files: {
      [`${WEB}/etc/web.conf`]: "1\n",
      [`${API}/etc/api.conf`]: "1\n",
      [`${TEST}/etc/test.conf`]: "1\n",
    },
    spec: { ssh: { connectTimeout: "1s" }, inventory: { interval: "1s" }, drift: { interval: "1s" } },
  });
  const byPort = world.fleet.hosts.toSorted((a, b) => a.port - b.port);
  [first, second, third] = byPort as [FleetHost, FleetHost, FleetHost];
  await world.assign(API, [first, second]);
  await world.assign(TEST, [third]);
  controller = await world.start();
  await world.settled();
});
afterAll(() => world[Symbol.asyncDispose]());

async function hosts(query = ""): Promise<readonly Host[]> {
  return (await get<List<Host>>(controller, `/api/v1/hosts${query}`)).body.items;
}

async function apps(query = ""): Promise<readonly App[]> {
  return (await get<List<App>>(controller, `/api/v1/apps${query}`)).body.items;
}

async function repo(): Promise<Repo> {
  return (await get<Repo>(controller, "/api/v1/repos/files")).body;
}

async function problem(path: string): Promise<Problem> {
  const { body, headers, status } = await get<Problem>(controller, path);
  expect(headers.get("content-type")).toContain("application/problem+json");
  expect(body.status).toBe(status);
  return body;
}

function pathOf({ address, port }: FleetHost): string {
  return `/api/v1/hosts/files/${address}:${port}`;
}

function ports(found: readonly { readonly port: number }[]): number[] {
  return found.map(({ port }) => port);
}

function names(found: readonly App[]): string[] {
  return found.map(({ mod, env, app }) => `${mod}/${env}/${app}`);
}

describe("while all is well", () => {
  test("a repo says where it is, how many apps and hosts it has, and when Git answered", async () => {
    const counts = { synced: 3, pending: 0, failed: 0, unreachable: 0, drifted: 0, total: 3 };
    const found = await repo();
    expect(found).toEqual({
      name: "files",
      revision: `main@sha1:${await world.repo.commitOf("main")}`,
      suspended: false,
      fetchedAt: expect.any(String) as string,
      problems: [],
      apps: counts,
      hosts: counts,
    });
    expect(Date.now() - Date.parse(found.fetchedAt!)).toBeLessThan(20_000);
    expect((await get<List<Repo>>(controller, "/api/v1/repos")).body.items).toHaveLength(1);
  });

  test("apps are sorted by name, with their hosts counted", async () => {
    const found = await apps();
    expect(names(found)).toEqual([API, WEB, TEST]);
    expect(found[1]).toMatchObject({
      repo: "files",
      state: "Synced",
      suspended: false,
      hosts: { total: 3, synced: 3 },
      reasons: {},
    });
    const { body } = await get<App>(controller, `/api/v1/apps/files/${WEB}`);
    expect(body).toEqual(found[1]);
  });

  test("hosts are sorted by address and port, with all their apps", async () => {
    const found = await hosts();
    expect(ports(found)).toEqual(ports([first, second, third]));
    const { body } = await get<Host>(controller, pathOf(first));
    expect(body).toEqual(found[0]);
    expect(body).toMatchObject({ repo: "files", address: first.address, state: "Synced", suspended: false });
    expect(body.apps.map(({ app, state }) => [app, state])).toEqual([
      [API, "Synced"],
      [WEB, "Synced"],
    ]);
    expect(Date.parse(body.apps[0]!.syncedAt!)).toBeGreaterThan(0);
  });

  test("filters name repo, mod, env, app, state and address", async () => {
    expect(names(await apps("?env=test"))).toEqual([TEST]);
    expect(names(await apps("?app=web&mod=nginx"))).toEqual([WEB, TEST]);
    expect(names(await apps("?state=Failed"))).toEqual([]);
    expect(names(await apps("?state=Failed&state=Synced&env=prod"))).toEqual([API, WEB]);
    expect(ports(await hosts("?app=api"))).toEqual(ports([first, second]));
    expect(ports(await hosts("?repo=files&env=test"))).toEqual(ports([third]));
    expect(ports(await hosts(`?address=${first.address}:${second.port}`))).toEqual(ports([second]));
    expect(ports(await hosts(`?address=${first.address}`))).toEqual(ports([first, second, third]));
    expect(await hosts("?app=nothing")).toEqual([]);
    expect(names(await apps(`?address=${third.address}:${third.port}`))).toEqual([WEB, TEST]);
    expect(names(await apps(`?address=${third.address}:${third.port}&env=test`))).toEqual([TEST]);
    expect(names(await apps(`?address=${third.address}`))).toEqual([API, WEB, TEST]);
    expect(names(await apps("?address=192.0.2.1"))).toEqual([]);
    expect(await hosts("?state=Unreachable")).toEqual([]);
  });

  test("lists come in pages", async () => {
    const one = (await get<List<Host>>(controller, "/api/v1/hosts?limit=2")).body;
    expect(ports(one.items)).toEqual(ports([first, second]));
    const two = (await get<List<Host>>(controller, `/api/v1/hosts?limit=2&cursor=${one.next}`)).body;
    expect(ports(two.items)).toEqual(ports([third]));
    expect(two).not.toHaveProperty("next");
    const repos = (await get<List<Repo>>(controller, "/api/v1/repos?limit=1")).body;
    expect([repos.items.length, repos.next]).toEqual([1, undefined]);
    for (const list of ["apps", "repos", "operations", "suspensions"])
      expect(await problem(`/api/v1/${list}?cursor=${one.next}`), list).toMatchObject({ status: 400 });
  });

  test("a list is watched by the bare word, and by what says yes", async () => {
    const typeOf = async (query: string) => {
      const over = new AbortController();
      const { headers } = await fetch(`${controller.url}/api/v1/hosts?${query}`, { signal: over.signal });
      over.abort();
      return headers.get("content-type")!.split(";", 1)[0];
    };
    const stream = "text/event-stream";
    expect(await Promise.all(["watch", "watch=", "watch=1", "watch=true"].map(typeOf))).toEqual(
      Array<string>(4).fill(stream),
    );
    expect(await Promise.all(["watch=0", "watch=false"].map(typeOf))).toEqual(["application/json", "application/json"]);
  });

  test("status is what `fssync status -o json` prints", async () => {
    const { body } = await get<StatusReport>(controller, "/api/v1/status");
    // The store says what it was told last; at rest that is the same.
    expect(sorted(body)).toEqual(sorted(await world.status()));
    const { body: ofApp } = await get<StatusReport>(controller, `/api/v1/status?app=${API}`);
    const printed = JSON.parse((await world.run("status", API, "-o", "json")).stdout) as StatusReport;
    expect(sorted(ofApp)).toEqual(sorted(printed));
    expect((await get<StatusReport>(controller, "/api/v1/status?repo=files")).body).toEqual(body);
    const { body: ofBoth } = await get<StatusReport>(controller, `/api/v1/status?app=${API}&app=${TEST}`);
    expect(ofBoth.repos[0]!.hosts.flatMap((host) => host.apps.map(({ app }) => app))).toEqual([API, API, TEST]);
  });

  test("who has an answer already is told so, until something moves", async () => {
    const items = ["/api/v1/repos", "/api/v1/repos/files", `/api/v1/apps/files/${WEB}`, pathOf(first)];
    for (const path of ["/api/v1/status", "/api/v1/hosts?limit=1", "/api/v1/apps", ...items]) {
      const { headers } = await get(controller, path);
      const etag = headers.get("etag")!;
      expect(headers.get("cache-control")).toBe("private, no-cache");
      const again = await fetch(`${controller.url}${path}`, { headers: { "if-none-match": `"x", W/${etag}` } });
      expect([again.status, await again.text(), again.headers.get("etag")]).toEqual([304, "", etag]);
    }
    const { headers } = await get(controller, "/api/v1/status");
    await world.repo.commit({ [`${TEST}/etc/test.conf`]: "2\n" });
    await world.settled();
    const after = await fetch(`${controller.url}/api/v1/status`, {
      headers: { "if-none-match": headers.get("etag")! },
    });
    expect(after.status).toBe(200);
    expect(((await after.json()) as StatusReport).repos[0]!.revision).toContain(await world.repo.commitOf("main"));
  });

  test("of operations those are listed that named a repo", async () => {
    const named = await sync(controller, { repo: "files", env: "test" });
    await sync(controller, { all: true });
    const { body } = await get<List<{ id: string }>>(controller, "/api/v1/operations?repo=files");
    expect(body.items.map(({ id }) => id)).toEqual([named.id]);
    expect((await get<List<object>>(controller, "/api/v1/operations")).body.items).toHaveLength(2);
  });

  test("nothing is planned for hosts that have all", async () => {
    const { body } = await get<PlanReport>(controller, `/api/v1/apps/files/${WEB}/plan`);
    expect(body).toEqual({ repos: [{ name: "files", revision: (await repo()).revision, hosts: [] }] });
  });
});

describe("what nobody knows, or nobody understands", () => {
  test.each([
    ["/api/v1/repos/others", "no repo others; there are files"],
    ["/api/v1/apps?repo=others", "no repo others"],
    ["/api/v1/status?repo=others", "no repo others"],
    ["/api/v1/hosts?repo=others&watch=true", "no repo others"],
    ["/api/v1/apps/others/nginx/prod/web", "no repo others"],
    ["/api/v1/apps/files/nginx/prod/wbe", "no app nginx/prod/wbe"],
    ["/api/v1/apps/files/nginx/prod/nothing/plan", "no app nginx/prod/nothing"],
    ["/api/v1/apps/files/..%2f..%2fnginx/prod/web", "no app ../../nginx/prod/web"],
    ["/api/v1/apps/files/nginx/prod%00/web/plan", "no app"],
    ["/api/v1/hosts/files/192.0.2.1", "no host 192.0.2.1"],
    ["/api/v1/hosts/files/192.0.2.1/plan", "no host 192.0.2.1"],
    ["/api/v1/hosts/files/..%2fhosts.yaml", "no host ../hosts.yaml"],
    ["/api/v1/hosts/files/-oProxyCommand=x", "no host -oProxyCommand=x"],
    [`/api/v1/status?app=nginx/prod/wbe`, "no app nginx/prod/wbe"],
  ])("%s: 404", async (path, detail) => {
    const found = await problem(path);
    expect(found).toMatchObject({ status: 404, reason: "UnknownName" });
    expect(found.detail).toContain(detail);
  });

  test("an app of almost that name is named", async () => {
    const { detail } = await problem("/api/v1/apps/files/nginx/stage/web");
    expect(detail).toContain(WEB);
  });

  test("an address at which there are several hosts needs a port", async () => {
    const { status, detail } = await problem(`/api/v1/hosts/files/${first.address}`);
    expect(status).toBe(400);
    expect(detail).toContain(`${first.address}:${second.port}`);
  });

  test.each([
    "/api/v1/apps?limit=0",
    "/api/v1/apps?limit=5001",
    "/api/v1/apps?limit=many",
    "/api/v1/apps?state=Broken",
    "/api/v1/apps?adress=10.0.0.1",
    "/api/v1/repos?state=Failed",
    "/api/v1/repos?watch=true",
    "/api/v1/hosts?address=10.0.0.0/24",
    "/api/v1/apps?address=10.0.0.0/24",
    "/api/v1/apps?address=10.0.0.1&watch",
    "/api/v1/hosts?watch=maybe",
    "/api/v1/hosts?cursor=bm90aGluZw",
    "/api/v1/hosts?cursor=%F0%9F%92%A5",
    "/api/v1/status?host=10.0.0.1",
    `/api/v1/apps/files/${WEB}/plan?refresh=now`,
  ])("%s: 400", async (path) => {
    expect((await problem(path)).status).toBe(400);
  });

  test.each([
    ["apps?adress=10.0.0.1", "/adress", "nothing here is called so"],
    ["repos?all=1", "/all", "nothing here is called so"],
    ["apps?state=failed", "/state/0", '"Failed"|"Conflict"|"Unreachable"'],
    ["hosts?state=Failed,Synced", "/state/0", '"Failed"|"Conflict"|"Unreachable"'],
    ["hosts?state=Failed&state=broken", "/state/1", '"Failed"|"Conflict"|"Unreachable"'],
    ["apps?app=nginx/prod/web", "/app", "the last part of mod/env/app alone; mod and env are said beside it"],
    ["apps?watch=maybe", "/watch", "expected true, 1 or nothing for yes"],
    ["events?app=web", "/app", "expected mod/env/app, for example nginx/prod/web"],
    ["events?reason=Nonsense", "/reason/0", '"SyncSucceeded"'],
    ["events?type=warning", "/type", '"Normal"|"Warning"'],
    ["operations?phase=running", "/phase/0", '"Running"|"Succeeded"|"Failed"'],
    ["operations/1?outcome=failed", "/outcome/0", '"Unreachable"|"Held"'],
  ])("%s: %s is wrong, and what may be there is said", async (query, pointer, said) => {
    const { detail, errors } = await problem(`/api/v1/${query}`);
    expect(errors).toEqual([{ pointer, detail: expect.stringContaining(said) as string }]);
    expect(detail).toContain(`query${pointer}: `);
  });

  test("the whole name of an app where its last part is wanted is told what it should be", async () => {
    const { errors } = await refused(controller, "/api/v1/sync", { app: WEB });
    expect(errors).toEqual([
      { pointer: "/app", detail: expect.stringContaining("the last part of mod/env/app") as string },
    ]);
  });
});

describe("while something is wrong", () => {
  test("what somebody changed on a host is told, and again when it is as it should be", async () => {
    putOn(second, "etc/api.conf", "by hand\n");
    const drifted = async () => (await hosts("?state=Drifted")).length === 1;
    await until(drifted, 20_000, "the drift to be seen");
    const { body } = await get<Host>(controller, pathOf(second));
    const app = body.apps.find((one) => one.app === API);
    expect(app).toMatchObject({ state: "Drifted", files: [{ path: "/etc/api.conf", change: "content" }] });
    expect((await repo()).hosts).toMatchObject({ drifted: 1, synced: 2 });
    putOn(second, "etc/api.conf", "1\n");
    await until(async () => !(await drifted()), 20_000, "the drift to be over");
  });

  test("a host that is down is unreachable, lags, and its plan says what it would get", async () => {
    await third.down();
    await world.repo.commit({ [`${TEST}/etc/test.conf`]: "3\n", [`${TEST}/etc/new.conf`]: "1\n" });
    const read = async () => (await get<App>(controller, `/api/v1/apps/files/${TEST}`)).body;
    // A look may miss it before the commit is seen.
    const lags = async () => (await read()).state === "Unreachable" && (await read()).lagSince !== undefined;
    await until(lags, 20_000, "the host to lag and be unreachable");
    const app = await read();
    expect(app).toMatchObject({ state: "Unreachable", hosts: { total: 1, unreachable: 1 } });
    expect(ports(await hosts("?state=Unreachable"))).toEqual([third.port]);
    expect(Object.values(app.reasons)).toEqual([1]);
    expect(Date.parse(app.lagSince!)).toBeGreaterThan(0);
    expect(names(await apps("?state=Unreachable"))).toContain(TEST);

    for (const path of [`${pathOf(third)}/plan`, `/api/v1/apps/files/${TEST}/plan?refresh=true`]) {
      const { body, status } = await get<PlanReport>(controller, path);
      expect([status, body.repos[0]!.hosts.map(({ port }) => port)]).toEqual([200, [third.port]]);
      const planned = body.repos[0]!.hosts[0]!.apps.find((one) => one.app === TEST)!;
      expect(planned.send.toSorted()).toEqual(["/etc/new.conf", "/etc/test.conf"]);
    }
    await third.up();
    await world.settled();
  });

  test("the CMDB is down: the last good hosts are answered, and the problem is named", async () => {
    world.cmdb.behave({ status: 503 });
    await until(async () => (await repo()).problems.length > 0, 20_000, "the CMDB to be missed");
    const found = await repo();
    expect(found.problems.map(({ reason }) => reason)).toContain("InventoryFailed");
    expect(ports(await hosts())).toEqual(ports([first, second, third]));
    expect((await get<App>(controller, `/api/v1/apps/files/${WEB}`)).body.hosts.total).toBe(3);
    const { body: status } = await get<StatusReport>(controller, "/api/v1/status");
    expect(status.repos[0]!.problems!.map(({ reason }) => reason)).toContain("InventoryFailed");
    expect((await get(controller, `/api/v1/apps/files/${WEB}/plan?refresh=true`)).status).toBe(200);
    world.cmdb.behave("ok");
    await until(async () => (await repo()).problems.length === 0, 30_000, "the problem to be over");
  });

  test("Git is down, also across a restart: the last good state is answered, and the problem is named", async () => {
    const { fetchedAt, revision } = await repo();
    await rename(world.repo.path, `${world.repo.path}.away`);
    const failed = async () => (await repo()).problems.some(({ reason }) => reason === "FetchFailed");
    await until(failed, 20_000, "the fetch to fail");
    const during = await repo();
    expect(during).toMatchObject({ revision, hosts: { total: 3, synced: 3 } });
    expect(Date.parse(during.fetchedAt!)).toBeGreaterThanOrEqual(Date.parse(fetchedAt!));
    expect((await get(controller, `/api/v1/hosts/files/${first.address}:${first.port}/plan?refresh=true`)).status).toBe(
      200,
    );

    await controller.stop();
    controller = await world.start();
    await until(failed, 20_000, "the fetch to fail again");
    const after = await repo();
    expect(after).toMatchObject({ revision, hosts: { total: 3, synced: 3 }, apps: { total: 3 } });
    expect(after).not.toHaveProperty("fetchedAt");
    expect((await hosts()).map(({ state }) => state)).toEqual(["Synced", "Synced", "Synced"]);
    await rename(`${world.repo.path}.away`, world.repo.path);
    await until(async () => (await repo()).problems.length === 0, 30_000, "the problem to be over");
  });

  test("a suspended repo says so, and what waits on its hosts is suspended", async () => {
    await world.configure({ suspend: true });
    await controller.stop();
    controller = await world.start();
    expect(await repo()).toMatchObject({ suspended: true });
    expect((await hosts()).every(({ suspended }) => suspended)).toBe(true);
    const { body: status } = await get<StatusReport>(controller, "/api/v1/status");
    expect(status.repos[0]!.suspended).toBe(true);
    expect((await get<PlanReport>(controller, `/api/v1/apps/files/${WEB}/plan`)).body.repos[0]!.suspended).toBe(true);
  });
});

/** The store has no order. */
function sorted({ repos }: StatusReport): unknown {
  return repos.map((one) => ({
    ...one,
    apps: one.apps.toSorted((a, b) => order(`${a.mod}/${a.env}/${a.app}`, `${b.mod}/${b.env}/${b.app}`)),
    hosts: one.hosts
      .map((host) => ({ ...host, apps: host.apps.toSorted((a, b) => order(a.app, b.app)) }))
      .toSorted((a, b) => a.port - b.port),
  }));
}

function order(a: string, b: string): number {
  return a < b ? -1 : 1;
}
