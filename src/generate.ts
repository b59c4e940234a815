/**
 * Writes what is made of the schemas: docs/fssync.schema.json for editors, the CRDs of the chart, and the
 * description of the API. With --check it writes nothing, names the files that are stale and exits 1 when there
 * are any.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { pino } from "pino";
import { stringify } from "yaml";
import { systemClock } from "./clock/system-clock.ts";
import { customResourceDefinitions } from "./config/crd.ts";
import { configRepoJsonSchema } from "./config/json-schema.ts";
import { publicServer } from "./http/server.ts";
import { Metrics } from "./metrics/metrics.ts";

const ROOT = new URL("../", import.meta.url);
const COMMENT = "# Made by `npm run generate` from src/config; changes by hand are lost.\n";

const files = new Map([
  ["docs/fssync.schema.json", `${JSON.stringify(configRepoJsonSchema(), null, 2)}\n`],
  ["docs/openapi.json", `${JSON.stringify(await openApi(), null, 2)}\n`],
]);
// 1.1, as Kubernetes and Helm read YAML: a plain `on` or `y` would be a boolean there.
for (const [plural, definition] of customResourceDefinitions())
  files.set(
    `charts/fssync/files/crds/${plural}.yaml`,
    COMMENT + stringify(definition, { version: "1.1", lineWidth: 0 }),
  );

if (process.argv.includes("--check")) {
  const stale = [...files].filter(([path, content]) => !isSame(path, content)).map(([path]) => path);
  for (const path of stale) process.stderr.write(`${path} is stale: npm run generate writes it\n`);
  if (stale.length > 0) process.exitCode = 1;
} else {
  for (const [path, content] of files) {
    mkdirSync(new URL(".", new URL(path, ROOT)), { recursive: true });
    writeFileSync(new URL(path, ROOT), content);
  }
}

/** What `/openapi.json` answers, from a server that listens nowhere. */
async function openApi(): Promise<unknown> {
  const { version } = JSON.parse(stored("package.json")!) as { version: string };
  const server = await publicServer({
    site: {
      version,
      metrics: () => Promise.resolve(""),
      telemetry: new Metrics({ clock: systemClock, version }).http,
      notReady: () => null,
      desk: () => undefined,
    },
    access: null,
    metricsElsewhere: false,
    clock: systemClock,
    log: pino({ level: "silent" }),
  });
  await server.ready();
  const document: unknown = server.swagger();
  await server.close();
  return document;
}

/** JSON by what it says: the formatter lays it out in its own way. */
function isSame(path: string, content: string): boolean {
  const before = stored(path);
  if (before === undefined || !path.endsWith(".json")) return before === content;
  return isDeepStrictEqual(JSON.parse(before), JSON.parse(content));
}

function stored(path: string): string | undefined {
  try {
    return readFileSync(new URL(path, ROOT), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
