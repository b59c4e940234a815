import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { join } from "node:path";
import { freePort } from "../world.ts";
import { ServerProcess } from "./server-process.ts";

const START_DEADLINE = 40_000;

export interface ControlPlaneOptions {
  readonly dir: string;
  /** Folder with etcd and kube-apiserver. */
  readonly assets: string;
  /** More flags of kube-apiserver. */
  readonly args: readonly string[];
}

/** One etcd and one kube-apiserver, on free ports of 127.0.0.1, with RBAC and one admin. */
export class ControlPlane implements AsyncDisposable {
  readonly adminToken = randomBytes(16).toString("hex");
  readonly #options: ControlPlaneOptions;
  #etcdPort = 0;
  #port = 0;
  #etcd: ServerProcess | undefined;
  #server: ServerProcess | undefined;

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  /** The certificates that the API server made for itself. */
  get ca(): string {
    return readFileSync(join(this.#options.dir, "certs", "apiserver.crt"), "utf8");
  }

  async start(): Promise<void> {
    const { dir } = this.#options;
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    writeFileSync(join(dir, "sa.key"), privateKey.export({ type: "pkcs1", format: "pem" }), { mode: 0o600 });
    writeFileSync(join(dir, "tokens.csv"), `${this.adminToken},admin,admin,"system:masters"\n`, { mode: 0o600 });
    // A port that was free may be taken by the time it is used: then everything is tried again.
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#startEtcd(attempt);
        this.#port = await freePort();
        await this.startServer();
        return;
      } catch (error) {
        await this[Symbol.asyncDispose]();
        if (attempt === 3) throw error;
      }
    }
  }

  /** On the same port and the same etcd as before. */
  async startServer(): Promise<void> {
    if (this.#server?.running) return;
    const { dir, assets, args } = this.#options;
    this.#server = new ServerProcess({
      command: join(assets, "kube-apiserver"),
      logFile: join(dir, "kube-apiserver.log"),
      args: [
        `--etcd-servers=http://127.0.0.1:${this.#etcdPort}`,
        `--secure-port=${this.#port}`,
        "--bind-address=127.0.0.1",
        // No other address is needed, so that a network namespace with nothing but lo will do.
        "--advertise-address=192.0.2.1",
        "--endpoint-reconciler-type=none",
        `--cert-dir=${join(dir, "certs")}`,
        `--service-account-key-file=${join(dir, "sa.key")}`,
        `--service-account-signing-key-file=${join(dir, "sa.key")}`,
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=RBAC",
        "--anonymous-auth=false",
        `--token-auth-file=${join(dir, "tokens.csv")}`,
        "--allow-privileged",
        ...args,
      ],
    });
    await this.#server.ready(() => this.#answers("/readyz"), START_DEADLINE);
  }

  async killServer(): Promise<void> {
    await this.#server?.kill();
  }

  /** Takes connections and answers nothing, as a machine that hangs. */
  pauseServer(): void {
    this.#server?.signal("SIGSTOP");
  }

  resumeServer(): void {
    this.#server?.signal("SIGCONT");
  }

  /** etcd forgets all revisions before now. */
  async compact(): Promise<void> {
    const { header } = (await this.#askEtcd("/v3/kv/range", { key: "AA==" })) as { header: { revision: string } };
    await this.#askEtcd("/v3/kv/compaction", { revision: header.revision });
  }

  /** Everything that a dying process can still do. */
  kill(): void {
    this.#server?.signal("SIGKILL");
    this.#etcd?.signal("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    await this.#etcd?.[Symbol.asyncDispose]();
  }

  async #startEtcd(attempt: number): Promise<void> {
    const { dir, assets } = this.#options;
    this.#etcdPort = await freePort();
    const peers = await freePort();
    this.#etcd = new ServerProcess({
      command: join(assets, "etcd"),
      logFile: join(dir, "etcd.log"),
      args: [
        `--data-dir=${join(dir, `etcd-${attempt}`)}`,
        `--listen-client-urls=http://127.0.0.1:${this.#etcdPort}`,
        `--advertise-client-urls=http://127.0.0.1:${this.#etcdPort}`,
        `--listen-peer-urls=http://127.0.0.1:${peers}`,
        "--log-level=error",
      ],
    });
    await this.#etcd.ready(async () => {
      const response = await fetch(`http://127.0.0.1:${this.#etcdPort}/health`);
      return ((await response.json()) as { health: string }).health === "true";
    }, START_DEADLINE);
  }

  async #askEtcd(path: string, body: object): Promise<unknown> {
    const response = await fetch(`http://127.0.0.1:${this.#etcdPort}${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(5000),
    });
    if (!response.ok) throw new Error(`etcd: ${response.status} ${await response.text()}`);
    return await response.json();
  }

  async #answers(path: string): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const options = { ca: this.ca, headers: { authorization: `Bearer ${this.adminToken}` }, timeout: 2000 };
    const asked = httpsRequest(`${this.url}${path}`, { ...options, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    asked.once("timeout", () => asked.destroy());
    asked.once("error", () => resolve(false));
    asked.end();
    return await promise;
  }
}
