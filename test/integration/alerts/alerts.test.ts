import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { renderRules, rulesText, type Rule, type Rules } from "../../../deploy/prometheus/rules.ts";
import { Metrics } from "../../../src/metrics/metrics.ts";
import { render } from "../../support/chart.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { amtool, describePromtool, promtool } from "./promtool.ts";

const PROMETHEUS = join(import.meta.dirname, "../../../deploy/prometheus");
const PLAIN = join(PROMETHEUS, "fssync.rules.yaml");
const CASES = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".yaml"));
const ALERTS = [
  "FssyncHostsLagging",
  "FssyncHostsUnreachable",
  "FssyncSyncFailing",
  "FssyncDrift",
  "FssyncDriftRecurring",
  "FssyncGitStale",
  "FssyncInventoryStale",
  "FssyncInventorySuspicious",
  "FssyncPruneHeld",
  "FssyncSuspendedTooLong",
  "FssyncNoLeader",
  "FssyncDown",
];
/** The alerts of a single app. */
const OF_AN_APP = /^Fssync(HostsLagging|HostsUnreachable|SyncFailing|Drift|DriftRecurring|PruneHeld)$/;

interface Cases {
  readonly rule_files: readonly string[];
  readonly tests: readonly {
    readonly name: string;
    readonly input_series: readonly { readonly series: string }[];
    readonly alert_rule_test: readonly { readonly alertname: string; readonly exp_alerts?: readonly unknown[] }[];
  }[];
}

function plain(): Rules {
  return parse(readFileSync(PLAIN, "utf8")) as Rules;
}

function alertsOf({ groups }: Rules): readonly Rule[] {
  return groups.flatMap(({ rules }) => rules).filter(({ alert }) => alert !== undefined);
}

function alertOf(all: Rules, name: string): Rule {
  return alertsOf(all).find(({ alert }) => alert === name)!;
}

function casesOf(alert: string): Cases {
  return parse(readFileSync(join(import.meta.dirname, `${alert}.yaml`), "utf8")) as Cases;
}

describe("deploy/prometheus/fssync.rules.yaml", () => {
  test("is what the chart makes of its defaults", async () => {
    const withoutComments = readFileSync(PLAIN, "utf8").replace(/^#.*\n/gm, "");
    expect(withoutComments).toBe(await rulesText());
  });

  test("has these alerts, once each", () => {
    expect(alertsOf(plain()).map(({ alert }) => alert)).toEqual(ALERTS);
  });

  test.each(ALERTS)("%s says how bad it is, what it is about and where to read on", (name) => {
    const { labels, annotations, for: duration } = alertOf(plain(), name);
    const { summary, description, runbook_url } = annotations!;
    expect(labels).toEqual({ severity: ["FssyncNoLeader", "FssyncDown"].includes(name) ? "critical" : "warning" });
    expect(duration).toMatch(/^\d+[md]$/);
    expect(runbook_url).toBe(`docs/runbooks/${name}.md`);
    if (ALERTS.indexOf(name) < ALERTS.indexOf("FssyncNoLeader")) {
      expect(summary).toContain("{{ $labels.repo }}");
      expect(description).toContain("{{ $labels.repo }}");
    }
    if (!OF_AN_APP.test(name)) return;
    expect(summary).toContain("{{ $labels.mod }}/{{ $labels.env }}/{{ $labels.app }}");
    expect(description).toContain("$value");
  });

  test("asks for metrics that fssync has, by labels that they have", () => {
    const { families } = new Metrics({ clock: new ManualClock(), version: "0" });
    const labelsOf = new Map(families.map(({ name, labelNames }) => [name, labelNames]));
    const used = plain().groups.flatMap(({ rules }) =>
      rules.flatMap(({ expr }) => [...expr.matchAll(/\b(fssync_\w+)(?:\{(\w+)=)?/g)]),
    );
    expect(used.length).toBeGreaterThan(10);
    for (const [, name, label] of used) {
      expect(labelsOf.keys().toArray()).toContain(name);
      if (label !== undefined) expect(labelsOf.get(name!), name).toContain(label);
    }
  });
});

describe.each(ALERTS)("cases of %s", (name) => {
  test("there are some in which it fires, and some in which it does not", () => {
    const { rule_files, tests } = casesOf(name);
    expect(rule_files).toEqual(["../../../deploy/prometheus/fssync.rules.yaml"]);
    const steps = tests.map((one) => one.alert_rule_test.filter(({ alertname }) => alertname === name));
    const fires = steps.filter((step) => step.some(({ exp_alerts = [] }) => exp_alerts.length > 0));
    const silent = steps.filter(
      (step) => step.length > 0 && step.every(({ exp_alerts = [] }) => exp_alerts.length === 0),
    );
    const resolves = fires.filter((step) => (step.at(-1)!.exp_alerts ?? []).length === 0);
    expect(fires.length).toBeGreaterThan(0);
    expect(silent.length).toBeGreaterThan(0);
    expect(resolves.length).toBeGreaterThan(0);
  });
});

describe("the chart's rules", () => {
  test("every threshold of the values is in them", async () => {
    const alerts = {
      FssyncHostsLagging: { lagSeconds: 31, hosts: 32 },
      FssyncHostsUnreachable: { hosts: 33, percent: 34.5 },
      FssyncSyncFailing: { hosts: 35 },
      FssyncDrift: { files: 36 },
      FssyncDriftRecurring: { files: 37 },
      FssyncGitStale: { staleSeconds: 38_000_000 },
      FssyncInventoryStale: { staleSeconds: 39 },
      FssyncPruneHeld: { hosts: 40 },
    };
    const rendered = await renderRules({ alerts });
    for (const [name, thresholds] of Object.entries(alerts))
      for (const value of Object.values(thresholds))
        expect(alertOf(rendered, name).expr).toMatch(`> ${value}`.slice(2));
    expect(JSON.stringify(rendered)).not.toContain("${");
  });

  test("for and severity of each are those of the values; what they do not say stays", async () => {
    const alerts = Object.fromEntries(ALERTS.map((name, index) => [name, { for: `${index}s`, severity: `s${index}` }]));
    const rendered = await renderRules({ alerts });
    for (const [index, name] of ALERTS.entries()) {
      const { expr } = alertOf(plain(), name);
      expect(alertOf(rendered, name)).toMatchObject({ expr, for: `${index}s`, labels: { severity: `s${index}` } });
    }
  });

  test.each(ALERTS)("%s alone can be switched off", async (name) => {
    const rendered = await renderRules({ alerts: { [name]: { enabled: false } } });
    expect(alertsOf(rendered).map(({ alert }) => alert)).toEqual(ALERTS.filter((other) => other !== name));
  });

  test("runbooks are where the values say, with or without a slash at the end", async () => {
    for (const runbookUrl of ["https://wiki.example.com/fssync", "https://wiki.example.com/fssync/"]) {
      const { annotations } = alertOf(await renderRules({ runbookUrl }), "FssyncDown");
      expect(annotations!["runbook_url"]).toBe("https://wiki.example.com/fssync/FssyncDown.md");
    }
  });

  test.each<[string, object, string]>([
    ["an alert that is none", { FssyncHostLagging: {} }, "additional properties 'FssyncHostLagging' not allowed"],
    ["a threshold of another alert", { FssyncDown: { hosts: 1 } }, "additional properties 'hosts' not allowed"],
    ["a threshold that is text", { FssyncDrift: { files: "1" } }, "got string, want number"],
    ["more than all", { FssyncHostsUnreachable: { percent: 101 } }, "maximum: got 101, want 100"],
    ["a time without a unit", { FssyncDown: { for: "10" } }, "at '/prometheusRule/alerts/FssyncDown/for'"],
    ["an alert that is taken away", { FssyncDrift: null }, "missing property 'FssyncDrift'"],
    ["a threshold that is taken away", { FssyncDrift: { files: null } }, "missing property 'files'"],
    ["a severity that is none", { FssyncDown: { severity: "" } }, "at '/prometheusRule/alerts/FssyncDown/severity'"],
  ])("%s is refused", async (_, alerts, message) => {
    await expect(render({ values: { prometheusRule: { alerts } } })).rejects.toThrow(message);
  });
});

describePromtool("promtool", () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "alerts-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test.each(CASES)("%s holds", async (name) => {
    await expect(promtool(["test", "rules", join(import.meta.dirname, name)])).resolves.toContain("SUCCESS");
  });

  test("a case that does not hold is told, so that those above mean something", async () => {
    const file = join(folder, "wrong.yaml");
    const { tests } = casesOf("FssyncDown");
    const [first] = tests;
    const wrong = { ...first, alert_rule_test: [{ alertname: "FssyncDown", eval_time: "15m", exp_alerts: [] }] };
    await writeFile(file, JSON.stringify({ rule_files: [PLAIN], tests: [wrong] }));
    await expect(promtool(["test", "rules", file])).rejects.toThrow(/FAILED/);
  });

  test("has nothing to say about the rules, with the defaults and with other values", async () => {
    const other = {
      runbookUrl: "https://wiki.example.com/fssync",
      alerts: {
        FssyncHostsLagging: { lagSeconds: 120.5, hosts: 1_000_000, for: "1h30m", severity: "page" },
        FssyncHostsUnreachable: { percent: 0 },
        FssyncDrift: { enabled: false },
      },
    };
    const rendered = join(folder, "other.yaml");
    await writeFile(rendered, await rulesText(other));
    for (const [file, count] of [
      [PLAIN, 18],
      [rendered, 17],
    ] as const)
      await expect(promtool(["check", "rules", "--lint-fatal", file])).resolves.toContain(`${count} rules found`);
  });

  test("and amtool take the examples beside the rules", async () => {
    const config = join(PROMETHEUS, "prometheus.example.yaml");
    await expect(promtool(["check", "config", "--lint-fatal", config])).resolves.toContain("18 rules found");
    const alertmanager = join(PROMETHEUS, "alertmanager.example.yaml");
    await expect(amtool(["check-config", alertmanager])).resolves.toContain("SUCCESS");
    const routed = (...labels: string[]) =>
      amtool(["config", "routes", "test", `--config.file=${alertmanager}`, ...labels]);
    await expect(routed("severity=critical")).resolves.toBe("pager\n");
    await expect(routed("severity=warning")).resolves.toBe("mail\n");
  });
});
