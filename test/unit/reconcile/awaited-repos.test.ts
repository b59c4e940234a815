import { expect, onTestFinished, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import { Controller, type SyncRequest } from "../../../src/reconcile/controller.ts";
import { quiet } from "../../support/fakes.ts";
import { makeHost } from "../../support/factories.ts";
import { Rig } from "./rig.ts";

const WEB: AppKey = "nginx/prod/web";
const ALL: SyncRequest = { apps: [], hosts: [], scope: {}, full: false, allowPrune: false };
const forever = new AbortController().signal;
const starting = { reason: "RepoStarting" };

async function setUp() {
  const rig = new Rig();
  onTestFinished(() => rig[Symbol.asyncDispose]());
  rig.source.push({ [WEB]: { a: "1" } });
  rig.inventory.set(WEB, [makeHost("h0")]);
  await rig.start();
  return { rig, controller: new Controller({ repos: [rig.controller], clock: rig.clock }) };
}

test("while a repo is awaited, who asks for it or for all is told so, and who asks for another one is served", async () => {
  const { rig, controller } = await setUp();
  controller.await("other");
  expect(controller.running).toEqual([rig.controller]);
  expect(controller.repo("repo")).toBe(rig.controller);
  expect(() => controller.repos).toThrow(expect.objectContaining(starting));
  expect(() => controller.repo("other")).toThrow(expect.objectContaining(starting));
  await expect(controller.sync(ALL, () => {}, forever)).rejects.toMatchObject(starting);
  await expect(controller.require({ ...ALL, scope: { repo: "other" } }, forever)).rejects.toMatchObject(starting);
  await controller.require({ ...ALL, scope: { repo: "repo" } }, forever);
  controller.forgo("other");
  expect(controller.repos).toEqual([rig.controller]);
});

test("before it is known which repos there are nobody is told of any", async () => {
  const { rig } = await setUp();
  const controller = new Controller({ repos: [], clock: rig.clock, starting: true });
  expect(() => controller.repos).toThrow(expect.objectContaining(starting));
  await expect(controller.sync(ALL, () => {}, forever)).rejects.toMatchObject(starting);
  controller.started();
  expect(controller.repos).toEqual([]);
});

test("a repo that was started anew while Git was asked is not synced by what it knew before", async () => {
  const { rig, controller } = await setUp();
  const synced = expect(controller.sync(ALL, () => {}, forever)).rejects.toMatchObject({ reason: "Interrupted" });
  controller.await("repo");
  controller.remove(rig.controller);
  const next = new Rig();
  onTestFinished(() => next[Symbol.asyncDispose]());
  await next.start();
  controller.add(next.controller);
  await quiet();
  await synced;
});
