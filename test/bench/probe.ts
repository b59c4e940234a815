import { readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { until } from "../support/fleet.ts";
import type { Running } from "../support/world.ts";

/** A module preloaded into a controller that writes a figure into a file on SIGUSR2. */
export class Probe {
  /** The environment that the controller is started with. */
  readonly env: Readonly<Record<string, string>>;
  readonly #file: string;

  /** `module` is told by the environment's `variable` where to write. */
  constructor({ module, variable, file }: { module: string; variable: string; file: string }) {
    this.#file = file;
    this.env = { [variable]: file, NODE_OPTIONS: `--import=${resolve(import.meta.dirname, module)}` };
  }

  async ask({ child }: Running): Promise<string> {
    rmSync(this.#file, { force: true });
    child.kill("SIGUSR2");
    await until(() => this.#said() !== "", 30_000, "the controller to say how it is");
    return this.#said();
  }

  #said(): string {
    try {
      return readFileSync(this.#file, "utf8");
    } catch {
      return "";
    }
  }
}

/** Milliseconds of CPU for which the event loop was held at most, since it was asked last. */
export function loopDelay(dir: string): Probe {
  const file = join(dir, "loop-delay");
  return new Probe({ module: "../support/loop-delay.mjs", variable: "FSSYNC_TEST_LOOP_DELAY", file });
}

/** Bytes in use, as `MemoryInUse`. */
export function memoryInUse(dir: string): Probe {
  return new Probe({ module: "memory-probe.mjs", variable: "FSSYNC_TEST_MEMORY", file: join(dir, "memory") });
}

/** After what is garbage was collected. */
export interface MemoryInUse {
  readonly rss: number;
  readonly heap: number;
}
