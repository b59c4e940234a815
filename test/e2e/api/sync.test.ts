import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Problem } from "../../../src/http/problem.ts";
import type { Operation } from "../../../src/http/schemas/operation.ts";
import { until, type FleetHost } from "../../support/fleet.ts";
import { World, type Controller } from "../../support/world.ts";
import { putOn, textOn } from "../on-host.ts";
import { becomes, get, operation, post, refused, sync } from "./ask.ts";

const WEB = "nginx/prod/web";
const DB = "pg/prod/db";
const SCOPE = { mod: "nginx", env: "prod", app: "web" };
const FILE = "etc/app.conf";

let world: World;
let controller: Controller;
let commits = 1;

/** A commit that nobody notices before somebody asks. */
async function commit(app = WEB): Promise<string> {
  const text = `${++commits}\n`;
  await world.repo.commit({ [`${app}/${FILE}`]: text });
  return text;
}

function of(found: Operation, host: FleetHost) {
  return found.hosts!.find(({ port }) => port === host.port);
}

beforeAll(async () => {
  const files: Record<string, string> = { [`${WEB}/${FILE}`]: "1\n", [`${DB}/${FILE.replace("app", "db")}`]: "1\n" };
  for (let file = 0; file < 5; file += 1) files[`${WEB}/etc/conf.d/${file}`] = `${file}\n`;
  const spec = { git: { interval: "1d" }, inventory: { interval: "1d" } };
  world = await World.create({ hosts: 3, kind: "ports", files, spec });
  await world.assign(DB, [world.fleet.hosts[0]!]);
  controller = await world.start();
  await world.settled();
});
afterAll(() => world[Symbol.asyncDispose]());

describe("a sync", () => {
  test("that is waited for has what Git has by then on every host, and tells of each", async () => {
    const text = await commit();
    const done = await sync(controller, SCOPE);
    expect(world.fleet.hosts.map((host) => textOn(host, FILE))).toEqual([text, text, text]);
    const revision = `main@sha1:${await world.repo.commitOf("main")}`;
    expect(done).toMatchObject({
      kind: "sync",
      phase: "Succeeded",
      message: "3 hosts have what Git has",
      request: { ...SCOPE, full: false, allowPrune: false },
      by: "local",
      revisions: [{ repo: "files", revision }],
      counts: { total: 3, upToDate: 0, attempted: 3, synced: 3, failed: 0, waiting: 0 },
      problems: [],
    });
    expect(done.finishedAt! >= done.createdAt).toBe(true);
    expect(done.hosts).toHaveLength(3);
    for (const host of done.hosts!) {
      expect(host).toMatchObject({ repo: "files", outcome: "Synced", state: "Synced", attempted: true });
      expect(host.apps).toMatchObject([{ app: WEB, state: "Synced", revision }]);
    }
    expect(controller.logged("ApiCall").at(-1)).toMatchObject({ what: "sync", who: "local", ...SCOPE });
    expect(controller.logged("ApiCall").at(-1)?.["revision"]).toMatch(/^main@sha1:/);
  });

  test("of what every host has does nothing and says so", async () => {
    const done = await sync(controller, { all: true });
    expect(done).toMatchObject({
      phase: "Succeeded",
      message: "nothing to do: 3 hosts had it already",
      request: { all: true },
      counts: { total: 3, upToDate: 3, attempted: 0 },
      hosts: [],
    });
  });

  test("in full lays over what somebody changed by hand, and is an event", async () => {
    const [host] = world.fleet.hosts;
    const before = textOn(host!, FILE);
    putOn(host!, FILE, "by hand\n");
    const done = await sync(controller, { hosts: [`${host!.address}:${host!.port}`], full: true });
    expect(done).toMatchObject({ phase: "Succeeded", counts: { total: 1, attempted: 1, synced: 1 } });
    expect(done.message).toBe("1 host has what Git has");
    expect(done.hosts![0]!.apps.map(({ app }) => app)).toEqual([WEB, DB].sort());
    expect(textOn(host!, FILE)).toBe(before);
    expect(controller.logged("ResyncRequested").at(-1)).toMatchObject({ by: "local", repo: "files" });
    const events = await get<{ items: { reason: string }[] }>(controller, "/api/v1/events");
    expect(events.body.items.map(({ reason }) => reason)).toContain("ResyncRequested");
  });

  test("that nobody waits for is followed at its Location", async () => {
    const text = await commit();
    const { status, headers, body } = await post<Operation>(controller, "/api/v1/sync", SCOPE);
    expect([status, headers.get("location")]).toEqual([202, `/api/v1/operations/${body.id}`]);
    const done = await get<Operation>(controller, `${headers.get("location")}?wait=60s`);
    expect(done.body.phase).toBe("Succeeded");
    expect(textOn(world.fleet.hosts[2]!, FILE)).toBe(text);
    const list = await get<{ items: Operation[] }>(controller, "/api/v1/operations?phase=Succeeded&limit=1");
    expect(list.body.items).toMatchObject([{ id: body.id, phase: "Succeeded" }]);
    expect(list.body.items[0]).not.toHaveProperty("hosts");
    expect(list.body).toHaveProperty("next");
  });

  test("whose caller leaves goes on", async () => {
    const text = await commit();
    const left = new AbortController();
    const [slow] = world.fleet.hosts;
    await slow!.freeze();
    try {
      const asked = fetch(`${controller.url}/api/v1/sync?wait=5m`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(SCOPE),
        signal: left.signal,
      });
      await until(() => textOn(world.fleet.hosts[1]!, FILE) === text, 20_000, "another host");
      left.abort();
      await expect(asked).rejects.toThrow();
    } finally {
      await slow!.thaw();
    }
    await until(() => textOn(slow!, FILE) === text, 30_000, "the slow host");
  });
});

describe("hosts in trouble", () => {
  test("one that is down and one where it does not work are told apart, and the third has it", async () => {
    const [down, fails, well] = world.fleet.hosts as [FleetHost, FleetHost, FleetHost];
    const text = `${++commits}\n`;
    await world.repo.commit({ [`${WEB}/etc/new.conf`]: text });
    await down.down();
    // What is not ours stands where a file must go.
    putOn(fails, "etc/new.conf/theirs", "theirs\n");
    const { body: begun } = await post<Operation>(controller, "/api/v1/sync", SCOPE);
    const done = (await get<Operation>(controller, `/api/v1/operations/${begun.id}?wait=60s`)).body;
    expect(done).toMatchObject({
      phase: "Failed",
      message: "2 of 3 hosts not synced: 1 failed, 1 unreachable",
      counts: { total: 3, attempted: 3, synced: 1, failed: 1, unreachable: 1 },
    });
    expect(done).not.toHaveProperty("error");
    expect(of(done, down)).toMatchObject({ outcome: "Unreachable", apps: [{ app: WEB, reason: "ConnectRefused" }] });
    expect(of(done, fails)).toMatchObject({ outcome: "Failed", apps: [{ app: WEB, reason: "TargetIsFolder" }] });
    expect(of(done, well)).toMatchObject({ outcome: "Synced", state: "Synced" });
    expect(textOn(well, "etc/new.conf")).toBe(text);
    const few = await get<Operation>(controller, `/api/v1/operations/${begun.id}?outcome=Failed&outcome=Unreachable`);
    expect(new Set(few.body.hosts!.map(({ port }) => port))).toEqual(new Set([down.port, fails.port]));
    expect(few.body.counts).toEqual(done.counts);
    await rm(join(fails.dir, "etc/new.conf"), { recursive: true });
    await down.up();
    expect((await sync(controller, SCOPE)).phase).toBe("Succeeded");
  });

  test("results come as hosts are done, while one hangs", async () => {
    const [hangs, ...others] = world.fleet.hosts as [FleetHost, FleetHost, FleetHost];
    await commit();
    await hangs.freeze();
    try {
      const { body, status } = await post<Operation>(controller, "/api/v1/sync?wait=250ms", SCOPE);
      expect([status, body.phase]).toEqual([202, "Running"]);
      const some = await becomes(controller, body.id, ({ counts }) => counts.synced === 2, "two of three hosts");
      expect(some).toMatchObject({ phase: "Running", message: "2 of 3 hosts attempted", counts: { waiting: 1 } });
      expect(of(some, hangs)).toMatchObject({ outcome: "Waiting", attempted: false, apps: [] });
      for (const host of others) expect(of(some, host)).toMatchObject({ outcome: "Synced", attempted: true });
      await hangs.thaw();
      expect((await get<Operation>(controller, `/api/v1/operations/${body.id}?wait=60s`)).body.phase).not.toBe(
        "Running",
      );
    } finally {
      await hangs.thaw();
    }
    await sync(controller, SCOPE);
  });

  test("that are held are told so, until it is allowed", async () => {
    const gone = Object.fromEntries([0, 1, 2, 3].map((file) => [`${WEB}/etc/conf.d/${file}`, null]));
    await world.repo.commit(gone);
    const held = await sync(controller, SCOPE);
    expect(held).toMatchObject({ phase: "Failed", counts: { held: 3, failed: 0, synced: 0 } });
    expect(held.hosts![0]).toMatchObject({ outcome: "Held", apps: [{ reason: "PruneLimitExceeded" }] });
    const allowed = await sync(controller, { ...SCOPE, allowPrune: true });
    expect(allowed).toMatchObject({ phase: "Succeeded", counts: { synced: 3 } });
    expect(textOn(world.fleet.hosts[0]!, "etc/conf.d/0")).toBeUndefined();
  });

  test("that are suspended are listed, and that left the inventory are no failure", async () => {
    const [suspended, leaves, well] = world.fleet.hosts as [FleetHost, FleetHost, FleetHost];
    const host = `${suspended.address}:${suspended.port}`;
    await post(controller, "/api/v1/suspend", { repo: "files", host });
    await commit();
    await world.assign(WEB, [suspended, well]);
    const done = await sync(controller, SCOPE);
    expect(done).toMatchObject({
      phase: "Failed",
      message: "1 of 2 hosts not synced: 1 suspended",
      counts: { total: 2, synced: 1, suspended: 1, attempted: 1 },
    });
    expect(of(done, suspended)).toMatchObject({ outcome: "Suspended", attempted: false });
    expect(of(done, leaves)).toBeUndefined();
    await post(controller, "/api/v1/resume", { repo: "files", host });
    await world.assign(WEB, world.fleet.hosts);
    expect((await sync(controller, SCOPE)).phase).toBe("Succeeded");
  });
});

describe("with the CMDB or Git away", () => {
  test("CMDB: the sync goes on with the hosts that it named last, and says so", async () => {
    world.cmdb.behave({ status: 500 });
    try {
      const text = await commit();
      const done = await sync(controller, SCOPE);
      expect(done).toMatchObject({
        phase: "Failed",
        message:
          "3 hosts have what Git had at its last good revision; the inventory could not be asked: InventoryFailed",
        counts: { synced: 3 },
      });
      expect(done.problems).toMatchObject([{ repo: "files", reason: "InventoryFailed" }]);
      expect(textOn(world.fleet.hosts[0]!, FILE)).toBe(text);
    } finally {
      world.cmdb.behave("ok");
    }
    expect((await sync(controller, SCOPE)).problems).toEqual([]);
  });

  test("Git: the sync goes on with the newest commit that is known, and says so", async () => {
    await rename(world.repo.path, `${world.repo.path}.away`);
    try {
      const done = await sync(controller, { ...SCOPE, full: true });
      expect(done).toMatchObject({
        phase: "Failed",
        message: "3 hosts have what Git had at its last good revision; Git could not be asked: FetchFailed",
        counts: { synced: 3 },
      });
      expect(done.problems).toMatchObject([{ repo: "files", reason: "FetchFailed" }]);
    } finally {
      await rename(`${world.repo.path}.away`, world.repo.path);
    }
    expect((await sync(controller, SCOPE)).problems).toEqual([]);
  });
});

describe("what is refused", () => {
  test.for<[string, unknown, RegExp]>([
    ["no body", undefined, /all: true/],
    ["an empty object", {}, /all: true/],
    ["an empty list of hosts", { hosts: [] }, /hosts/],
    ["everything, and something beside it", { all: true, app: "web" }, /something is named beside it/],
    ["all: false", { all: false }, /all/],
    ["an unknown key, by name", { app: "web", aps: 1 }, /aps/],
    ["a wrong type, by name", { app: 7 }, /app/],
  ])("%s", async ([, body, said]) => {
    const problem = await refused(controller, "/api/v1/sync", body);
    expect(problem.status).toBe(400);
    expect(JSON.stringify(problem)).toMatch(said);
  });

  test.for(["1", "1y", "-5s", "6m", "301s", ""])("a wait of '%s'", async (wait) => {
    const problem = await refused(controller, `/api/v1/sync?wait=${wait}`, { all: true });
    expect([problem.status, JSON.stringify(problem)]).toEqual([400, expect.stringContaining("wait")]);
  });

  test.for<[object, RegExp]>([
    [{ repo: "nothing" }, /no repo nothing; there are files/],
    [{ app: "nothing" }, /no app with app nothing/],
    [{ ...SCOPE, env: "test" }, /no app with mod nginx, env test, app web/],
    [{ hosts: ["10.9.9.9"] }, /no host 10\.9\.9\.9 in the inventory/],
    [{ hosts: ["--help"] }, /no host --help/],
  ])("names that nobody knows: %s", async ([body, said]) => {
    const before = (await get<{ items: Operation[] }>(controller, "/api/v1/operations")).body.items.length;
    const problem = await refused(controller, "/api/v1/sync", body);
    expect(problem).toMatchObject({ status: 404, reason: "UnknownName" });
    expect(problem.detail).toMatch(said);
    expect((await get<{ items: Operation[] }>(controller, "/api/v1/operations")).body.items).toHaveLength(before);
  });

  test("a host that does not have the app, naming both, beside one that has it", async () => {
    const [has, other] = world.fleet.hosts.map(({ address, port }) => `${address}:${port}`) as [string, string];
    const problem = await refused(controller, "/api/v1/sync", {
      mod: "pg",
      env: "prod",
      app: "db",
      hosts: [has, other],
    });
    expect(problem).toMatchObject({ status: 404, reason: "UnknownName" });
    expect(problem.detail).toBe(`host ${other} does not have app ${DB} in the inventory`);
    const done = await sync(controller, { app: "db", hosts: [has] });
    expect(done).toMatchObject({ phase: "Succeeded", counts: { total: 1 } });
    await world.assign(DB, world.fleet.hosts.slice(0, 2));
    expect(await sync(controller, { app: "db", hosts: [has, other] })).toMatchObject({ counts: { total: 2 } });
    await world.assign(DB, world.fleet.hosts.slice(0, 1));
  });

  test("but not an app that no host has, and that is said", async () => {
    await world.repo.commit({ "nginx/prod/nowhere/etc/nowhere.conf": "1\n" });
    expect(await sync(controller, { app: "nowhere" })).toMatchObject({
      phase: "Succeeded",
      message: "no host was synced: the inventory has none of what was named",
      counts: { total: 0 },
    });
  });

  test("but what has come to Git or the CMDB just now is known", async () => {
    const host = await world.addHost();
    await world.repo.commit({ "nginx/prod/fresh/etc/fresh.conf": "fresh\n" });
    await world.assign("nginx/prod/fresh", [host]);
    const done = await sync(controller, { app: "fresh" });
    expect(done).toMatchObject({ phase: "Succeeded", counts: { total: 1, synced: 1 } });
    expect(textOn(host, "etc/fresh.conf")).toBe("fresh\n");
  });

  test("an operation that is not there, with what that may mean", async () => {
    const { status, body } = await get<Problem>(controller, "/api/v1/operations/nothing?wait=5m");
    expect([status, body.detail]).toEqual([404, expect.stringMatching(/no operation nothing.*kept for an hour/)]);
  });

  test("a cursor that no list gave", async () => {
    expect((await get<Problem>(controller, "/api/v1/operations?cursor=x")).status).toBe(400);
  });
});

describe("Idempotency-Key", () => {
  let keys = 0;
  let key: { "idempotency-key": string };
  beforeEach(() => {
    key = { "idempotency-key": `key ${++keys}` };
  });
  const ask = (body: object) => post<Operation>(controller, "/api/v1/sync?wait=60s", body, key);

  test("the same key is the same operation, also for two at once", async () => {
    const both = await Promise.all([ask(SCOPE), ask(SCOPE)]);
    const again = await ask(SCOPE);
    expect(new Set([...both, again].map(({ body }) => body.id)).size).toBe(1);
    expect(again.headers.get("location")).toBe(`/api/v1/operations/${again.body.id}`);
  });

  test("the same key with another body is refused", async () => {
    await ask(SCOPE);
    const problem = await refused(controller, "/api/v1/sync", { ...SCOPE, full: true }, key);
    expect([problem.status, problem.detail]).toEqual([422, expect.stringContaining("Idempotency-Key")]);
  });

  test("another key is another operation, and one without a name is none", async () => {
    const [one, other] = [await ask(SCOPE), await post<Operation>(controller, "/api/v1/sync", SCOPE)];
    expect(one.body.id).not.toBe(other.body.id);
    expect((await refused(controller, "/api/v1/sync", SCOPE, { "idempotency-key": "k".repeat(201) })).status).toBe(400);
  });
});

test("whoever waits when the controller ends is told how far it is", async () => {
  const [hangs] = world.fleet.hosts;
  await commit();
  await hangs!.freeze();
  try {
    const { body } = await post<Operation>(controller, "/api/v1/sync", SCOPE);
    await becomes(controller, body.id, ({ counts }) => counts.synced >= 2, "the other hosts");
    const waiting = get<Operation>(controller, `/api/v1/operations/${body.id}?wait=5m`);
    // It is surely under way before the end.
    await operation(controller, body.id);
    await hangs!.down();
    const ended = controller.stop();
    expect((await waiting).status).toBe(200);
    expect((await ended).code).toBe(0);
  } finally {
    await hangs!.up();
  }
  controller = await world.start();
  await world.settled(4);
});
