import { expect, onTestFinished, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import { Controller, type SyncRequest } from "../../../src/reconcile/controller.ts";
import { Operations } from "../../../src/reconcile/operations.ts";
import { quiet } from "../../support/fakes.ts";
import { makeHost } from "../../support/factories.ts";
import { Rig } from "./rig.ts";

const WEB: AppKey = "nginx/prod/web";
const FULL: SyncRequest = { apps: [], hosts: [], scope: {}, full: true, allowPrune: false };
const [h0, h1] = [makeHost("h0"), makeHost("h1")];
const forever = new AbortController().signal;
const interrupted = { reason: "Interrupted", message: expect.stringContaining("ask again") as string };

/** Two hosts and one worker, that is busy with the first. */
async function setUp() {
  const rig = new Rig({ concurrency: 1 });
  onTestFinished(() => rig[Symbol.asyncDispose]());
  rig.source.push({ [WEB]: { a: "1" } });
  rig.inventory.set(WEB, [h0, h1]);
  await rig.start();
  rig.transport.hold(h0.key);
  const controller = new Controller({ repos: [rig.controller], clock: rig.clock });
  return { rig, controller };
}

test("an operation whose repo ends has failed, and says to ask again", async () => {
  const { rig, controller } = await setUp();
  const operations = new Operations({ controller, clock: rig.clock });
  onTestFinished(() => operations[Symbol.asyncDispose]());
  const begun = await operations.begin(FULL, { by: "me" }, forever);
  if ("refused" in begun) throw new Error(begun.refused);
  await quiet();
  controller.remove(rig.controller);
  await rig.controller[Symbol.asyncDispose]();
  await quiet();
  expect(begun.operation).toMatchObject({ phase: "Failed", error: interrupted });
  expect([...begun.operation.hosts].map(({ address, attempted }) => [address, attempted])).toEqual([
    ["h0", true],
    ["h1", false],
  ]);
});

test("who waits for a sync on the control socket when the repo ends is told so", async () => {
  const { rig, controller } = await setUp();
  const sync = controller.sync(FULL, () => {}, forever);
  const told = expect(sync).rejects.toMatchObject(interrupted);
  await quiet();
  await rig.controller[Symbol.asyncDispose]();
  await told;
});

test("what is asked of a repo that has ended is over at once", async () => {
  const { rig } = await setUp();
  await rig.controller[Symbol.asyncDispose]();
  await expect(rig.controller.request({}, FULL).finished).rejects.toMatchObject(interrupted);
  await expect(rig.controller.verify({}, { contents: false }).finished).rejects.toMatchObject(interrupted);
});

test("while a process ends nothing is begun any more, and what runs goes on", async () => {
  const { rig, controller } = await setUp();
  const operations = new Operations({ controller, clock: rig.clock });
  onTestFinished(() => operations[Symbol.asyncDispose]());
  const asker = { by: "me", key: "one" };
  const begun = await operations.begin(FULL, asker, forever);
  if ("refused" in begun) throw new Error(begun.refused);
  operations.refuse(new FssyncError("Interrupted", "fssync was told to stop"));
  await expect(operations.begin(FULL, { by: "me" }, forever)).rejects.toMatchObject({ reason: "Interrupted" });
  const again = await operations.begin(FULL, asker, forever);
  expect("operation" in again && again.operation === begun.operation).toBe(true);
  expect(begun.operation.phase).toBe("Running");
});
