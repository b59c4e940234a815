import { expect, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import { Arrivals } from "../../../src/reconcile/arrivals.ts";
import { Fleet } from "../../../src/reconcile/fleet.ts";
import { makeApp, makeHost, makeRecord, revisionOf } from "../../support/factories.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const [h1, h2] = [makeHost("h1"), makeHost("h2")];
const [one, two] = [makeApp(WEB, { a: "1" }), makeApp(WEB, { a: "2" })];

function setUp() {
  const clock = new ManualClock();
  const fleet = new Fleet({ repo: { revision: null, problems: [] }, apps: new Map(), hosts: new Map() }, clock);
  const commit = (name: string, ...apps: ReturnType<typeof makeApp>[]) =>
    fleet.setDesired({ apps: new Map(apps.map((app) => [app.key, app])), revision: revisionOf(name) });
  const synced = (host: typeof h1, app: typeof one) =>
    fleet.put(host.key, new Map([[app.key, makeRecord(app, { syncedAt: clock.now() })]]));
  const told: string[] = [];
  const record = (about: object, type: string, reason: string, message: string) =>
    void told.push([JSON.stringify(about), type, reason, message].join(" "));
  const arrivals = new Arrivals({ fleet, events: { record }, clock });
  /** What is told now. */
  const look = () => {
    arrivals.look();
    return told.splice(0);
  };
  return { clock, fleet, commit, synced, arrivals, look };
}

test("an app is told of when the last of its hosts has it, once, and again after the next commit", () => {
  const { fleet, commit, synced, look } = setUp();
  commit("1", one);
  fleet.setHosts(new Map([[WEB, [h1, h2]]]));
  expect(look()).toEqual([]);
  synced(h1, one);
  expect(look()).toEqual([]);
  synced(h2, one);
  const said = (name: string) => `{"app":"${WEB}"} Normal SyncSucceeded ${revisionOf(name)} is on all 2 hosts`;
  expect(look()).toEqual([said("1")]);
  synced(h2, one);
  expect(look()).toEqual([]);
  commit("2", two);
  expect(look()).toEqual([]);
  synced(h1, two);
  synced(h2, two);
  expect(look()).toEqual([said("2")]);
  // All of it between two looks.
  commit("3", one);
  synced(h1, one);
  synced(h2, one);
  expect(look()).toEqual([said("3")]);
});

test("nothing is told of what an earlier run synced", () => {
  const { clock, fleet, commit, look } = setUp();
  commit("1", one);
  fleet.setHosts(new Map([[WEB, [h1]]]));
  fleet.put(h1.key, new Map([[WEB, makeRecord(one, { syncedAt: clock.now() - 1 })]]));
  expect(look()).toEqual([]);
});

test("nothing is told of apps without hosts, and of those that Git lost", () => {
  const { fleet, commit, synced, look } = setUp();
  const api = makeApp(API, { b: "1" });
  commit("1", one, api);
  fleet.setHosts(
    new Map([
      [WEB, [h1]],
      [API, []],
    ]),
  );
  expect(look()).toEqual([]);
  synced(h1, one);
  commit("2", api);
  expect(look()).toEqual([]);
  fleet.put(h1.key, new Map([[WEB, null]]));
  expect(look()).toEqual([]);
});

test("one host is not called all", () => {
  const { fleet, commit, synced, look } = setUp();
  commit("1", one);
  fleet.setHosts(new Map([[WEB, [h1]]]));
  look();
  synced(h1, one);
  expect(look()[0]).toContain("is on its host");
});
