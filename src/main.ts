#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { runProgram } from "./cli/program.ts";
import { runtimeDir } from "./runtime-dir.ts";

/** Beside src and beside dist. */
const packageJson = readFileSync(new URL("../package.json", import.meta.url), "utf8");
const { version } = JSON.parse(packageJson) as { version: string };

// Looking up the names of hosts takes half of libuv's threads, and one whose servers do not answer takes its thread for
// seconds. It counts them when it needs the first.
process.env.UV_THREADPOOL_SIZE ??= "16";

// Whoever reads our output may have read enough: `fssync status | head`.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

// What a command does not need is not loaded: `status` opens no HTTP client and no metrics.
process.exitCode = await runProgram(process.argv, version, {
  version,
  async program(globals, { log, retry }) {
    const [{ assemble }, { loadConfigRepos }] = await Promise.all([
      import("./assembly.ts"),
      import("./config/load.ts"),
    ]);
    const configs = await loadConfigRepos(globals.file, globals);
    const { metrics, ...assembly } = await assemble(configs, globals, { log, version, retry });
    return { ...assembly, exposeMetrics: () => metrics.expose(), httpTelemetry: metrics.http };
  },
  async cluster(globals, log) {
    const { assembleCluster } = await import("./cluster.ts");
    return await assembleCluster(globals, { version, log });
  },
  async statusReader({ dataDir, ...globals }, log) {
    if (globals.kubernetes) return (await import("./cluster.ts")).clusterStatus(globals, log);
    const { SqliteStatusReader } = await import("./store/sqlite-status-reader.ts");
    return new SqliteStatusReader({ file: join(dataDir, "state.db"), log });
  },
  async source({ spec }, { allowFileUrls, secretsDir }, dir, log) {
    const [{ assembleSource }, { SecretsFolder }] = await Promise.all([
      import("./assembly.ts"),
      import("./config/secrets-folder.ts"),
    ]);
    return assembleSource(spec, { allowFileUrls, secrets: new SecretsFolder({ folder: secretsDir }), dir, log });
  },
  controlSocket: ({ dataDir }) => join(runtimeDir(resolve(dataDir)), "control.sock"),
});
