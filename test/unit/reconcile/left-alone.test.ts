import { expect, onTestFinished, test } from "vitest";
import { leftAloneText } from "../../../src/cli/left-alone-text.ts";
import { planText } from "../../../src/cli/plan-text.ts";
import type { AppKey } from "../../../src/model/app.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import { Controller } from "../../../src/reconcile/controller.ts";
import { suspendedBy } from "../../../src/reconcile/stored-suspender.ts";
import { quiet } from "../../support/fakes.ts";
import { makeHost } from "../../support/factories.ts";
import { Rig } from "./rig.ts";

const [WEB, API]: [AppKey, AppKey] = ["nginx/prod/web", "nginx/prod/api"];
const [h0, h1] = [makeHost("h0"), makeHost("h1")];
const ALL = { apps: [], hosts: [], full: false, allowPrune: false };
const FREEZE = { repo: "repo", app: WEB, by: "alice", reason: "release freeze", since: 1 };
const forever = new AbortController().signal;

/** Both apps on both hosts, all synced. */
async function synced() {
  const rig = new Rig();
  onTestFinished(() => rig[Symbol.asyncDispose]());
  rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "1" } });
  for (const app of [WEB, API]) rig.inventory.set(app, [h0, h1]);
  await rig.start();
  const controller = new Controller({ repos: [rig.controller], clock: rig.clock });
  const sync = async (full: boolean) => {
    const running = controller.sync({ ...ALL, full }, () => {}, forever);
    await quiet();
    return await running;
  };
  return { rig, controller, sync };
}

test("what lags on a suspended app is in the report of a sync, with who and why", async () => {
  const { rig, sync } = await synced();
  rig.controller.suspend(suspendedBy("repo", [FREEZE], false));
  expect(await sync(false)).toMatchObject({ attempted: 0, leftAlone: [], report: { repos: [{ hosts: [] }] } });
  rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "1" } });
  const { attempted, leftAlone, report } = await sync(false);
  expect([attempted, leftAlone]).toEqual([0, [{ ...FREEZE, hosts: 2 }]]);
  expect(report.repos[0]!.hosts.map(({ address, state, apps }) => [address, state, apps[0]!.message])).toEqual([
    ["h0", "Suspended", "app suspended by alice: release freeze"],
    ["h1", "Suspended", "app suspended by alice: release freeze"],
  ]);
  expect(leftAloneText(leftAlone)).toBe(
    `App ${WEB} of ConfigRepo repo is suspended (by alice: release freeze): 2 hosts are left alone.\n`,
  );
});

test("in full each host that is suspended is named, also one that has what Git has", async () => {
  const { rig, sync } = await synced();
  rig.controller.suspend(suspendedBy("repo", [{ repo: "repo", host: h0.key }], false));
  const { attempted, leftAlone } = await sync(true);
  expect([attempted, leftAlone]).toEqual([1, [{ repo: "repo", host: h0.key, hosts: 1 }]]);
  expect(leftAloneText(leftAlone)).toBe(`Host ${h0.key} of ConfigRepo repo is suspended: it is left alone.\n`);
});

test("a repo that is suspended as a whole is named alone, by its file too", async () => {
  const { rig, sync } = await synced();
  rig.controller.suspend(suspendedBy("repo", [FREEZE], true));
  const { leftAlone } = await sync(true);
  const reason = "spec.suspend in the configuration file";
  expect(leftAlone).toEqual([{ repo: "repo", reason, hosts: 2 }]);
  expect(leftAloneText(leftAlone)).toBe(`ConfigRepo repo is suspended (${reason}): nothing is synced there.\n`);
});

test("another reason for the same suspension is told at once", async () => {
  const { rig } = await synced();
  rig.controller.suspend(suspendedBy("repo", [FREEZE], false));
  const { fleet, suspension } = rig.controller;
  expect(suspension.set(suspendedBy("repo", [{ ...FREEZE, since: 2 }], false), fleet)).toEqual(new Set());
  expect(suspension.set(suspendedBy("repo", [{ ...FREEZE, reason: "still" }], false), fleet)).toEqual(new Set([WEB]));
});

test("a plan that Git did not answer for says so, for people too", async () => {
  const { rig, controller } = await synced();
  const named = { apps: [], hosts: [] };
  const well = await controller.plan(named, forever);
  expect(well.repos[0]).not.toHaveProperty("problems");
  rig.source.error = new FssyncError("FetchFailed", "no route");
  const plan = await controller.plan(named, forever);
  expect(plan.repos[0]!.problems).toMatchObject([{ reason: "FetchFailed", message: "no route" }]);
  const text = planText(plan, { terminal: false, verbose: false });
  expect(text).toMatch(/! FetchFailed for .*: no route\n {2}Nothing to do: by the last good answers no host lags/);
});
