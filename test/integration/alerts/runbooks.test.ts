import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { Rule, Rules } from "../../../deploy/prometheus/rules.ts";
import { REASONS } from "../../../src/model/errors.ts";
import { Metrics } from "../../../src/metrics/metrics.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { describePromtool, promtool } from "./promtool.ts";

const TOP = join(import.meta.dirname, "../../..");
const RUNBOOKS = join(TOP, "docs/runbooks");
const NAMES = readdirSync(RUNBOOKS).map((name) => name.replace(/\.md$/, ""));
const PAGES = NAMES.filter((name) => name !== "README");
const KINDS = ["configrepo", "configapp", "confighost", "chost", "capp", "lease", "pods", "events"];

function pageOf(name: string): string {
  return readFileSync(join(RUNBOOKS, `${name}.md`), "utf8");
}

function alerts(): readonly Rule[] {
  const { groups } = parse(readFileSync(join(TOP, "deploy/prometheus/fssync.rules.yaml"), "utf8")) as Rules;
  return groups.flatMap(({ rules }) => rules).filter(({ alert }) => alert !== undefined);
}

function blocksOf(page: string, language: string): readonly string[] {
  const blocks = page.matchAll(new RegExp(`^ *\`\`\`${language}\\n([\\s\\S]*?)^ *\`\`\`$`, "gm"));
  return [...blocks].flatMap(([, text]) => text!.trim().split(/\n */));
}

test("each alert has its page and each page its alert", () => {
  expect(PAGES.toSorted()).toEqual(
    alerts()
      .map(({ alert }) => alert!)
      .toSorted(),
  );
});

test.each(["docs/runbooks/README.md", "docs/metrics.md"])("%s lists every alert", (name) => {
  const listed = [...readFileSync(join(TOP, name), "utf8").matchAll(/^\| \[(\w+)\]\((?:runbooks\/)?(\w+)\.md\) \|/gm)];
  expect(listed.map(([, title]) => title!).toSorted()).toEqual(PAGES.toSorted());
  for (const [, title, target] of listed) expect(target).toBe(title);
});

test("the index has the severities of the rules", () => {
  for (const { alert, labels } of alerts())
    expect(pageOf("README")).toMatch(new RegExp(`^\\| \\[${alert}\\]\\S+ \\| ${labels!["severity"]} \\|`, "m"));
});

describe.each(PAGES)("%s", (name) => {
  const page = pageOf(name);

  test("says what it means, how bad it is, how to look, how to mend it and when to silence it", () => {
    const headings = [...page.matchAll(/^#+ (.+)$/gm)].map(([, title]) => title);
    expect(headings).toEqual([name, "Look", "Mend", "Silence"]);
    expect(page).toMatch(/^\*\*How bad\.\*\* /m);
    expect(blocksOf(page, "sh").length).toBeGreaterThan(0);
    expect(blocksOf(page, "promql").length).toBeGreaterThan(0);
  });

  test("is short enough for the night", () => {
    expect(page.split("\n").length).toBeLessThan(80);
  });
});

describe("what the pages tell to do", () => {
  const text = NAMES.map(pageOf).join("\n");
  let help: (...args: string[]) => string;
  let commands: string[];

  beforeAll(() => {
    help = (...args) =>
      execFileSync(process.execPath, [join(TOP, "src/main.ts"), ...args, "--help"], { encoding: "utf8" });
    commands = [...help().matchAll(/^ {2}(\w+) \[options\]/gm)].map(([, command]) => command!);
  });

  test("each command of fssync is one, and each of its flags", () => {
    const code = [...blocksOf(text, "sh"), ...[...text.matchAll(/`([^`\n]+)`/g)].map(([, span]) => span!)];
    const calls = code.flatMap((line) => /^(?:.* -- )?fssync (\w+.*)$/.exec(line)?.[1] ?? []);
    expect(new Set(calls.map((call) => call.split(" ")[0])).size).toBeGreaterThan(4);
    for (const call of new Set(calls)) {
      const [command, ...words] = call.split(/ +/);
      expect(commands, call).toContain(command);
      const known = help(command!);
      for (const flag of words.filter((word) => word.startsWith("-"))) expect(known, call).toContain(` ${flag}`);
    }
  });

  test("each reason in a table of reasons is one", () => {
    const rows = text.matchAll(/^\| ((?:`[A-Z]\w+`(?:, )?)+)[^|]*\|/gm);
    const named = [...rows].flatMap(([, cell]) => [...cell!.matchAll(/`(\w+)`/g)].map(([, reason]) => reason!));
    expect(named.length).toBeGreaterThan(20);
    for (const reason of named) expect(Object.keys(REASONS)).toContain(reason);
  });

  test("each metric is one that fssync has", () => {
    const { families } = new Metrics({ clock: new ManualClock(), version: "0" });
    const known = new Set(families.flatMap(({ name }) => [name, `${name}_bucket`]));
    const named = [...text.matchAll(/\b(?:fssync|workqueue)_\w+/g)].map(([name]) => name);
    expect(named.filter((name) => !known.has(name))).toEqual([]);
  });

  test("each kind of object that kubectl is asked for is one", () => {
    const asked = [...text.matchAll(/kubectl -n fssync (?:get|describe|patch) ([a-z,]+)/g)];
    expect(asked.length).toBeGreaterThan(20);
    for (const [, kinds] of asked) for (const kind of kinds!.split(",")) expect(KINDS).toContain(kind);
  });
});

describePromtool("promtool", () => {
  test("understands every query of the pages", async () => {
    const queries = PAGES.flatMap((name) => blocksOf(pageOf(name), "promql"));
    const folder = await mkdtemp(join(tmpdir(), "runbooks-"));
    try {
      const file = join(folder, "queries.yaml");
      const rules = queries.map((expr, index) => ({ record: `query:${index}`, expr }));
      await writeFile(file, JSON.stringify({ groups: [{ name: "queries", rules }] }));
      await expect(promtool(["check", "rules", file])).resolves.toContain(`${queries.length} rules found`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
