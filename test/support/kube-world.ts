import { join } from "node:path";
import type { ConfigAppStatus, ConfigHostStatus, ConfigRepoStatus } from "../../src/config/resources.ts";
import { appId, type AppKey } from "../../src/model/app.ts";
import { apiError, isNotFound } from "../../src/kubernetes/api-error.ts";
import type { KubeClient } from "../../src/kubernetes/client.ts";
import {
  configAppName,
  configHostName,
  GROUP,
  REQUESTED_AT,
  VERSION,
  type Resource,
} from "../../src/kubernetes/objects.ts";
import { readFile, writeFile } from "node:fs/promises";
import { until, type FleetHost } from "./fleet.ts";
import type { Kube } from "./kube.ts";
import { Controller, freePort, World, type WorldOptions } from "./world.ts";

/** Name of the ConfigRepo, as in World. */
const REPO = "files";

/** Hosts are ports of this machine: those of a network namespace do not see the API server. */
export interface KubeWorldOptions extends Omit<WorldOptions, "kind"> {
  readonly kube: Kube;
}

export interface LaunchOptions {
  /** More arguments of `fssync run`. */
  readonly args?: readonly string[];
  /** Path; the admin's unless given. */
  readonly kubeconfig?: string;
}

/**
 * A world whose ConfigRepo, Secrets and status are in a namespace of a real API server, and controllers
 * beside it as processes of their own.
 */
export class KubeWorld implements AsyncDisposable {
  readonly kube: Kube;
  readonly world: World;
  readonly namespace: string;
  readonly #client: KubeClient;
  readonly #stack: AsyncDisposableStack;

  private constructor(parts: { kube: Kube; world: World; namespace: string; stack: AsyncDisposableStack }) {
    this.kube = parts.kube;
    this.world = parts.world;
    this.namespace = parts.namespace;
    this.#client = parts.kube.client();
    this.#stack = parts.stack;
  }

  /** The ConfigRepo is not applied yet. */
  static async create({ kube, ...options }: KubeWorldOptions): Promise<KubeWorld> {
    await using stack = new AsyncDisposableStack();
    const namespace = await kube.createNamespace("fssync");
    const world = stack.use(await World.create({ ...options, kind: "ports" }));
    const made = new KubeWorld({ kube, world, namespace, stack: stack.move() });
    await made.writeSecret();
    return made;
  }

  /** `kubectl apply` of the ConfigRepo as World configured it, with these sections laid over. */
  async apply(spec: Record<string, object | boolean> = {}): Promise<void> {
    await this.world.configure(spec);
    await this.kubectl("apply", "-f", this.world.configFile);
  }

  /** The Secret `ssh` as the fleet is now. */
  async writeSecret(overrides: Readonly<Record<string, string>> = {}): Promise<void> {
    const { fleet } = this.world;
    const stringData = {
      identity: await readFile(fleet.identityFile, "utf8"),
      known_hosts: fleet.knownHosts,
      ...overrides,
    };
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "ssh" }, stringData };
    await this.kube.kubectl(["-n", this.namespace, "apply", "-f", "-"], { input: JSON.stringify(secret) });
  }

  /** Writes a file in the world's folder; returns its path. */
  async write(name: string, document: object): Promise<string> {
    const file = join(this.world.dir, name);
    await writeFile(file, JSON.stringify(document));
    return file;
  }

  kubectl(...args: string[]): Promise<string> {
    return this.kube.kubectl(["-n", this.namespace, ...args]);
  }

  /** Starts a controller with a data dir of its own and waits until it answers; it need not lead. */
  async start(name = "a", options: LaunchOptions = {}): Promise<Controller> {
    const controller = await this.launch(name, options);
    await controller.ready();
    return controller;
  }

  /** Starts it and does not wait. */
  async launch(name: string, { args = [], kubeconfig }: LaunchOptions = {}): Promise<Controller> {
    const port = await freePort();
    const listen = ["--data-dir", this.dataDir(name), "--listen", `127.0.0.1:${port}`, "--log-level", "debug"];
    const running = this.world.spawnBare(
      ["run", "--kubernetes", "--namespace", this.namespace, "--allow-file-urls", ...listen, ...args],
      { KUBECONFIG: kubeconfig ?? this.kube.kubeconfig, POD_NAME: name },
    );
    const controller = new Controller(running, `http://127.0.0.1:${port}`);
    this.#stack.defer(() => controller.kill());
    return controller;
  }

  dataDir(name: string): string {
    return join(this.world.dir, `data-${name}`);
  }

  async repo(): Promise<Resource<unknown, ConfigRepoStatus>> {
    return (await this.get("configrepo", REPO)) as Resource<unknown, ConfigRepoStatus>;
  }

  async app(app: AppKey = "nginx/prod/web"): Promise<Resource<unknown, ConfigAppStatus> | undefined> {
    return (await this.get("configapp", this.appName(app))) as Resource<unknown, ConfigAppStatus> | undefined;
  }

  async host({ address, port }: FleetHost): Promise<Resource<unknown, ConfigHostStatus> | undefined> {
    const name = configHostName(REPO, { address, port });
    return (await this.get("confighost", name)) as Resource<unknown, ConfigHostStatus> | undefined;
  }

  appName(app: AppKey = "nginx/prod/web"): string {
    return configAppName(REPO, appId(app));
  }

  hostName({ address, port }: FleetHost): string {
    return configHostName(REPO, { address, port });
  }

  /** Sets the annotation that asks for a forced resync. */
  async request(kind: string, name: string, token: string): Promise<void> {
    await this.kubectl("annotate", kind, name, `${REQUESTED_AT}=${token}`, "--overwrite");
  }

  /** Waits until all hosts of the app have the newest commit, by what its ConfigApp says. */
  async settled(hosts = this.world.fleet.hosts.length, app: AppKey = "nginx/prod/web"): Promise<void> {
    const head = await this.world.repo.commitOf("main");
    await this.when(async () => {
      const [{ status: repo }, found] = await Promise.all([this.repo(), this.app(app)]);
      const { hosts: counts, lastAppliedRevision, revision } = found?.status ?? {};
      const whole = counts?.synced === hosts && counts.total === hosts && lastAppliedRevision === revision;
      // Written together with the count, which `revision` is not.
      return whole && repo?.lastAttemptedRevision?.endsWith(`:${head}`) === true && repo.synced === hosts;
    }, `${hosts} hosts of ${app} to have ${head}`);
  }

  /** Waits until a condition holds; says how things are when it does not. */
  async when(condition: () => Promise<boolean>, what: string, deadline = 30_000): Promise<void> {
    await until(condition, deadline, what).catch(async (error: unknown) => {
      const now = await this.kubectl("get", "configrepos,configapps,confighosts", "-o", "yaml").catch(String);
      throw new Error(`${String(error)}; there is\n${now}`, { cause: error });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  /** An object of ours as it is now; undefined when there is none. Cheaper than a kubectl, for what is asked often. */
  async get(kind: string, name: string): Promise<unknown> {
    const path = `/apis/${GROUP}/${VERSION}/namespaces/${this.namespace}/${kind}s/${name}`;
    return await this.#client.json(path).catch((thrown: unknown) => {
      if (isNotFound(apiError(thrown))) return undefined;
      throw thrown;
    });
  }
}
