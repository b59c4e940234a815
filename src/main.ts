#!/usr/bin/env node
import { join, resolve } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { assemble, assembleSource } from "./assembly.ts";
import { runProgram } from "./cli/program.ts";
import { loadConfigRepos } from "./config/load.ts";
import { runtimeDir } from "./runtime-dir.ts";
import { SqliteStatusReader } from "./store/sqlite-status-reader.ts";

const { version } = packageJson;

process.exitCode = await runProgram(process.argv, version, {
  async program(globals, { log, retry }) {
    const configs = await loadConfigRepos(globals.file, globals);
    const { controller, metrics, controlSocket, ...assembly } = await assemble(configs, globals, {
      log,
      version,
      retry,
    });
    return {
      controller,
      controlSocket,
      exposeMetrics: () => metrics.expose(),
      [Symbol.asyncDispose]: () => assembly[Symbol.asyncDispose](),
    };
  },
  statusReader: ({ dataDir }, log) => new SqliteStatusReader({ file: join(dataDir, "state.db"), log }),
  source: (config, globals, dir, log) => assembleSource(config, { ...globals, dir, log }),
  controlSocket: ({ dataDir }) => join(runtimeDir(resolve(dataDir)), "control.sock"),
});
