import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AppItem, HostItem } from "../../../src/reconcile/report-items.ts";
import { EventStream } from "../../support/event-stream.ts";
import { until, type FleetHost } from "../../support/fleet.ts";
import { World, type Controller } from "../../support/world.ts";

const WEB = "nginx/prod/web";
const API = "nginx/prod/api";
const FILE = `${WEB}/etc/a.conf`;

let world: World;
let controller: Controller;

beforeAll(async () => {
  world = await World.create({ hosts: 2, kind: "ports", files: { [FILE]: "0\n", [`${API}/etc/b.conf`]: "0\n" } });
  controller = await world.start();
  await world.settled();
});
afterAll(() => world[Symbol.asyncDispose]());

async function watch<Item>(of: string, query = ""): Promise<EventStream<Item>> {
  const stream = await EventStream.open<Item>(`${controller.url}/api/v1/${of}?watch=true${query}`);
  expect(stream.status).toBe(200);
  await stream.synced();
  return stream;
}

async function listed<Item>(of: string): Promise<Item[]> {
  return ((await (await controller.get(`/api/v1/${of}`)).json()) as { items: Item[] }).items;
}

function names({ address, port }: Pick<FleetHost, "address" | "port">) {
  return { repo: "files", address, port };
}

describe("a watcher", () => {
  test("is told what the list has, then what changes, of each item the newest at last", async () => {
    using hosts = await watch<HostItem>("hosts");
    using apps = await watch<AppItem>("apps");
    expect(hosts.events.slice(0, -1).map(({ data }) => data)).toEqual(await listed("hosts"));
    expect(apps.events.slice(0, -1).map(({ data }) => data)).toEqual(await listed("apps"));
    expect(new Set(hosts.events.map(({ event }) => event))).toEqual(new Set(["added", "synced"]));
    const commit = await world.repo.commit({ [FILE]: "1\n" });
    const has = (item: HostItem) => item.apps[0]?.revision?.endsWith(commit) && item.state === "Synced";
    await hosts.until(({ changes }) => changes.filter(({ data }) => has(data)).length === 2, "both hosts to have it");
    await apps.until(
      ({ changes }) =>
        changes.some(({ data }) => data.app === "web" && data.revision.endsWith(commit) && data.hosts.synced === 2),
      "the app to be synced",
    );
    expect(new Set(hosts.changes.map(({ event }) => event))).toEqual(new Set(["modified"]));
    // The other app did not change.
    expect(apps.changes.filter(({ data }) => data.app !== "web")).toEqual([]);
    await until(
      async () => {
        const last = new Map(
          hosts.events.filter(({ event }) => event !== "synced").map(({ data }) => [data.port, data]),
        );
        expect([...last.values()]).toEqual(await listed("hosts"));
        return true;
      },
      1000,
      "the last events to be what the list has",
    );
  });

  test("of a part is told of what comes into it as added, and of what leaves it as deleted", async () => {
    const [host] = world.fleet.hosts;
    using failing = await watch<HostItem>("hosts", "&state=Unreachable&state=Failed");
    using others = await watch<HostItem>("hosts", `&app=api`);
    using byName = await watch<HostItem>("hosts", `&address=${host!.address}:${host!.port}`);
    expect([failing.events.length, others.events.length, byName.events.length]).toEqual([1, 1, 2]);
    await host!.down();
    await world.repo.commit({ [FILE]: "2\n" });
    await failing.until(({ changes }) => changes.length > 0, "the host to fail");
    expect(failing.changes[0]).toMatchObject({ event: "added", data: { ...names(host!), state: "Unreachable" } });
    await host!.up();
    await failing.until(({ changes }) => changes.at(-1)!.event === "deleted", "the host to be well again");
    expect(failing.changes.at(-1)!.data).toEqual(names(host!));
    await byName.until(({ changes }) => changes.at(-1)?.data.state === "Synced", "the host to be synced");
    expect(new Set(byName.changes.map(({ data }) => data.port))).toEqual(new Set([host!.port]));
    expect(others.changes).toEqual([]);
    await world.settled();
  });

  test("is told of hosts that come and go", async () => {
    using hosts = await watch<HostItem>("hosts");
    const host = await world.addHost();
    await world.assign(API, [host]);
    await hosts.until(({ changes }) => changes.some(({ event }) => event === "added"), "the host to come");
    expect(hosts.changes.find(({ event }) => event === "added")!.data).toMatchObject(names(host));
    await world.shows(host, "Synced", { app: API });
    await world.assign(API, world.fleet.hosts.slice(0, 2));
    await hosts.until(({ changes }) => changes.some(({ event }) => event === "deleted"), "the host to go");
    expect(hosts.changes.filter(({ event }) => event === "deleted").map(({ data }) => data)).toEqual([names(host)]);
  });

  test("is told of what people suspend, and of what they let go on", async () => {
    const set = async (what: "suspend" | "resume") => {
      const body = JSON.stringify({ repo: "files", mod: "nginx", env: "prod", app: "web" });
      const headers = { "content-type": "application/json" };
      const answer = await fetch(`${controller.url}/api/v1/${what}`, { method: "POST", headers, body });
      expect(answer.status, await answer.text()).toBe(200);
    };
    using apps = await watch<AppItem>("apps", "&app=web");
    await set("suspend");
    await apps.until(({ changes }) => changes.at(-1)?.data.suspended === true, "the app to be suspended");
    await set("resume");
    await apps.until(({ changes }) => changes.at(-1)?.data.suspended === false, "the app to go on");
  });

  test("of a repo that is not there, or asked in a wrong way, is a problem and no stream", async () => {
    for (const [query, status] of [
      ["repo=other", 404],
      ["state=Bad", 400],
      ["address=a%20b", 400],
      ["since=1", 400],
    ] as const) {
      const answer = await controller.get(`/api/v1/hosts?watch=true&${query}`);
      expect([query, answer.status]).toEqual([query, status]);
      expect(answer.headers.get("content-type")).toContain("application/problem+json");
    }
  });

  test("that is silent for long is sent a heartbeat", { timeout: 40_000 }, async () => {
    using apps = await watch<AppItem>("apps");
    await apps.until(({ comments }) => comments > 0, "a heartbeat", 25_000);
    expect(apps.ended).toBe(false);
  });

  // The last one: nothing runs after it.
  test("ends in good order when the controller is told to stop, and does not keep it", async () => {
    using apps = await watch<AppItem>("apps");
    using hosts = await watch<HostItem>("hosts");
    const start = performance.now();
    const { code } = await controller.stop();
    expect(code).toBe(0);
    // What is still open after 5 s would have been cut off.
    expect(performance.now() - start).toBeLessThan(5000);
    await until(() => apps.ended && hosts.ended, 5000, "the streams to end");
    expect([apps.response.complete, hosts.response.complete]).toEqual([true, true]);
  });
});
