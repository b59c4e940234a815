/**
 * A real Kubernetes API server on this machine, for one test file: etcd and kube-apiserver from the
 * folder KUBEBUILDER_ASSETS, without controllers, nodes and CEL. Or, for what needs no outage, any
 * cluster by FSSYNC_TEST_KUBECONFIG.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe } from "vitest";
import { KubeClient } from "../../src/kubernetes/client.ts";
import { loadKubeConfig } from "../../src/kubernetes/kube-config.ts";
import { onProcessEnd } from "./fleet/processes.ts";
import { kubeBinaries } from "./kube/binaries.ts";
import { ControlPlane } from "./kube/control-plane.ts";

const assets = process.env["KUBEBUILDER_ASSETS"];
const foreign = process.env["FSSYNC_TEST_KUBECONFIG"];
const crds = join(import.meta.dirname, "../../charts/fssync/files/crds");

const ownAvailable = assets !== undefined && existsSync(join(assets, "kube-apiserver"));

const kubeAvailable = ownAvailable || foreign !== undefined;

/** `describe` of tests that need an API server of their own: they stop and start it. */
export const describeOwnKube = describe.skipIf(!ownAvailable);
/** `describe` of tests that need any API server. */
export const describeKube = describe.skipIf(!kubeAvailable);

if (!ownAvailable) {
  const how = "set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver";
  const skipped = foreign === undefined ? "tests on a Kubernetes API server" : "tests that stop the API server";
  process.stderr.write(`skipped: ${skipped}; ${how}${foreign === undefined ? ", or FSSYNC_TEST_KUBECONFIG" : ""}\n`);
}

export interface KubeOptions {
  /** More flags of kube-apiserver, `--watch-cache=false`. */
  readonly args?: readonly string[];
}

export interface RunOptions {
  /** What the program reads from stdin. */
  readonly input?: string;
  /** Path; the admin's unless given. */
  readonly kubeconfig?: string;
}

export interface Kube extends AsyncDisposable {
  /** https://127.0.0.1:port */
  readonly url: string;
  /** A folder that goes away with the server. */
  readonly dir: string;
  /** The path of the admin's kubeconfig. */
  readonly kubeconfig: string;
  /** A new client, ended with the server at the latest. */
  client(kubeconfig?: string): KubeClient;
  /** Runs kubectl to its end; returns stdout, throws with stderr. */
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>;
  helm(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Our CRDs, ready for use. */
  applyCrds(): Promise<void>;
  /** A new namespace; returns its name. */
  createNamespace(prefix?: string): Promise<string>;
  /** The path of a kubeconfig that is this ServiceAccount, which is made unless it exists. */
  token(serviceAccount: string, namespace: string): Promise<string>;
  /** SIGKILL. */
  stopApiServer(): Promise<void>;
  /** The same port, certificate and data as before. */
  startApiServer(): Promise<void>;
  /** SIGSTOP: it takes connections and answers nothing. */
  pauseApiServer(): void;
  resumeApiServer(): void;
  /** etcd forgets the past, so that a watch from an older version is answered with 410. */
  compact(): Promise<void>;
}

export async function startKube(options: KubeOptions = {}): Promise<Kube> {
  const dir = await mkdtemp(join(tmpdir(), "kube-"));
  const own = ownAvailable ? new ControlPlane({ dir, assets, args: options.args ?? [] }) : undefined;
  const cleanup = onProcessEnd(() => {
    own?.kill();
    rmSync(dir, { recursive: true, force: true });
  });
  const clients: KubeClient[] = [];

  async function dispose(): Promise<void> {
    await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()));
    await own?.[Symbol.asyncDispose]();
    cleanup[Symbol.dispose]();
    await rm(dir, { recursive: true, force: true });
  }

  function plane(): ControlPlane {
    if (!own) throw new Error("needs an API server of its own: use describeOwnKube");
    return own;
  }

  let kubeconfig = foreign ?? "";
  try {
    if (own) {
      await own.start();
      kubeconfig = writeKubeconfig("admin", own.adminToken);
    } else if (!foreign) {
      throw new Error("KUBEBUILDER_ASSETS is not set: use describeKube");
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  const admin = client();

  function writeKubeconfig(user: string, token: string, namespace = "default"): string {
    const file = join(dir, `${namespace}-${user}-${randomBytes(4).toString("hex")}.kubeconfig`);
    const cluster = { server: plane().url, "certificate-authority-data": Buffer.from(plane().ca).toString("base64") };
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "test", cluster }],
      users: [{ name: user, user: { token } }],
      contexts: [{ name: "test", context: { cluster: "test", user, namespace } }],
      "current-context": "test",
    };
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    return file;
  }

  function client(file = kubeconfig): KubeClient {
    const made = new KubeClient({ config: loadKubeConfig({ env: { KUBECONFIG: file } }) });
    clients.push(made);
    return made;
  }

  async function run(program: "kubectl" | "helm", args: readonly string[], given: RunOptions = {}): Promise<string> {
    const env = { PATH: process.env["PATH"], HOME: dir, KUBECONFIG: given.kubeconfig ?? kubeconfig };
    const command = (await kubeBinaries())[program];
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const child = execFile(command, args, { env, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(" ")}: ${stderr.trim() || error.message}`, { cause: error }));
      else resolve(stdout);
    });
    child.stdin?.once("error", () => {});
    child.stdin?.end(given.input ?? "");
    return await promise;
  }

  return {
    url: own?.url ?? admin.config.getCurrentCluster()!.server,
    dir,
    kubeconfig,
    client,
    kubectl: (args, given) => run("kubectl", args, given),
    helm: (args, given) => run("helm", args, given),
    async applyCrds() {
      await run("kubectl", ["apply", "--server-side", "-f", crds]);
      await run("kubectl", ["wait", "--for=condition=Established", "--timeout=30s", "-f", crds]);
    },
    async createNamespace(prefix = "test") {
      const name = `${prefix}-${randomBytes(4).toString("hex")}`;
      await admin.core.createNamespace({ body: { metadata: { name } } });
      return name;
    },
    async token(serviceAccount, namespace) {
      const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
      await run("kubectl", ["apply", "-f", "-"], {
        input: JSON.stringify({
          apiVersion: "v1",
          kind: "ServiceAccount",
          metadata: { name: serviceAccount, namespace },
        }),
      });
      const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { expirationSeconds: 3600 } };
      const made = await admin.json(`${accounts}/${serviceAccount}/token`, { method: "POST", body });
      return writeKubeconfig(serviceAccount, (made as { status: { token: string } }).status.token, namespace);
    },
    stopApiServer: () => plane().killServer(),
    startApiServer: () => plane().startServer(),
    pauseApiServer: () => plane().pauseServer(),
    resumeApiServer: () => plane().resumeServer(),
    compact: () => plane().compact(),
    [Symbol.asyncDispose]: dispose,
  };
}
