import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

const TESTS = resolve(import.meta.dirname, "..");
const TABLE = readFileSync(resolve(TESTS, "../docs/faults.md"), "utf8");

/** What a string of a test file can be as the name of a test: `${…}` and `%s` stand for anything. */
function patternsOf(file: string): RegExp[] {
  const source = readFileSync(file, "utf8");
  const strings = [...source.matchAll(/"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`/g)].map(([, a, b]) => a ?? b ?? "");
  return strings
    .map((text) => text.replaceAll(/\\(["`])/g, "$1"))
    .map((text) => text.split(/\$\{[^}]*\}|%[sj]/).map(escaped))
    .filter((parts) => parts.join("").length > 0)
    .map((parts) => new RegExp(`^${parts.join(".+")}$`));
}

function escaped(text: string): string {
  return text.replaceAll(/[$()*+.?[\\\]^{|}]/g, "\\$&");
}

test("docs/faults.md has a row for each of the 58 faults, and every test that it names exists", () => {
  const rows = [...TABLE.matchAll(/^\| (\d+) \|/gm)].map(([, number]) => Number(number));
  expect(rows).toEqual(Array.from({ length: 58 }, (_, index) => index + 1));
  const named = [...TABLE.matchAll(/(`+)([\w/-]+) › (.+?)\1(?!`)/g)];
  expect(named.length).toBeGreaterThan(80);
  const missing = named.flatMap(([, , file = "", name = ""]) => {
    const found = [`${file}.test.ts`, `${file}.ts`].map((each) => join(TESTS, each)).find((each) => existsSync(each));
    return found && patternsOf(found).some((pattern) => pattern.test(name)) ? [] : [`${file} › ${name}`];
  });
  expect(missing).toEqual([]);
});
