import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasCommand, onProcessEnd } from "../fleet/processes.ts";
import { ServerProcess } from "../kube/server-process.ts";
import { freePort } from "../world.ts";

const START_DEADLINE = 30_000;

const PROGRAMS = ["prometheus", "promtool", "prometheus-alertmanager"];

/** Why Prometheus and Alertmanager cannot be started here; undefined when they can. */
export function prometheusUnavailable(): string | undefined {
  const missing = PROGRAMS.filter((program) => !hasCommand(program));
  return missing.length === 0 ? undefined : `not installed: ${missing.join(", ")}`;
}

export interface DaemonOptions {
  readonly command: string;
  /** Files of its folder by name. */
  readonly files: Readonly<Record<string, string>>;
  readonly args: (dir: string, address: string) => readonly string[];
}

/** Prometheus or Alertmanager: a process with a folder and a port of its own, ready when `start` returns. */
export class Daemon implements AsyncDisposable {
  readonly url: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(url: string, stack: AsyncDisposableStack) {
    this.url = url;
    this.#stack = stack;
  }

  static async start(options: DaemonOptions): Promise<Daemon> {
    // A port that was free may be taken by the time it is used: then it is tried again.
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await Daemon.#start(options);
      } catch (error) {
        if (attempt === 3) throw error;
      }
    }
  }

  static async #start({ command, files, args }: DaemonOptions): Promise<Daemon> {
    await using stack = new AsyncDisposableStack();
    const dir = await mkdtemp(join(tmpdir(), "fssync-prometheus-"));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
    const address = `127.0.0.1:${await freePort()}`;
    const server = new ServerProcess({ command, args: args(dir, address), logFile: join(dir, "log") });
    stack.use(server);
    // A test that is interrupted leaves no server behind.
    stack.use(onProcessEnd(() => server.signal("SIGKILL")));
    const url = `http://${address}`;
    await server.ready(async () => (await fetch(`${url}/-/ready`)).ok, START_DEADLINE);
    return new Daemon(url, stack.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
