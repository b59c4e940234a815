import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { KubeClient } from "../../../src/kubernetes/client.ts";
import { loadKubeConfig, namespaceOf } from "../../../src/kubernetes/kube-config.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "kube-config-"));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true, force: true });
});

function write(path: string, text: string): string {
  const file = join(dir, path);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, text);
  return file;
}

function kubeconfig(server: string, more: object = {}): string {
  return JSON.stringify({
    clusters: [{ name: "c", cluster: { server, "insecure-skip-tls-verify": true } }],
    users: [{ name: "u", user: { token: "t" } }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u", namespace: "ops" } }],
    "current-context": "x",
    ...more,
  });
}

const SERVICE_ACCOUNT = "var/run/secrets/kubernetes.io/serviceaccount";
const inPod = { KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "443" };

function writeServiceAccount(): string {
  write(`${SERVICE_ACCOUNT}/token`, "first");
  write(`${SERVICE_ACCOUNT}/ca.crt`, "a certificate");
  write(`${SERVICE_ACCOUNT}/namespace`, "fleet\n");
  return join(dir, SERVICE_ACCOUNT);
}

describe("where the cluster is", () => {
  test("$KUBECONFIG comes first, then the pod's ServiceAccount, then ~/.kube/config", () => {
    const serviceAccount = writeServiceAccount();
    const env = { ...inPod, KUBECONFIG: write("given", kubeconfig("https://given")) };
    write(".kube/config", kubeconfig("https://home"));
    // client-node reads these two by itself.
    for (const [name, value] of Object.entries(inPod)) vi.stubEnv(name, value);
    const load = (from: Record<string, string>) => loadKubeConfig({ env: from, home: dir, serviceAccount });
    expect(load(env).getCurrentCluster()?.server).toBe("https://given");
    expect(namespaceOf(load(env))).toBe("ops");
    expect(load(inPod).getCurrentCluster()?.server).toBe("https://10.96.0.1:443");
    expect(namespaceOf(load(inPod))).toBe("fleet");
    expect(load({}).getCurrentCluster()?.server).toBe("https://home");
  });

  test("several files of $KUBECONFIG are one", () => {
    const first = write("first", JSON.stringify({ "current-context": "x" }));
    const env = { KUBECONFIG: `${first}:${write("second", kubeconfig("https://second", { "current-context": "y" }))}` };
    expect(loadKubeConfig({ env, home: dir }).getCurrentCluster()?.server).toBe("https://second");
  });

  test("a token of a kubeconfig may end with a newline", () => {
    const users = [{ name: "u", user: { token: "t\n" } }];
    const env = { KUBECONFIG: write("pasted", kubeconfig("https://given", { users })) };
    expect(loadKubeConfig({ env, home: dir }).getCurrentUser()?.token).toBe("t");
  });

  test("nothing to be found says what was tried", () => {
    const load = (env: Record<string, string>) => () => loadKubeConfig({ env, home: dir, serviceAccount: "/nowhere" });
    const missing = expect.objectContaining({ reason: "KubeconfigInvalid" }) as unknown;
    expect(load({})).toThrow(missing);
    expect(load({})).toThrow(
      `KUBECONFIG is not set, /nowhere/token is not there (not in a pod, or automountServiceAccountToken is off) and neither is ${dir}/.kube/config`,
    );
    expect(load({ KUBECONFIG: join(dir, "gone") })).toThrow(
      `the kubeconfig ${join(dir, "gone")} cannot be used: ENOENT`,
    );
    const broken = write("broken", "clusters: [\n");
    expect(load({ KUBECONFIG: broken })).toThrow(`the kubeconfig ${broken} cannot be used`);
    const empty = write("empty", kubeconfig("https://x", { "current-context": "other" }));
    expect(load({ KUBECONFIG: empty })).toThrow("no usable current-context (other)");
  });
});

describe("its connections", () => {
  let server: Server;
  let sockets: number;
  let tokens: (string | undefined)[];
  let client: KubeClient;

  beforeEach(async () => {
    sockets = 0;
    tokens = [];
    server = createServer((asked, answer) => {
      tokens.push(asked.headers.authorization);
      answer.setHeader("content-type", "application/json").end("{}");
    }).listen(0, "127.0.0.1");
    server.on("connection", () => sockets++);
    await once(server, "listening");
  });
  afterEach(async () => {
    await client[Symbol.asyncDispose]();
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });

  test("are kept for every kind of request, and end with the client", async () => {
    const { port } = server.address() as AddressInfo;
    const env = { KUBECONFIG: write("given", kubeconfig(`http://127.0.0.1:${port}`)) };
    client = new KubeClient({ config: loadKubeConfig({ env }) });
    for (let index = 0; index < 20; index++) {
      await client.json("/api");
      await client.core.listNamespacedConfigMap({ namespace: "ops" });
      await client.custom.listClusterCustomObject({ group: "fssync.dev", version: "v1alpha1", plural: "configapps" });
    }
    // The second one is for a request that comes before the first socket is put back.
    expect(sockets).toBeLessThanOrEqual(2);
    await Promise.all(Array.from({ length: 100 }, () => client.json("/api")));
    expect(sockets).toBe(16);
    await client[Symbol.asyncDispose]();
    await expect(client.json("/api")).rejects.toMatchObject({ reason: "Interrupted" });
  });

  test("a ServiceAccount's token is read again after a minute, on the same connections", async () => {
    const { port } = server.address() as AddressInfo;
    const serviceAccount = writeServiceAccount();
    const config = loadKubeConfig({ env: inPod, home: dir, serviceAccount });
    Object.assign(config.getCurrentCluster()!, { server: `http://127.0.0.1:${port}`, skipTLSVerify: true });
    client = new KubeClient({ config });
    await client.json("/api");
    write(`${SERVICE_ACCOUNT}/token`, "second");
    await client.json("/api");
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 61_000 });
    await client.json("/api");
    expect(tokens).toEqual(["Bearer first", "Bearer first", "Bearer second"]);
    expect(sockets).toBeLessThanOrEqual(2);
  });

  test("are made anew when the certificates change", async () => {
    const { port } = server.address() as AddressInfo;
    const serviceAccount = writeServiceAccount();
    const config = loadKubeConfig({ env: inPod, home: dir, serviceAccount });
    Object.assign(config.getCurrentCluster()!, { server: `http://127.0.0.1:${port}`, skipTLSVerify: true });
    client = new KubeClient({ config });
    await client.json("/api");
    write(`${SERVICE_ACCOUNT}/ca.crt`, "another certificate");
    await client.json("/api");
    expect(sockets).toBe(2);
  });
});
