import type { Logger } from "pino";
import type { ConfigRepo } from "../config/schema.ts";
import type { GitSource } from "../ports/git-source.ts";
import type { StatusStore } from "../ports/status-store.ts";
import type { Controller } from "../reconcile/controller.ts";
import type { Globals } from "./globals.ts";

/** What the composition root makes for commands; they know no adapter. */
export interface Builders {
  /** The whole program on its data dir. Throws DataDirInUse when another process has it. */
  program(globals: Globals, options: { log: Logger; retry: boolean }): Promise<Program>;
  /** Reads the status store beside a running controller. */
  statusReader(globals: Globals, log: Logger): Promise<StatusReader>;
  /** A Git source in a folder of its own. */
  source(config: ConfigRepo, globals: Globals, dir: string, log: Logger): Promise<GitSource>;
  /** The socket of the controller that works on the data dir. */
  controlSocket(globals: Globals): string;
}

export type StatusReader = Pick<StatusStore, "load" | "repos"> & AsyncDisposable;

export interface Program extends AsyncDisposable {
  readonly controller: Controller;
  readonly controlSocket: string;
  /** See `Assembly`. */
  forgetOthers(): Promise<string[]>;
  /** Prometheus' text format. */
  readonly exposeMetrics: () => Promise<string>;
}
