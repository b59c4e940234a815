/** Writes docs/fssync.schema.json from the schema; with --check exits 1 when the file says something else. */
import { readFileSync, writeFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { configRepoJsonSchema } from "./json-schema.ts";

const file = new URL("../../docs/fssync.schema.json", import.meta.url);
const schema = configRepoJsonSchema();

if (!process.argv.includes("--check")) {
  writeFileSync(file, `${JSON.stringify(schema, null, 2)}\n`);
} else if (!isDeepStrictEqual(JSON.parse(readFileSync(file, "utf8")), schema)) {
  process.stderr.write("docs/fssync.schema.json is stale: run node src/config/generate.ts\n");
  process.exitCode = 1;
}
