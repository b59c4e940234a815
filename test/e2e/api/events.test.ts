import { afterAll, beforeAll, expect, test } from "vitest";
import { EventStream } from "../../support/event-stream.ts";
import { World, type Controller } from "../../support/world.ts";
import { until, type FleetHost } from "../../support/fleet.ts";

interface Event {
  id: number;
  repo: string;
  app?: string;
  host?: string;
  type: string;
  reason: string;
  message: string;
  count: number;
  firstAt: string;
  lastAt: string;
}

const WEB = "nginx/prod/web";

let world: World;
let controller: Controller;

beforeAll(async () => {
  world = await World.create({ hosts: 2, kind: "ports", files: { [`${WEB}/etc/a.conf`]: "0\n" } });
  controller = await world.start();
  await world.settled();
  const told = async () => (await events("?reason=SyncSucceeded")).length === 1;
  await until(told, 5000, "the first sync to be told");
});
afterAll(() => world[Symbol.asyncDispose]());

function keyOf({ address, port }: FleetHost): string {
  return `${address}:${port}`;
}

async function events(query = ""): Promise<Event[]> {
  const answer = await controller.get(`/api/v1/events${query}`);
  expect(answer.status).toBe(200);
  return ((await answer.json()) as { items: Event[] }).items;
}

test("events are listed newest first, with what they are about, and filtered by it", async () => {
  const [host, other] = world.fleet.hosts;
  await host!.down();
  const commit = await world.repo.commit({ [`${WEB}/etc/a.conf`]: "1\n" });
  await world.shows(host!, "Unreachable");
  const all = await events();
  expect(all[0]).toMatchObject({
    repo: "files",
    app: WEB,
    host: keyOf(host!),
    type: "Warning",
    reason: "SyncFailed",
    count: 1,
  });
  expect(all.map(({ reason }) => reason)).toEqual([
    "SyncFailed",
    "NewRevision",
    "SyncSucceeded",
    "HostAdded",
    "NewRevision",
  ]);
  expect(all[1]!.message).toContain(commit);
  expect(all[2]).toMatchObject({ app: WEB, message: expect.stringMatching(/ is on all 2 hosts$/) as string });
  expect(new Date(all[0]!.lastAt).toISOString()).toBe(all[0]!.lastAt);
  const only = async (query: string) => (await events(query)).map(({ reason }) => reason);
  expect(await only("?type=Warning")).toEqual(["SyncFailed"]);
  expect(await only("?reason=HostAdded&reason=SyncFailed")).toEqual(["SyncFailed", "HostAdded"]);
  expect(await only(`?app=${WEB}`)).toEqual(["SyncFailed", "SyncSucceeded"]);
  expect(await only("?app=nginx/prod/other")).toEqual([]);
  expect(await only("?mod=nginx&env=prod")).toEqual(["SyncFailed", "SyncSucceeded"]);
  expect(await only("?mod=nginx&env=test")).toEqual([]);
  expect(await only("?mod=env")).toEqual([]);
  expect(await only(`?host=${keyOf(host!)}`)).toEqual(["SyncFailed"]);
  expect(await only(`?host=${host!.address}`)).toEqual(["SyncFailed"]);
  expect(await only(`?host=${keyOf(other!)}`)).toEqual([]);
  expect(await only("?repo=files&limit=2")).toEqual(["SyncFailed", "NewRevision"]);
});

test("events are watched: what there was, then what happens, and what happens again counts on", async () => {
  const [host] = world.fleet.hosts;
  using stream = await EventStream.open<Event>(`${controller.url}/api/v1/events?watch=true`);
  expect(stream.status).toBe(200);
  expect(stream.response.headers).toMatchObject({
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-request-id": expect.any(String) as string,
  });
  await stream.synced();
  expect(stream.retry).toBeGreaterThanOrEqual(1000);
  const before = await events();
  expect(stream.events.map(({ data }) => data).slice(0, -1)).toEqual(before.toReversed());
  using failures = await EventStream.open<Event>(`${controller.url}/api/v1/events?watch=true&type=Warning`);
  await failures.synced();
  await host!.up();
  const commit = await world.repo.commit({ [`${WEB}/etc/a.conf`]: "2\n" });
  await world.settled();
  await stream.until(
    ({ changes }) => changes.some(({ event, data }) => event === "added" && data.message.includes(commit)),
    "the new revision",
  );
  expect(failures.changes).toEqual([]);
  const ids = stream.events.map(({ id }) => Number(id));
  expect(ids.slice(-2).toSorted((a, b) => a - b)).toEqual(ids.slice(-2));
});

test.for([
  ["?reason=Nonsense", 400, "reason"],
  ["?host=a%20b", 400, "a b"],
  ["?app=web", 400, "app"],
  ["?limit=0", 400, "limit"],
  ["?until=now", 400, "until"],
  ["?repo=other", 404, "there are files"],
  ["?repo=other&watch=true", 404, "there are files"],
] as const)("events %s: %i, and it says what is wrong", async ([query, status, said]) => {
  const answer = await controller.get(`/api/v1/events${query}`);
  expect(answer.status).toBe(status);
  expect(answer.headers.get("content-type")).toContain("application/problem+json");
  expect(JSON.stringify(await answer.json())).toContain(said);
});

test("HEAD of a stream is its headers", async () => {
  const answer = await fetch(`${controller.url}/api/v1/events?watch=true`, { method: "HEAD" });
  expect(answer.headers.get("content-type")).toContain("text/event-stream");
});
