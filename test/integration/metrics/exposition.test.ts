import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Metrics } from "../../../src/metrics/metrics.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { complaintsAbout, prometheusUnavailable } from "../../support/prometheus.ts";
import { BusyRepo } from "./busy-repo.ts";

describe.skipIf(prometheusUnavailable() !== undefined)("promtool", () => {
  const stack = new AsyncDisposableStack();
  let exposition: string;
  beforeAll(async () => {
    const repo = stack.use(await BusyRepo.start("files"));
    exposition = await (await fetch(`${repo.url}/metrics`)).text();
  });
  afterAll(() => stack.disposeAsync());

  test("has nothing to say about names, types and help when every metric has series", () => {
    const { families } = new Metrics({ clock: new ManualClock(), version: "0" });
    const names = families.map(({ name }) => name);
    const silent = names.filter((name) => !new RegExp(`^${name}(_count)?(\\{.*\\})? `, "m").test(exposition));
    expect(silent).toEqual([]);
    expect(complaintsAbout(exposition)).toBe("");
  });

  test("would say it", () => {
    expect(complaintsAbout("# HELP x_totals A thing.\n# TYPE x_totals counter\nx_totals 1\n")).toContain("_total");
  });

  test("reads the metrics of a process that syncs nothing", async () => {
    const metrics = new Metrics({ clock: new ManualClock(), version: "0" });
    expect(complaintsAbout(await metrics.expose())).toBe("");
  });
});
