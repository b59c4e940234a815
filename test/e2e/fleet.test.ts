import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { namespaceUnavailable, until, type FleetHost } from "../support/fleet.ts";
import { World, type Controller } from "../support/world.ts";
import { textOn } from "./on-host.ts";

const WEB = "nginx/prod/web";
const HOSTS = 100;
/** On a busy machine of two cores a run may take this many times as long as the one before, by chance alone. */
const CHANCE = 2;

describe.skipIf(namespaceUnavailable() !== undefined)("a hundred hosts, of which one hangs and one is away", () => {
  let world: World;
  let controller: Controller;
  let commits = 0;
  /** Milliseconds from a commit to the last of the hosts, with all of them well. */
  let wellTime: number;

  beforeAll(async () => {
    world = await World.create({
      hosts: HOSTS,
      kind: "namespace",
      files: {
        [`${WEB}/etc/a.conf`]: "0\n",
        ...Object.fromEntries(
          Array.from({ length: 20 }, (_, index) => [`${WEB}/etc/conf.d/${index}.conf`, `${index}\n`]),
        ),
      },
      spec: { ssh: { connectTimeout: "2s" }, sync: { timeout: "5s" } },
    });
    controller = await world.start();
    await world.settled(HOSTS, 60_000);
  }, 90_000);
  afterAll(() => world[Symbol.asyncDispose]());

  const hung = () => world.fleet.hosts[0]!;
  const away = () => world.fleet.hosts[1]!;
  const healthy = () => world.fleet.hosts.slice(2);

  /** Milliseconds from a commit until these hosts have it. */
  async function commitReaches(hosts: readonly FleetHost[], deadline: number): Promise<number> {
    const text = `${++commits}\n`;
    const started = performance.now();
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: text });
    await until(() => hosts.every((host) => textOn(host, "etc/a.conf") === text), deadline, `${hosts.length} hosts`);
    const took = performance.now() - started;
    return took;
  }

  test("a commit reaches all of them", async () => {
    wellTime = await commitReaches(world.fleet.hosts, 60_000);
    await world.settled(HOSTS);
    for (const host of [hung(), away()]) expect(textOn(host, "etc/conf.d/19.conf")).toBe("19\n");
  });

  test("with one that hangs and one that is away, the other 98 take no longer", async () => {
    await hung().freeze();
    await away().down();
    const time = await commitReaches(healthy(), 60_000);
    expect(time).toBeLessThan(wellTime * CHANCE + 1000);
    await world.settled(HOSTS - 2);
  });

  test("nor do they at the next commit, while the two are tried again and again", async () => {
    await world.shows(away(), "Unreachable");
    const time = await commitReaches(healthy(), 60_000);
    expect(time).toBeLessThan(wellTime * CHANCE + 1000);
    await world.settled(HOSTS - 2);
    for (const host of [hung(), away()]) expect(textOn(host, "etc/a.conf")).not.toBe(`${commits}\n`);
  });

  test("the two are shown, counted and told once each", async () => {
    const bad = (state: string) => state === "Failed" || state === "Unreachable";
    const report = await world.when(
      ({ hosts }) => hosts.filter(({ state }) => bad(state)).length === 2,
      "both to be shown",
    );
    const names = report.hosts.filter(({ state }) => bad(state)).map(({ address }) => address);
    expect(names.toSorted()).toEqual([hung().address, away().address].toSorted());
    const labels = `repo="files",mod="nginx",env="prod",app="web"`;
    expect(await controller.metric(`fssync_app_hosts{${labels},state="Synced"}`)).toBe(HOSTS - 2);
    expect(await controller.metric(`fssync_inventory_hosts{repo="files"}`)).toBe(HOSTS);
    const told = () => new Set(controller.logged("SyncFailed").map(({ host }) => host)).size;
    await until(() => told() === 2, 10_000, "both failures to be told");
    const reasons = controller.logged("SyncFailed").map(({ host, reason }) => `${String(host)} ${String(reason)}`);
    expect(new Set(reasons).size).toBe(reasons.length);
    expect(told()).toBe(2);
  });

  test("both have the newest commit soon after they are back", async () => {
    await hung().thaw();
    await away().up();
    await world.settled(HOSTS, 40_000);
    for (const host of world.fleet.hosts) expect(textOn(host, "etc/a.conf")).toBe(`${commits}\n`);
  }, 60_000);

  test("SIGTERM ends a hundred connections and leaves nothing behind", async () => {
    const started = performance.now();
    expect((await controller.stop()).code).toBe(0);
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(world.processes()).toEqual([]);
  });
});

describe.skipIf(namespaceUnavailable() !== undefined)("a network that loses a third of the packets", () => {
  test("fault 28: every host is synced all the same", async () => {
    await using world = await World.create({
      hosts: 30,
      kind: "namespace",
      files: { [`${WEB}/etc/a.conf`]: "0\n" },
      // What is sent again waits for ever longer; a host that was given up waits for its turn, too.
      spec: { ssh: { connectTimeout: "30s" }, sync: { timeout: "60s" } },
    });
    await world.start();
    await world.settled(30, 60_000);
    world.fleet.network!.lose(30);
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: "1\n" });
    await until(() => world.fleet.hosts.every((host) => textOn(host, "etc/a.conf") === "1\n"), 240_000, "the commit");
    world.fleet.network!.lose(0);
    await world.settled(30, 60_000);
  }, 360_000);
});
