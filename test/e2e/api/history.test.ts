import { afterAll, beforeAll, expect, test } from "vitest";
import { World, type Controller } from "../../support/world.ts";

interface HistoryCommit {
  commit: string;
  revision: string;
  author: string;
  date: string;
  subject: string;
  hosts: number;
}

const WEB = "nginx/prod/web";
const FILE = `${WEB}/etc/a.conf`;

let world: World;
let controller: Controller;

beforeAll(async () => {
  world = await World.create({ hosts: 2, kind: "ports", files: { [FILE]: "0\n" } });
  controller = await world.start();
  await world.settled();
});
afterAll(() => world[Symbol.asyncDispose]());

async function history(app = WEB, query = ""): Promise<HistoryCommit[]> {
  const answer = await controller.get(`/api/v1/apps/files/${app}/history${query}`);
  expect(answer.status, await answer.clone().text()).toBe(200);
  return ((await answer.json()) as { items: HistoryCommit[] }).items;
}

test("the history of an app tells its commits, and how many hosts have which", async () => {
  const [host] = world.fleet.hosts;
  const [first] = await history();
  expect(first).toMatchObject({
    commit: await world.repo.commitOf("main"),
    author: "Tester",
    subject: "change",
    hosts: 2,
  });
  await host!.down();
  const second = await world.repo.commit({ [FILE]: "1\n" }, { message: "port moved\n\nbecause of this" });
  await world.shows(host!, "Unreachable");
  await world.when(({ hosts }) => hosts.some(({ state }) => state === "Synced"), "the other host to have it");
  const [newest, ...older] = await history();
  expect(newest).toEqual({
    commit: second,
    revision: `main@sha1:${second}`,
    author: "Tester",
    date: expect.stringMatching(/^\d{4}-.*Z$/) as string,
    subject: "port moved",
    hosts: 1,
  });
  expect(older).toEqual([{ ...first, hosts: 1 }]);
  expect(await history(WEB, "?limit=1")).toEqual([newest]);
  await host!.up();
  await world.settled();
});

test("a host that synced at a later commit, which changed another app, counts for the one that changed this app", async () => {
  const { repo } = world;
  await repo.git(["update-ref", "refs/heads/aside", (await repo.commitOf("main"))!]);
  const own = await repo.commit({ [FILE]: "own\n" }, { branch: "aside" });
  const other = await repo.commit({ "nginx/prod/api/etc/b.conf": "1\n" }, { branch: "aside" });
  // Both arrive at once.
  await repo.git(["update-ref", "refs/heads/main", other]);
  await world.settled();
  expect((await world.at(world.fleet.hosts[0]!))?.revision).toBe(`main@sha1:${other}`);
  const [newest] = await history();
  expect(newest).toMatchObject({ commit: own, hosts: 2 });
});

test.for([
  ["files/nginx/prod/none", 404, "no app nginx/prod/none"],
  ["other/nginx/prod/web", 404, "there are files"],
  ["files/nginx/prod/..%2fweb", 404, "no app"],
  ["files/--all/prod/web", 404, "no app"],
  ["files/nginx/prod/web", 400, "limit", "?limit=101"],
  ["files/nginx/prod/web", 400, "since", "?since=1"],
] as const)("the history of %s: %i, and it says why", async ([path, status, said, query = ""]) => {
  const answer = await controller.get(`/api/v1/apps/${path}/history${query}`);
  expect(answer.status).toBe(status);
  expect(JSON.stringify(await answer.json())).toContain(said);
});
