import { expect, onTestFinished, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import { quiet } from "../../support/fakes.ts";
import { makeHost } from "../../support/factories.ts";
import { Rig } from "./rig.ts";

const WEB: AppKey = "nginx/prod/web";
const NOBODY = { repo: false, apps: new Set<AppKey>(), hosts: new Set<string>() };
const h0 = makeHost("h0");

test("a repo that is resumed before Git was read is read at once", async () => {
  const rig = new Rig({ gitInterval: 86_400_000, suspended: { ...NOBODY, repo: true } });
  onTestFinished(() => rig[Symbol.asyncDispose]());
  rig.source.push({ [WEB]: { a: "1" } });
  rig.inventory.set(WEB, [h0]);
  await rig.start();
  expect(rig.controller.fleet.desired.size).toBe(0);
  rig.controller.suspend(NOBODY);
  await quiet();
  expect([...rig.controller.fleet.desired.keys()]).toEqual([WEB]);
});
