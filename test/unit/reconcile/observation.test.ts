import { expect, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import type { Drift } from "../../../src/model/drift.ts";
import type { Problem } from "../../../src/model/record.ts";
import { Fleet } from "../../../src/reconcile/fleet.ts";
import { observeFleet } from "../../../src/reconcile/observation.ts";
import { Suspension } from "../../../src/reconcile/suspension.ts";
import { makeApp, makeFailure, makeHost, makeRecord, revisionOf } from "../../support/factories.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const web = makeApp(WEB, { a: "1" });
const api = makeApp(API, { b: "1" });
const [h1, h2] = [makeHost("h1"), makeHost("h2")];
const HOUR = 3_600_000;

function setUp() {
  const clock = new ManualClock();
  const fleet = new Fleet({ repo: { revision: null, problems: [] }, apps: new Map(), hosts: new Map() }, clock);
  const revision = revisionOf("1");
  fleet.setDesired({ apps: new Map([web, api].map((app) => [app.key, app])), revision });
  fleet.setHosts(new Map([WEB, API].map((app) => [app, [h1, h2]])));
  let problems: Problem[] = [];
  const parts = {
    repo: "files",
    fleet,
    suspension: new Suspension(false),
    connections: () => 0,
    now: () => clock.now(),
  };
  const observation = observeFleet({ ...parts, problems: () => problems });
  const taken = () => new Map([...observation.takeChanged()].map(({ app, current }) => [app, current!]));
  taken();
  return { clock, fleet, observation, taken, goWrong: (next: Problem[]) => (problems = next) };
}

function replacedAt(...times: number[]): Drift {
  const replaced = times.map((at) => ({ path: "etc/a.conf", change: "content", at }) as const);
  return { files: [], count: 0, replaced };
}

test("drifted files and failures are added up over the hosts of an app", () => {
  const { clock, fleet, taken } = setUp();
  const drift: Drift = { files: [{ path: "etc/a", change: "mode", since: clock.now() }], count: 4, replaced: [] };
  fleet.put(h1.key, new Map([[WEB, makeRecord(web, { drift })]]));
  fleet.put(h2.key, new Map([[WEB, makeRecord(web, { drift, failure: makeFailure({ reason: "AuthFailed" }) })]]));
  const moved = taken();
  expect([...moved.keys()]).toEqual([WEB]);
  expect(moved.get(WEB)).toMatchObject({ driftedFiles: 8, failures: new Map([["AuthFailed", 1]]) });
});

test("a file that drifts again and again is not recurring a day later, although nothing moved", () => {
  const { clock, fleet, taken } = setUp();
  const now = clock.now();
  fleet.put(h1.key, new Map([[WEB, makeRecord(web, { drift: replacedAt(now - 3 * HOUR, now - 2 * HOUR, now) })]]));
  expect(taken().get(WEB)?.recurringFiles).toBe(1);
  clock.advance(20 * HOUR);
  expect([...taken()].map(([app, { recurringFiles }]) => [app, recurringFiles])).toEqual([[WEB, 1]]);
  clock.advance(HOUR + 1);
  expect(taken().get(WEB)?.recurringFiles).toBe(0);
  // From then on it costs nothing: no app is counted that did not move.
  expect(taken().size).toBe(0);
});

test("problems are counted by reason", () => {
  const { observation, goWrong } = setUp();
  expect(observation.problems()).toEqual(new Map());
  goWrong(["a", "b"].map((message) => ({ reason: "InventoryFailed", message, since: 1 })));
  expect(observation.problems()).toEqual(new Map([["InventoryFailed", 2]]));
});
