/** Prints `N passed, N failed, N skipped` from vitest's JSON report; exits 1 unless all passed. */
import { readFileSync } from "node:fs";

const [file] = process.argv.slice(2);
const text = readFileSync(file, "utf8");
if (text === "") {
  console.error("vitest wrote no report");
  process.exit(1);
}
const report = JSON.parse(text);
const tests = report.testResults.flatMap(({ name, assertionResults }) =>
  assertionResults.map(({ fullName, status }) => ({ name: `${name}: ${fullName}`, status })),
);
const withStatus = (/** @type {string[]} */ ...wanted) => tests.filter(({ status }) => wanted.includes(status));
const passed = withStatus("passed");
const failed = withStatus("failed");
const skipped = tests.filter((test) => !passed.includes(test) && !failed.includes(test));
for (const { name } of skipped) console.log(`skipped: ${name}`);
console.log(`${passed.length} passed, ${failed.length} failed, ${skipped.length} skipped`);
process.exitCode = report.success && passed.length > 0 && skipped.length === 0 ? 0 : 1;
