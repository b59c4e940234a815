import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { KubeWorld } from "../kube-world.ts";
import { Controller, freePort, type Ran } from "../world.ts";
import { environmentOf } from "./sessions.ts";

export interface CandidateOptions {
  readonly world: KubeWorld;
  /** Also its pod's, its data dir's and its ServiceAccount's; what it runs on hosts carries it. */
  readonly name: string;
  /** Instead of its ServiceAccount's own. */
  readonly kubeconfig?: string;
  readonly args?: readonly string[];
}

/** A controller as a process of its own, which may lead. */
export class Candidate extends Controller implements AsyncDisposable {
  readonly name: string;
  readonly #dataDir: string;

  private constructor(parts: { controller: Controller; name: string; dataDir: string }) {
    super(parts.controller.running, parts.controller.url);
    this.name = parts.name;
    this.#dataDir = parts.dataDir;
  }

  /** It may not be ready yet. */
  static async start({ world, name, kubeconfig, args = [] }: CandidateOptions): Promise<Candidate> {
    const listen = `127.0.0.1:${await freePort()}`;
    const dataDir = world.dataDir(name);
    const env = {
      ...(await environmentOf(name, world.world.dir)),
      KUBECONFIG: kubeconfig ?? (await world.kube.token(name, world.namespace)),
      POD_NAME: name,
    };
    const places = ["--namespace", world.namespace, "--data-dir", dataDir, "--listen", listen];
    const all = ["run", "--kubernetes", ...places, "--allow-file-urls", "--log-level", "debug", ...args];
    const controller = new Controller(world.world.spawnBare(all, env), `http://${listen}`);
    return new Candidate({ controller, name, dataDir });
  }

  get pid(): number {
    return this.running.child.pid!;
  }

  get runs(): boolean {
    const { exitCode, signalCode } = this.running.child;
    return exitCode === null && signalCode === null;
  }

  /** False as well when it does not answer within a second. */
  async leads(): Promise<boolean> {
    const text = await fetch(`${this.url}/metrics`, { signal: AbortSignal.timeout(1000) })
      .then((answer) => answer.text())
      .catch(() => "");
    return text.includes("\nfssync_leader 1\n");
  }

  /** What it runs to reach hosts, idle connections included. */
  transports(): { readonly pid: number; readonly command: string }[] {
    return readdirSync("/proc").flatMap((pid) => {
      try {
        if (!/^\d+$/.test(pid) || !readlinkSync(`/proc/${pid}/cwd`).startsWith(`${this.#dataDir}/`)) return [];
        const command = readFileSync(`/proc/${pid}/comm`, "utf8").trim();
        return ["rsync", "ssh"].includes(command) ? [{ pid: Number(pid), command }] : [];
      } catch {
        return [];
      }
    });
  }

  signal(signal: NodeJS.Signals): void {
    this.running.child.kill(signal);
  }

  /** Whether it has logged this since the line with that index. */
  said(message: string, since = 0): boolean {
    return this.log.slice(since).some(({ msg }) => msg === message);
  }

  override async stop(): Promise<Ran> {
    this.signal("SIGCONT");
    return await super.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
