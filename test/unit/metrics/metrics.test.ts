import { describe, expect, test } from "vitest";
import { Metrics } from "../../../src/metrics/metrics.ts";
import type { AppKey } from "../../../src/model/app.ts";
import { STATES, type State } from "../../../src/model/state.ts";
import type { AppObservation, FleetObservation, SuspendedObject } from "../../../src/ports/telemetry.ts";
import { revisionOf } from "../../support/factories.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const LABELS = `repo="files",mod="nginx",env="prod",app="web"`;

type Current = NonNullable<AppObservation["current"]>;

/** A fleet of which a test says what moved. */
class FakeFleet implements FleetObservation {
  hosts = 3;
  fallbackHosts = 0;
  connections = 0;
  readonly changes = new Map<AppKey, Current | null>();
  wrong: [string, number][] = [];
  stopped: SuspendedObject[] = [];
  /** Called before each app that is given. */
  onTake = () => {};

  moved(app: AppKey, overrides: Partial<Omit<Current, "hosts">> & { hosts?: Partial<Record<State, number>> } = {}) {
    const none = Object.fromEntries(STATES.map((state) => [state, 0])) as Record<State, number>;
    const quiet = { lagSince: null, driftedFiles: 0, recurringFiles: 0, failures: new Map() };
    const hosts = { ...none, ...overrides.hosts };
    this.changes.set(app, { revision: revisionOf("1"), ...quiet, ...overrides, hosts });
  }

  problems() {
    return new Map(this.wrong) as ReturnType<FleetObservation["problems"]>;
  }

  suspended() {
    return this.stopped;
  }

  *takeChanged() {
    for (const [app, current] of this.changes) {
      this.onTake();
      this.changes.delete(app);
      yield { app, current };
    }
  }
}

function setUp() {
  const clock = new ManualClock();
  const metrics = new Metrics({ clock, version: "1.2.3" });
  const telemetry = metrics.forRepo("files");
  const fleet = new FakeFleet();
  telemetry.observe(fleet);
  /** Values of the series whose line begins so, by what follows in it. */
  const series = async (start: string) => {
    const lines = (await metrics.expose()).split("\n").filter((line) => line.startsWith(start));
    return Object.fromEntries(
      lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.split(" ").at(-1))]),
    );
  };
  return { clock, metrics, telemetry, fleet, series };
}

test("counters begin at zero for every label that they can have", async () => {
  const { series } = setUp();
  expect(await series("fssync_verify_total")).toEqual({
    [`fssync_verify_total{repo="files",result="clean"}`]: 0,
    [`fssync_verify_total{repo="files",result="drifted"}`]: 0,
    [`fssync_verify_total{repo="files",result="failed"}`]: 0,
    [`fssync_verify_total{repo="files",result="unreachable"}`]: 0,
  });
  expect(Object.values(await series("fssync_sync_total"))).toEqual([0, 0, 0]);
  expect(await series("fssync_drift_replaced")).toEqual({ [`fssync_drift_replaced_files_total{repo="files"}`]: 0 });
  expect(await series("fssync_verify_duration_seconds_count")).toEqual({
    [`fssync_verify_duration_seconds_count{repo="files"}`]: 0,
  });
});

test("looks at hosts are counted by result and timed; what was replaced is counted by files", async () => {
  const { telemetry, series } = setUp();
  telemetry.verified("drifted", 0.5);
  telemetry.verified("clean", 0.25);
  telemetry.replaced(2);
  telemetry.replaced(3);
  expect(Object.values(await series(`fssync_verify_total`))).toEqual([1, 1, 0, 0]);
  expect(Object.values(await series("fssync_verify_duration_seconds_sum"))).toEqual([0.75]);
  expect(Object.values(await series("fssync_drift_replaced_files_total"))).toEqual([5]);
});

describe("an app", () => {
  test("shows drifted and recurring files, and zero again once it is healed", async () => {
    const { fleet, series } = setUp();
    fleet.moved(WEB, { driftedFiles: 7, recurringFiles: 1, hosts: { Drifted: 2, Synced: 1 } });
    expect(await series("fssync_drift")).toMatchObject({
      [`fssync_drifted_files{${LABELS}}`]: 7,
      [`fssync_drift_recurring_files{${LABELS}}`]: 1,
    });
    fleet.moved(WEB, { hosts: { Synced: 3 } });
    expect(await series("fssync_drift")).toMatchObject({
      [`fssync_drifted_files{${LABELS}}`]: 0,
      [`fssync_drift_recurring_files{${LABELS}}`]: 0,
    });
    const hosts = await series("fssync_app_hosts");
    expect(Object.keys(hosts)).toHaveLength(STATES.length);
    expect(hosts[`fssync_app_hosts{${LABELS},state="Drifted"}`]).toBe(0);
    expect(hosts[`fssync_app_hosts{${LABELS},state="Synced"}`]).toBe(3);
  });

  test("has a series of failures for each reason that hosts have, and for no other", async () => {
    const { fleet, series } = setUp();
    fleet.moved(WEB, { failures: new Map([["NoSpace", 2] as const, ["AuthFailed", 1] as const]) });
    expect(await series("fssync_app_failures")).toEqual({
      [`fssync_app_failures{${LABELS},reason="NoSpace"}`]: 2,
      [`fssync_app_failures{${LABELS},reason="AuthFailed"}`]: 1,
    });
    fleet.moved(WEB, { failures: new Map([["AuthFailed", 3] as const]) });
    expect(await series("fssync_app_failures")).toEqual({
      [`fssync_app_failures{${LABELS},reason="AuthFailed"}`]: 3,
    });
    fleet.moved(WEB);
    expect(await series("fssync_app_failures")).toEqual({});
  });

  test("that lags grows older from scrape to scrape although nothing moves, and is at zero once it does not lag", async () => {
    const { clock, fleet, series } = setUp();
    fleet.moved(WEB, { lagSince: clock.now() });
    const lag = `fssync_app_oldest_lag_seconds{${LABELS}}`;
    clock.advance(5000);
    expect(await series("fssync_app_oldest")).toEqual({ [lag]: 5 });
    clock.advance(1500);
    expect(await series("fssync_app_oldest")).toEqual({ [lag]: 6.5 });
    fleet.moved(WEB);
    expect(await series("fssync_app_oldest")).toEqual({ [lag]: 0 });
  });

  test("has one revision at a time, and no series at all once it is gone", async () => {
    const { fleet, series } = setUp();
    fleet.moved(API);
    fleet.moved(WEB, { revision: revisionOf("1"), driftedFiles: 1, lagSince: 1, failures: new Map([["NoSpace", 1]]) });
    await series("");
    fleet.moved(WEB, { revision: revisionOf("2"), driftedFiles: 1, lagSince: 1 });
    expect(Object.keys(await series(`fssync_app_info{${LABELS}`))).toEqual([
      `fssync_app_info{${LABELS},revision="${revisionOf("2")}"}`,
    ]);
    fleet.changes.set(WEB, null);
    const rest = Object.keys(await series("fssync_"));
    expect(rest.filter((name) => name.includes(`app="web"`))).toEqual([]);
    expect(rest.filter((name) => name.includes(`app="api"`))).toHaveLength(STATES.length + 4);
  });

  test("may have any name that a folder can have", async () => {
    const { fleet, metrics } = setUp();
    fleet.moved(String.raw`nginx/prod/a"b\c` as AppKey);
    expect(await metrics.expose()).toContain(String.raw`app="a\"b\\c"} 0`);
  });
});

test("problems and suspended objects are shown as long as they last", async () => {
  const { fleet, series } = setUp();
  const repo = { kind: "ConfigRepo", name: "files" } as const;
  fleet.wrong = [["InventoryFailed", 2]];
  fleet.stopped = [
    { ...repo, suspended: true },
    { kind: "ConfigApp", name: WEB, suspended: true },
  ];
  expect(await series("fssync_problems")).toEqual({ [`fssync_problems{repo="files",reason="InventoryFailed"}`]: 2 });
  expect(Object.values(await series("fssync_suspended"))).toEqual([1, 1]);
  fleet.wrong = [];
  fleet.stopped = [{ ...repo, suspended: false }];
  expect(await series("fssync_problems")).toEqual({});
  expect(await series("fssync_suspended")).toEqual({
    [`fssync_suspended{repo="files",kind="ConfigRepo",name="files"}`]: 0,
  });
});

test("a repo that ends takes all its series with it, and leaves those of the others", async () => {
  const { metrics, telemetry, fleet, series } = setUp();
  const other = metrics.forRepo("other");
  const others = new FakeFleet();
  other.observe(others);
  fleet.moved(WEB, { driftedFiles: 1, lagSince: 1, failures: new Map([["NoSpace", 1]]) });
  others.moved(WEB);
  fleet.wrong = [["FetchFailed", 1]];
  for (const each of [telemetry, other]) {
    each.fetched("success", 1000);
    each.inventoryRefreshed("success", 1000);
  }
  await series("");
  telemetry[Symbol.dispose]();
  const rest = Object.keys(await series(""));
  expect(rest.filter((name) => name.includes(`"files"`))).toEqual([]);
  expect(rest).toContain(`fssync_drifted_files{${LABELS.replace("files", "other")}}`);
  expect(rest).toContain(`fssync_verify_total{repo="other",result="clean"}`);
});

test("a repo that ends in the middle of a scrape stays away", async () => {
  const { clock, metrics, telemetry, fleet, series } = setUp();
  fleet.moved(WEB);
  fleet.moved(API);
  // Each app takes so long that the event loop has a turn before the next one.
  fleet.onTake = () => clock.advance(1000);
  const scrape = metrics.expose();
  telemetry[Symbol.dispose]();
  await scrape;
  const rest = Object.keys(await series(""));
  expect(rest.filter((name) => name.includes(`"files"`))).toEqual([]);
});

test.for([
  ["fssync_fallback_hosts", "fallbackHosts"],
  ["fssync_ssh_connections", "connections"],
] as const)("%s is read anew at each scrape, and gone with the repo", async ([metric, count]) => {
  const { telemetry, fleet, series } = setUp();
  expect(await series(metric)).toEqual({ [`${metric}{repo="files"}`]: 0 });
  fleet[count] = 2;
  expect(await series(metric)).toEqual({ [`${metric}{repo="files"}`]: 2 });
  telemetry[Symbol.dispose]();
  expect(await series(metric)).toEqual({});
});

test("scrapes at the same time share one look at the fleet; the next one looks again", async () => {
  const { metrics, fleet } = setUp();
  let looks = 0;
  fleet.suspended = () => ((looks += 1), []);
  const [first, second] = await Promise.all([metrics.expose(), metrics.expose()]);
  expect(first).toBe(second);
  expect(looks).toBe(1);
  fleet.hosts = 4;
  expect(await metrics.expose()).toContain(`fssync_inventory_hosts{repo="files"} 4`);
});

test("others have their turn while a large fleet is counted", async () => {
  const { clock, metrics, fleet } = setUp();
  for (let app = 0; app < 100; app += 1) fleet.moved(`m/e/${app}`);
  fleet.onTake = () => clock.advance(2);
  let turns = 0;
  const turn = () => void ((turns += 1), (ticking = setImmediate(turn)));
  let ticking = setImmediate(turn);
  await metrics.expose();
  clearImmediate(ticking);
  expect(turns).toBeGreaterThanOrEqual(19);
});
