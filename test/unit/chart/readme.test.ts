import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { parseConfigRepo } from "../../../src/config/parse.ts";
import { withBlock } from "../docs/tables.ts";
import { valuesOf, valuesTable } from "./values-table.ts";

const CHART = join(import.meta.dirname, "../../../charts/fssync");
const README = join(CHART, "README.md");
const values = valuesOf(readFileSync(join(CHART, "values.yaml"), "utf8"));

test("every value has one line that says what it is for", () => {
  expect(values.filter(({ meaning }) => meaning === undefined)).toEqual([]);
  expect(values.length).toBeGreaterThan(50);
});

test("README.md lists every value (vitest run test/unit/chart -u rewrites the table)", async () => {
  const page = withBlock(readFileSync(README, "utf8"), "values", valuesTable(values));
  await expect(page).toMatchFileSnapshot(README);
});

test("the ConfigRepo in README.md is valid", () => {
  const [, example] = /^```yaml\n([\s\S]*?)^```$/m.exec(readFileSync(README, "utf8")) ?? [];
  expect(parseConfigRepo(parse(example!) as unknown, { allowFileUrls: false })).not.toHaveProperty("mistakes");
});

test("the chart's appVersion and the package's version are one", () => {
  const { appVersion } = parse(readFileSync(join(CHART, "Chart.yaml"), "utf8")) as { appVersion: string };
  const { version } = JSON.parse(readFileSync(join(CHART, "../../package.json"), "utf8")) as { version: string };
  expect(appVersion).toBe(version);
});
