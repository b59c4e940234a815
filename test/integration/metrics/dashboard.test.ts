import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Metrics } from "../../../src/metrics/metrics.ts";
import { until } from "../../support/fleet.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { Prometheus, prometheusUnavailable, type Sample } from "../../support/prometheus.ts";
import { BusyRepo } from "./busy-repo.ts";

const TOP = resolve(import.meta.dirname, "../../..");
const CHART = join(TOP, "charts/fssync/files/dashboards/fssync.json");

interface Target {
  readonly expr: string;
  readonly legendFormat?: string;
  readonly datasource: unknown;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource?: unknown;
  readonly targets?: readonly Target[];
}

interface Dashboard {
  readonly id: number | null;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}

const text = await readFile(CHART, "utf8");
const dashboard = JSON.parse(text) as Dashboard;
const panels = dashboard.panels.filter(({ type }) => type !== "row");
const queries = panels.flatMap(({ title, targets = [] }) => targets.map((target) => ({ title, ...target })));

test("the dashboard in deploy/ is the one of the chart", async () => {
  expect(await readFile(join(TOP, "deploy/grafana/fssync.json"), "utf8")).toBe(text);
});

test("it can be imported anywhere: its data source is a variable, and it has no id of a Grafana that it came from", () => {
  expect(dashboard.id).toBeNull();
  const sources = panels.flatMap(({ datasource, targets = [] }) => [
    datasource,
    ...targets.map((each) => each.datasource),
  ]);
  for (const source of sources) expect(source).toEqual({ type: "prometheus", uid: "${datasource}" });
  expect(dashboard.templating.list.map(({ name }) => name)).toEqual(["datasource", "repo"]);
  const ids = dashboard.panels.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
});

test("it shows every metric", () => {
  const { families } = new Metrics({ clock: new ManualClock(), version: "0" });
  const shown = queries.map(({ expr }) => expr).join("\n");
  expect(
    families.map(({ name }) => name).filter((name) => !new RegExp(`\\b${name}(_bucket|_count)?\\b`).test(shown)),
  ).toEqual([]);
});

describe.skipIf(prometheusUnavailable() !== undefined)(
  "its queries in a real Prometheus, with series of every kind",
  () => {
    const stack = new AsyncDisposableStack();
    let prometheus: Prometheus;
    beforeAll(async () => {
      const repo = stack.use(await BusyRepo.start("files"));
      prometheus = stack.use(await Prometheus.start({ scrape: repo.url }));
    });
    afterAll(() => stack.disposeAsync());

    test.each(queries)("$title: $expr", async ({ expr, legendFormat = "" }) => {
      let found: Sample[] = [];
      // Rates take two scrapes, and what the first one finds takes until then.
      const isThere = async () => {
        found = await prometheus.query(substituted(expr));
        return found.length > 0 && found.every(({ value }) => Number.isFinite(value));
      };
      await until(isThere, 20_000, `a result of ${expr}`);
      for (const [, label] of legendFormat.matchAll(/{{(\w+)}}/g)) {
        for (const { metric } of found) expect(metric).toHaveProperty(label!);
      }
    });

    test("the repos to choose from are found", async () => {
      const { definition } = dashboard.templating.list.find(({ name }) => name === "repo")!;
      const [, match, label] = /^label_values\((\w+), (\w+)\)$/.exec(definition!)!;
      expect(await prometheus.labelValues(label!, match!)).toEqual(["files"]);
    });
  },
);

/** As Grafana does it for one repo that is chosen. */
function substituted(expr: string): string {
  return expr.replaceAll("$__rate_interval", "10s").replaceAll("$__range", "1m").replaceAll("$repo", "files");
}
