import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import type { StatusReport } from "../../src/plan/status-report.ts";
import { Cmdb } from "./cmdb.ts";
import { startFleet, until, type Fleet, type FleetHost, type FleetOptions } from "./fleet.ts";
import { makeRepo, type Changes, type TestRepo } from "./repo.ts";

const MAIN = resolve(import.meta.dirname, "../../src/main.ts");

export interface WorldOptions extends Pick<FleetOptions, "hosts" | "kind"> {
  readonly files: Changes;
  /** App that all hosts run at the start. */
  readonly app?: `${string}/${string}/${string}`;
  /** Laid over the document's spec, section by section. */
  readonly spec?: Record<string, object | boolean>;
}

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Everything around fssync, for real: a Git repo, an HTTP CMDB, sshd hosts, a configuration and its
 * secrets in a folder of their own; and the program as a child process.
 */
export class World implements AsyncDisposable {
  readonly dir: string;
  readonly repo: TestRepo;
  readonly cmdb: Cmdb;
  readonly fleet: Fleet;
  readonly #stack: AsyncDisposableStack;
  readonly #spec: Record<string, object | boolean>;

  private constructor(parts: {
    dir: string;
    repo: TestRepo;
    cmdb: Cmdb;
    fleet: Fleet;
    stack: AsyncDisposableStack;
    spec: Record<string, object | boolean>;
  }) {
    this.dir = parts.dir;
    this.repo = parts.repo;
    this.cmdb = parts.cmdb;
    this.fleet = parts.fleet;
    this.#stack = parts.stack;
    this.#spec = parts.spec;
  }

  static async create({ files, app = "nginx/prod/web", spec = {}, ...options }: WorldOptions): Promise<World> {
    await using stack = new AsyncDisposableStack();
    const dir = await mkdtemp(join(tmpdir(), "fssync-world-"));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    const [repo, cmdb, fleet] = await Promise.all([makeRepo(files), Cmdb.start(), startFleet(options)]);
    for (const part of [repo, cmdb, fleet]) stack.use(part);
    const world = new World({ dir, repo, cmdb, fleet, spec, stack: stack.move() });
    world.assign(app, fleet.hosts);
    await world.writeSecrets();
    await world.configure({});
    return world;
  }

  get configFile(): string {
    return join(this.dir, "fssync.yaml");
  }

  get dataDir(): string {
    return join(this.dir, "data");
  }

  /** The CMDB says that these hosts run the app. */
  assign(app: `${string}/${string}/${string}`, hosts: readonly FleetHost[]): void {
    this.cmdb.set(
      app,
      hosts.map(({ address, port, root }) => ({ address, port, root })),
    );
  }

  /** Writes the ConfigRepo; sections given here are laid over the world's own. */
  async configure(spec: Record<string, object | boolean>): Promise<void> {
    const me = this.fleet.user;
    const own: Record<string, object | boolean> = {
      git: { url: this.repo.url, interval: "1s" },
      inventory: {
        interval: "1s",
        http: { url: `${this.cmdb.url}/api/hosts?mod={mod}&env={env}&app={app}`, hosts: "data" },
      },
      ssh: { user: me, secretRef: { name: "ssh" } },
      sync: me === "root" ? {} : { owner: me, group: me },
    };
    for (const [section, value] of [...Object.entries(this.#spec), ...Object.entries(spec)]) {
      own[section] = typeof value === "object" ? { ...(own[section] as object), ...value } : value;
    }
    const document = { apiVersion: "fssync.dev/v1alpha1", kind: "ConfigRepo", metadata: { name: "files" }, spec: own };
    await writeFile(this.configFile, stringify(document));
  }

  /** The fleet's key and the known hosts as they are now. */
  async writeSecrets(): Promise<void> {
    const folder = join(this.dir, "secrets", "ssh");
    await mkdir(folder, { recursive: true });
    await cp(this.fleet.identityFile, join(folder, "identity"));
    await writeFile(join(folder, "known_hosts"), this.fleet.knownHosts);
  }

  /** One more host, known to ssh; the CMDB does not know it yet. */
  async addHost(): Promise<FleetHost> {
    const host = await this.fleet.add();
    await this.writeSecrets();
    return host;
  }

  /** Starts the program; standard output and error are collected. */
  spawn(args: readonly string[], env: Record<string, string> = {}): Running {
    const globals = ["-f", this.configFile, "--data-dir", this.dataDir, "--secrets-dir", join(this.dir, "secrets")];
    const command = [...this.fleet.prefix, process.execPath, MAIN, ...args, ...globals, "--allow-file-urls"];
    return new Running(spawn(command[0]!, command.slice(1), { env: { ...process.env, ...env }, stdio: "pipe" }));
  }

  /** Runs the program to its end. */
  async run(...args: string[]): Promise<Ran> {
    return await this.spawn(args).ended;
  }

  /** Starts the controller and waits until it is ready. */
  async start(...args: string[]): Promise<Controller> {
    const port = await freePort();
    const running = this.spawn(["run", "--listen", `127.0.0.1:${port}`, "--log-level", "debug", ...args]);
    const controller = new Controller(running, `http://127.0.0.1:${port}`);
    this.#stack.defer(() => controller.kill());
    await controller.ready();
    return controller;
  }

  async status(): Promise<StatusReport> {
    const { stdout, stderr, code } = await this.run("status", "-o", "json");
    if (code !== 0) throw new Error(`status ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as StatusReport;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** A child process whose output is kept. */
export class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ran>;
  stdout = "";
  stderr = "";

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (this.stdout += text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    this.ended = once(child, "close").then(() => ({ code: child.exitCode, stdout: this.stdout, stderr: this.stderr }));
  }
}

/** A running `fssync run`. */
export class Controller {
  readonly running: Running;
  readonly url: string;

  constructor(running: Running, url: string) {
    this.running = running;
    this.url = url;
  }

  /** Log lines so far. */
  get log(): Record<string, unknown>[] {
    return this.running.stderr
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async ready(): Promise<void> {
    await until(
      async () => {
        if (this.running.child.exitCode !== null) throw new Error(`fssync run ended: ${this.running.stderr}`);
        return (await fetch(`${this.url}/readyz`).catch(() => undefined))?.status === 200;
      },
      20_000,
      "the controller to be ready",
    );
  }

  async metrics(): Promise<string> {
    return await (await fetch(`${this.url}/metrics`)).text();
  }

  /** The value of one series, `name{label="value"}` as the controller prints it; undefined when there is none. */
  async metric(series: string): Promise<number | undefined> {
    const line = (await this.metrics()).split("\n").find((text) => text.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  }

  /** SIGTERM, and the end of it. */
  async stop(): Promise<Ran> {
    this.running.child.kill("SIGTERM");
    return await this.running.ended;
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    if (this.running.child.exitCode === null && this.running.child.signalCode === null) {
      this.running.child.kill("SIGKILL");
    }
    await this.running.ended;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
