import { afterAll, beforeAll, expect, test } from "vitest";
import { World, type Controller } from "../../support/world.ts";

let world: World;
let controller: Controller;

beforeAll(async () => {
  world = await World.create({ hosts: 1, kind: "ports", files: { "nginx/prod/web/etc/a.conf": "0\n" } });
  controller = await world.start();
  await world.settled(1);
});
afterAll(() => world[Symbol.asyncDispose]());

test("the API names the repos", async () => {
  const answer = await controller.get("/api/v1/repos");
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({
    items: [{ name: "files", revision: `main@sha1:${await world.repo.commitOf("main")}`, suspended: false }],
  });
  const openapi = await controller.get("/openapi.json");
  expect(openapi.status).toBe(200);
  expect(((await openapi.json()) as { openapi: string }).openapi).toBe("3.1.0");
  const missing = await controller.get("/api/v1/nothing");
  expect(missing.headers.get("content-type")).toContain("application/problem+json");
});
