import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import type { AppKey } from "../../src/model/app.ts";
import { createLogger } from "../../src/log/logger.ts";
import { reportRepo, type AppOnHostReport, type RepoReport, type StatusReport } from "../../src/plan/status-report.ts";
import { SqliteStatusReader } from "../../src/store/sqlite-status-reader.ts";
import { Cmdb } from "./cmdb.ts";
import { startFleet, until, type Fleet, type FleetHost, type FleetOptions } from "./fleet.ts";
import { makeRepo, type Changes, type TestRepo } from "./repo.ts";

/** Name of the ConfigRepo. */
const NAME = "files";

const MAIN = resolve(import.meta.dirname, "../../src/main.ts");

export interface WorldOptions extends FleetOptions {
  readonly files: Changes;
  /** App that all hosts run at the start. */
  readonly app?: AppKey;
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
  readonly #assigned = new Map<AppKey, readonly FleetHost[]>();

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
    await world.assign(app, fleet.hosts);
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

  /** The fleet has a network of its own: nothing there reaches the CMDB, nor is it reached from here. */
  get #isolated(): boolean {
    return this.fleet.prefix.length > 0;
  }

  /** The CMDB says that these hosts run the app. */
  async assign(app: AppKey, hosts: readonly FleetHost[]): Promise<void> {
    this.#assigned.set(app, [...hosts]);
    this.cmdb.set(app, hosts.map(hostObject));
    if (!this.#isolated) return;
    const all = [...this.#assigned].flatMap(([key, listed]) => {
      const [mod, env, name] = key.split("/");
      return listed.map((host) => ({ ...hostObject(host), mod, env, app: name }));
    });
    await writeFile(join(this.dir, "hosts.yaml"), stringify(all));
  }

  /** Writes the ConfigRepo; sections given here are laid over the world's own. */
  async configure(spec: Record<string, object | boolean>): Promise<void> {
    const me = this.fleet.user;
    const own: Record<string, object | boolean> = {
      git: { url: this.repo.url, interval: "1s" },
      inventory: {
        interval: "1s",
        ...(this.#isolated
          ? { file: { path: "hosts.yaml" } }
          : { http: { url: `${this.cmdb.url}/api/hosts?mod={mod}&env={env}&app={app}`, hosts: "data" } }),
      },
      ssh: { user: me, secretRef: { name: "ssh" } },
      sync: me === "root" ? {} : { owner: me, group: me },
      // Where a test is not about drift, no host is looked at by chance.
      drift: { interval: "0s" },
    };
    for (const [section, value] of [...Object.entries(this.#spec), ...Object.entries(spec)]) {
      own[section] = typeof value === "object" ? { ...(own[section] as object), ...value } : value;
    }
    const document = { apiVersion: "fssync.dev/v1alpha1", kind: "ConfigRepo", metadata: { name: NAME }, spec: own };
    await writeFile(this.configFile, stringify(document));
  }

  /** The fleet's key and the known hosts as they are now. */
  async writeSecrets(): Promise<void> {
    const folder = join(this.dir, "secrets", "ssh");
    await mkdir(folder, { recursive: true });
    await cp(this.fleet.identityFile, join(folder, "identity"));
    await writeFile(join(folder, "known_hosts"), this.fleet.knownHosts);
  }

  /** Puts a Secret beside the others. */
  async putSecret(name: string, keys: Readonly<Record<string, string>>): Promise<void> {
    const folder = join(this.dir, "secrets", name);
    await mkdir(folder, { recursive: true });
    for (const [key, value] of Object.entries(keys)) await writeFile(join(folder, key), value);
  }

  /** One more host, known to ssh; the CMDB does not know it yet. */
  async addHost(): Promise<FleetHost> {
    const host = await this.fleet.add();
    await this.writeSecrets();
    return host;
  }

  /** Starts the program on this world; standard output and error are collected. Arguments given come last: they win. */
  spawn([command, ...args]: readonly string[], env: Record<string, string> = {}): Running {
    const globals = ["-f", this.configFile, "--data-dir", this.dataDir, "--secrets-dir", join(this.dir, "secrets")];
    const known = command?.startsWith("-") ? [] : [...globals, "--allow-file-urls"];
    return this.spawnBare([...(command === undefined ? [] : [command]), ...known, ...args], env);
  }

  /** Starts the program with these arguments and nothing else. */
  spawnBare(args: readonly string[], env: Record<string, string> = {}): Running {
    const command = [...this.fleet.prefix, process.execPath, MAIN, ...args];
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
    const controller = new Controller(running, `http://127.0.0.1:${port}`, this.fleet.prefix);
    this.#stack.defer(() => controller.kill());
    await controller.ready();
    return controller;
  }

  async status(): Promise<StatusReport> {
    const { stdout, stderr, code } = await this.run("status", "-o", "json");
    if (code !== 0) throw new Error(`status ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as StatusReport;
  }

  /** The status store as it is now, read beside the controller. */
  async peek(): Promise<RepoReport> {
    const log = createLogger({ level: "silent", terminal: false });
    await using reader = new SqliteStatusReader({ file: join(this.dataDir, "state.db"), log });
    return reportRepo(NAME, await reader.load(NAME));
  }

  /** What the status store knows of an app on a host; undefined when nothing. */
  async at({ address, port }: FleetHost, app: AppKey = "nginx/prod/web"): Promise<AppOnHostReport | undefined> {
    const { hosts } = await this.peek();
    const host = hosts.find((one) => one.address === address && one.port === port);
    return host?.apps.find((one) => one.app === app);
  }

  /** Waits until the status store says what `condition` wants. */
  async when(condition: (report: RepoReport) => boolean, what: string, deadline = 20_000): Promise<RepoReport> {
    let last: RepoReport | undefined;
    const holds = async () => {
      last = await this.peek();
      return condition(last);
    };
    await until(holds, deadline, what).catch((error: unknown) => {
      throw new Error(`${String(error)}; the status is ${JSON.stringify(last, null, 1)}`, { cause: error });
    });
    return last!;
  }

  /** Waits until a host shows a state, and a reason, for an app. */
  async shows(
    host: FleetHost,
    state: string,
    { app = "nginx/prod/web", reason = "" }: { app?: AppKey; reason?: string } = {},
  ): Promise<void> {
    const found = async () => {
      const now = await this.at(host, app);
      return now?.state === state && (reason === "" || now.reason === reason);
    };
    await until(found, 20_000, `${app} on port ${host.port} to be ${state} ${reason}`).catch(async (error: unknown) => {
      throw new Error(`${String(error)}; it is ${JSON.stringify(await this.at(host, app))}`, { cause: error });
    });
  }

  /** Waits until the newest commit was taken in and so many hosts have it; all of the fleet unless given. */
  async settled(hosts = this.fleet.hosts.length, deadline = 20_000): Promise<RepoReport> {
    const head = await this.repo.commitOf("main");
    return await this.when(
      ({ revision, hosts: found }) =>
        revision?.endsWith(`:${head}`) === true && found.filter(({ state }) => state === "Synced").length === hosts,
      `${hosts} hosts to have ${head}`,
      deadline,
    );
  }

  /** Processes that the program started and that live now: all of them work below its data dir. */
  processes(): { pid: number; command: string }[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => {
        try {
          const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim();
          const below = readlinkSync(`/proc/${name}/cwd`).startsWith(this.dataDir);
          return below && command !== "" ? [{ pid: Number(name), command }] : [];
        } catch {
          return [];
        }
      });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

function hostObject({ address, port, root }: FleetHost) {
  return { address, port, root };
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
  readonly #prefix: readonly string[];

  constructor(running: Running, url: string, prefix: readonly string[] = []) {
    this.running = running;
    this.url = url;
    this.#prefix = prefix;
  }

  /** Log lines so far. */
  get log(): Record<string, unknown>[] {
    return this.running.stderr
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Log lines with this event, or this reason. */
  logged(name: string): Record<string, unknown>[] {
    return this.log.filter(({ event, reason, level }) => level !== "debug" && (event === name || reason === name));
  }

  async ready(): Promise<void> {
    await until(
      async () => {
        if (this.running.child.exitCode !== null) throw new Error(`fssync run ended: ${this.running.stderr}`);
        if (this.#prefix.length > 0) return this.log.some(({ msg }) => msg === "controller started");
        return (await this.get("/readyz").catch(() => undefined))?.status === 200;
      },
      20_000,
      "the controller to be ready",
    );
  }

  get(path: string): Promise<Response> {
    return fetch(`${this.url}${path}`);
  }

  async metrics(): Promise<string> {
    if (this.#prefix.length === 0) return await (await this.get("/metrics")).text();
    const script = `process.stdout.write(await (await fetch("${this.url}/metrics")).text())`;
    const command = [...this.#prefix, process.execPath, "--input-type=module", "-e", script];
    return (await new Running(spawn(command[0]!, command.slice(1), { stdio: "pipe" })).ended).stdout;
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
