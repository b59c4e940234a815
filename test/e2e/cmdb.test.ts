import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until, type FleetHost } from "../support/fleet.ts";
import { World, type Controller } from "../support/world.ts";
import { textOn, touchedBetween, touchesOn } from "./on-host.ts";

const WEB = "nginx/prod/web";
const API = "nginx/prod/api";
const TOKEN = "cmdb-token-7f3a9c";

describe("the CMDB fails, and the hosts keep being synced", () => {
  let world: World;
  let controller: Controller;
  let hosts: readonly FleetHost[];
  let commits = 0;

  beforeAll(async () => {
    world = await World.create({
      hosts: 3,
      kind: "ports",
      files: { [`${WEB}/etc/a.conf`]: "0\n", [`${API}/etc/api.conf`]: "api\n" },
    });
    hosts = [...world.fleet.hosts];
    await world.assign(API, hosts.slice(0, 1));
    await world.putSecret("cmdb", { token: `${TOKEN}\n` });
    world.cmdb.authorization = `Bearer ${TOKEN}`;
    await world.configure({
      inventory: {
        http: {
          url: `${world.cmdb.url}/api/hosts?mod={mod}&env={env}&app={app}`,
          hosts: "data",
          secretRef: { name: "cmdb" },
        },
      },
    });
    controller = await world.start();
    await world.settled();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  /** The messages of a problem, once it is there; a `sync` asks the inventory before its interval is over. */
  async function problem(reason: string, count = 1): Promise<string[]> {
    await world.run("sync");
    const found = (problems: readonly { reason: string }[] = []) => problems.filter((one) => one.reason === reason);
    const { problems } = await world.when((report) => found(report.problems).length >= count, reason);
    return problems!.filter((one) => one.reason === reason).map(({ message }) => message);
  }

  /** The inventory is in order again; a `sync` asks it before its backoff is over. */
  async function noProblem(): Promise<void> {
    await world.run("sync");
    await world.when(({ problems = [] }) => problems.length === 0, "all problems to be over", 30_000);
  }

  /** A commit reaches all three hosts. */
  async function commitArrives(): Promise<void> {
    const text = `${++commits}\n`;
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: text });
    await world.settled(3);
    for (const host of hosts) expect(textOn(host, "etc/a.conf")).toBe(text);
  }

  const ways = {
    "fault 17: an error 500": { status: 500 },
    "fault 19: a login page": "html",
    "fault 19: a truncated answer": "truncated",
    "fault 19: another shape": { body: '{"data":{"web":["10.0.0.1"]}}' },
    "fault 23: a redirect loop": "redirect-loop",
    "fault 17: a connection reset": "reset",
  } as const;

  for (const [name, behaviour] of Object.entries(ways)) {
    test(`${name} is told as InventoryFailed, and commits go to the hosts last known`, async () => {
      const told = controller.logged("InventoryFailed").length;
      world.cmdb.behave(behaviour, WEB);
      const [message] = await problem("InventoryFailed");
      expect(message).toContain(WEB);
      await commitArrives();
      expect(controller.logged("InventoryFailed").length - told).toBe(1);
      world.cmdb.behave("ok", WEB);
      await noProblem();
    });
  }

  test("fault 17: the last good answer holds across a restart", async () => {
    for (const app of [WEB, API] as const) world.cmdb.behave({ status: 503 }, app);
    await controller.kill();
    controller = await world.start();
    await problem("InventoryFailed");
    await commitArrives();
    expect(await controller.metric(`fssync_inventory_hosts{repo="files"}`)).toBe(3);
    expect(await controller.metric(`fssync_inventory_refresh_total{repo="files",result="failure"}`)).toBeGreaterThan(0);
    for (const app of [WEB, API] as const) world.cmdb.behave("ok", app);
    await world.when(({ problems = [] }) => problems.length === 0, "the inventory to recover by itself", 30_000);
  });

  test("fault 18: an empty answer is held as suspicious, and its hosts are synced on", async () => {
    await world.assign(WEB, []);
    await problem("InventorySuspicious");
    await commitArrives();
    const told = controller.log.filter(({ event }) => event === "InventorySuspicious");
    expect(told).toHaveLength(1);
    await world.assign(WEB, hosts);
    await noProblem();
  });

  test("fault 18: a drop over the limit is held, one within it is obeyed", async () => {
    await world.assign(WEB, hosts.slice(0, 1));
    await problem("InventorySuspicious");
    await commitArrives();
    await world.assign(WEB, hosts.slice(0, 2));
    await world.when(({ hosts: found }) => found.length === 2, "one of three hosts to leave");
    await world.assign(WEB, hosts);
    await world.settled(3);
    await noProblem();
  });

  test("fault 20: bad hosts are refused by name, their siblings are synced, nothing of them is run", async () => {
    const marker = join(world.dir, "pwned");
    const good = hosts.map(({ address, port, root }) => ({ address, port, root }));
    const bad = [
      { address: `-oProxyCommand=touch ${marker}` },
      { address: `a;touch ${marker}` },
      { address: `$(touch ${marker})` },
      { address: "user@h" },
      { address: "[::1%x]" },
      { address: "with space" },
      { address: "line\nbreak" },
      { address: "127.0.0.1", port: 70_000 },
      { address: "web-1", root: "/srv/../etc" },
      { address: "web-2", user: "-oProxyCommand=x" },
    ];
    world.cmdb.set(WEB, [...bad, ...good]);
    const messages = await problem("InvalidHost", bad.length);
    expect(messages).toHaveLength(bad.length);
    for (const { address } of bad.slice(0, 6)) expect(messages.some((text) => text.includes(address))).toBe(true);
    await commitArrives();
    expect(existsSync(marker)).toBe(false);
    expect((await world.peek()).hosts).toHaveLength(3);
    expect((await world.run("sync")).code, "a bad host in the CMDB is no failed sync").toBe(0);
    await world.assign(WEB, hosts);
    await noProblem();
  });

  test("fault 21: a host that is listed twice is one host", async () => {
    const [one] = hosts.map(({ address, port, root }) => ({ address, port, root }));
    const before = touchesOn(hosts[0]!);
    world.cmdb.set(WEB, [
      one!,
      { ...one!, address: `${one!.address}:${one!.port}` },
      ...hosts.map(({ address, port, root }) => ({ address, port, root })),
    ]);
    const asked = world.cmdb.requests.length;
    await until(() => world.cmdb.requests.length >= asked + 4, 10_000, "two more refreshes");
    expect((await world.peek()).hosts).toHaveLength(3);
    expect(touchedBetween(before, touchesOn(hosts[0]!))).toEqual([]);
    await world.assign(WEB, hosts);
  });

  test("fault 25: a host whose name has no address is Unreachable and tried again, the others go on", async () => {
    const known = hosts.map(({ address, port, root }) => ({ address, port, root }));
    world.cmdb.set(WEB, [...known, { address: "fssync-test.invalid", root: "/nowhere" }]);
    const late = ({ address }: { address: string }) => address === "fssync-test.invalid";
    await world.when(
      (report) => (report.hosts.find(late)?.apps[0]?.attempts ?? 0) >= 2,
      "the host without an address to be tried twice",
    );
    expect((await world.peek()).hosts.find(late)).toMatchObject({
      state: "Unreachable",
      apps: [{ reason: "NameResolutionFailed" }],
    });
    await commitArrives();
    await world.assign(WEB, hosts);
    await world.when((report) => !report.hosts.some(late), "the host to leave");
  });

  test("a wrong token is told without the token, and corrected without a restart", async () => {
    await world.putSecret("cmdb", { token: "wrong-token-55\n" });
    const [message] = await problem("InventoryFailed");
    expect(message).toContain("401");
    await world.putSecret("cmdb", { token: `${TOKEN}\n` });
    await noProblem();
    expect(controller.running.stderr).not.toContain("wrong-token-55");
    expect(message).toMatch(/^nginx\/prod\/api, nginx\/prod\/web: /);
  });

  test("fault 17: a first start without any answer syncs nothing and says why", async () => {
    await controller.stop();
    rmSync(world.dataDir, { recursive: true });
    for (const app of [WEB, API] as const) world.cmdb.behave({ status: 500 }, app);
    const before = touchesOn(hosts[0]!);
    controller = await world.start();
    await problem("InventoryFailed");
    expect((await world.peek()).hosts).toEqual([]);
    expect(touchedBetween(before, touchesOn(hosts[0]!))).toEqual([]);
    for (const app of [WEB, API] as const) world.cmdb.behave("ok", app);
    await world.run("sync");
    await world.settled(3);
  });

  test("the token is in no log", () => {
    expect(controller.running.stderr + controller.running.stdout).not.toContain(TOKEN);
  });
});
