import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parse } from "yaml";
import { describe, expect, test } from "vitest";
import { parseConfigRepo } from "../../../src/config/parse.ts";
import { Metrics } from "../../../src/metrics/metrics.ts";
import { STATES } from "../../../src/model/state.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import {
  apiFlagsTable,
  errorsPage,
  flagsTable,
  optionsTable,
  RESOURCE_TABLES,
  kubernetesFlagsTable,
  serverFlagsTable,
  withBlock,
} from "./tables.ts";

const TOP = resolve(import.meta.dirname, "../../..");
const README = join(TOP, "README.md");
const KUBERNETES = join(TOP, "docs/kubernetes.md");
const PAGES = [
  ...readdirSync(TOP).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(TOP, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name)),
];

describe("tables made of the sources (vitest run test/unit/docs -u rewrites them)", () => {
  test("README.md lists every key of the ConfigRepo and every flag", async () => {
    const withOptions = withBlock(readFileSync(README, "utf8"), "options", optionsTable());
    const withFlags = withBlock(withOptions, "flags", flagsTable());
    const inCluster = withBlock(withFlags, "kubernetes flags", kubernetesFlagsTable());
    const withServer = withBlock(inCluster, "server flags", serverFlagsTable());
    await expect(withBlock(withServer, "api flags", apiFlagsTable())).toMatchFileSnapshot(README);
  });

  test("docs/kubernetes.md lists every field that the controller writes", async () => {
    const tables = [...RESOURCE_TABLES].reduce(
      (page, [name, table]) => withBlock(page, name, table),
      readFileSync(KUBERNETES, "utf8"),
    );
    await expect(tables).toMatchFileSnapshot(KUBERNETES);
  });

  test("docs/errors.md lists every reason", async () => {
    await expect(errorsPage()).toMatchFileSnapshot(join(TOP, "docs/errors.md"));
  });
});

test("docs/metrics.md lists every metric with its type and labels", () => {
  const page = readFileSync(join(TOP, "docs/metrics.md"), "utf8");
  const rows = [...page.matchAll(/^\| `(\w+)` \| (\w+) \| ([^|]*) \|/gm)];
  const documented = rows.map(([, name, type, labels]) => `${name} ${type} ${labels!.replaceAll("`", "")}`);
  const { families } = new Metrics({ clock: new ManualClock(), version: "0" });
  const real = families.map(({ name, type, labelNames }) => `${name} ${type} ${labelNames.join(", ") || "none"}`);
  expect(documented.toSorted()).toEqual(real.toSorted());
});

test("README.md tells every command, every flag of it, and every state", () => {
  const page = readFileSync(README, "utf8");
  const help = (...args: string[]) =>
    execFileSync(process.execPath, [join(TOP, "src/main.ts"), ...args, "--help"], { encoding: "utf8" });
  const commands = [...help().matchAll(/^ {2}(\w+) \[options\]/gm)].map(([, name]) => name!);
  expect(commands).toContain("sync");
  const flags = commands.flatMap((name) =>
    [...help(name).matchAll(/^ +(?:-\w, )?(--[a-z-]+)/gm)].map(([, flag]) => flag!),
  );
  const missing = [
    ...commands.filter((name) => !page.includes(`| \`${name}`)),
    ...flags.filter((flag) => flag !== "--help" && !page.includes(flag)),
    ...STATES.filter((state) => !page.includes(`| \`${state}\` |`)),
  ];
  expect(missing).toEqual([]);
});

describe.each(PAGES)("%s", (name) => {
  const page = readFileSync(join(TOP, name), "utf8");

  test("its examples of a ConfigRepo are valid", () => {
    const blocks = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text]) => text!);
    const documents = blocks.filter((text) => text.includes("kind: ConfigRepo")).map((text) => parse(text) as unknown);
    for (const document of documents)
      expect(parseConfigRepo(document, { allowFileUrls: false })).not.toHaveProperty("mistakes");
  });

  test("its links lead somewhere", () => {
    const links = [...page.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
    const broken = links.filter((target) => !/^[a-z]+:/.test(target) && !leads(target, name, page));
    expect(broken).toEqual([]);
  });
});

/** GitHub's anchors: lower case, spaces to dashes, no punctuation. */
function leads(target: string, name: string, page: string): boolean {
  const [path = "", anchor] = target.split("#");
  const file = path === "" ? join(TOP, name) : join(TOP, dirname(name), path);
  if (!existsSync(file)) return false;
  if (anchor === undefined) return true;
  const text = path === "" ? page : readFileSync(file, "utf8");
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!);
  return headings.some((title) => anchorOf(title) === anchor);
}

function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}
