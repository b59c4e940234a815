import { execFile } from "node:child_process";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { KubernetesObject, V1CustomResourceDefinition, V1Deployment, V1Job } from "@kubernetes/client-node";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { CHART, CI_FILES, render } from "../../support/chart.ts";
import { until } from "../../support/fleet/processes.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";

/** Kinds that no API server knows without the Prometheus operator. */
const FOREIGN = new Set(["PrometheusRule", "ServiceMonitor"]);
const CRDS = ["configapps.fssync.dev", "confighosts.fssync.dev", "configrepos.fssync.dev"];
/** As the documentation says it: so the fields are Helm's own from the start. */
const AS_HELM = ["apply", "--server-side", "--field-manager=helm"];
const REPO = {
  git: { url: "https://git.example.com/a.git" },
  inventory: { static: [{ mod: "a", env: "b", app: "c", hosts: ["10.0.0.1"] }] },
};

describeKube("the chart on an API server", () => {
  let kube: Kube;
  let namespace: string;
  let chart: string;

  beforeAll(async () => {
    kube = await startKube();
    chart = join(kube.dir, "fssync");
    await cp(CHART, chart, { recursive: true });
  });

  afterAll(async () => {
    await kube?.[Symbol.asyncDispose]();
  });

  afterEach(async () => {
    // The CRDs are of the whole cluster; they take all ConfigRepos along.
    await kube.kubectl(["delete", "crd", "--ignore-not-found", ...CRDS]);
  });

  async function get<Kind extends KubernetesObject>(kind: string, name: string): Promise<Kind> {
    return JSON.parse(await kube.kubectl(["get", kind, name, "-n", namespace, "-o", "json"])) as Kind;
  }

  async function exists(kind: string, name: string): Promise<boolean> {
    const found = await kube.kubectl(["get", kind, name, "-n", namespace, "--ignore-not-found", "-o", "name"]);
    return found.trim() !== "";
  }

  async function helm(command: string, values: object = {}, ...args: string[]): Promise<string> {
    const options = ["--namespace", namespace, "--create-namespace", "-f", "-", ...args];
    return await kube.helm([command, "fssync", chart, ...options], { input: JSON.stringify(values) });
  }

  async function describeCrd(text: string): Promise<void> {
    const file = join(chart, "files/crds/confighosts.yaml");
    const crd = JSON.parse(await kube.kubectl(["create", "--dry-run=client", "-o", "json", "-f", file])) as object;
    const changed = crd as V1CustomResourceDefinition;
    changed.spec.versions[0]!.schema!.openAPIV3Schema!.description = text;
    await writeFile(file, stringify(changed));
  }

  async function crdDescription(): Promise<string | undefined> {
    const crd = await get<V1CustomResourceDefinition>("crd", "confighosts.fssync.dev");
    return crd.spec.versions[0]!.schema!.openAPIV3Schema!.description;
  }

  test.each(CI_FILES)("takes every object of ci/%s", async (ciFile) => {
    namespace = await kube.createNamespace("dry");
    await kube.applyCrds();
    const { serverVersion } = JSON.parse(await kube.kubectl(["version", "-o", "json"])) as {
      serverVersion: { gitVersion: string };
    };
    const known = ["--kube-version", serverVersion.gitVersion, "--api-versions", "fssync.dev/v1alpha1/ConfigRepo"];
    const objects = await render({ ciFile, args: known });
    const ours = objects.filter(({ kind }) => !FOREIGN.has(kind!));
    for (const { metadata } of ours) if (metadata?.namespace) metadata.namespace = namespace;
    const input = JSON.stringify({ apiVersion: "v1", kind: "List", items: ours });
    const told = await kube.kubectl(["apply", "--dry-run=server", "--validate=strict", "-f", "-"], { input });
    expect(told.trim().split("\n")).toHaveLength(ours.length);
  });

  test("is installed, upgraded with its CRDs, rolled back and uninstalled", async () => {
    namespace = await kube.createNamespace("release");
    const notes = await helm("install");
    const next = [...notes.matchAll(/^ +kubectl -n (\S+) ([\w-]+)/gm)].map(([, where, verb]) => `${where} ${verb}`);
    expect(next).toEqual(["create", "create", "apply", "get", "port-forward"].map((verb) => `${namespace} ${verb}`));
    await until(() => exists("deployment", "fssync"), 5000, "the Deployment");
    await kube.kubectl(["wait", "--for=condition=Established", "--timeout=30s", "crd", ...CRDS]);
    const repo = { apiVersion: "fssync.dev/v1alpha1", kind: "ConfigRepo", metadata: { name: "mine" }, spec: REPO };
    await kube.kubectl(["apply", "-n", namespace, "-f", "-"], { input: JSON.stringify(repo) });
    const { uid } = (await get("configrepo", "mine")).metadata!;

    const before = await crdDescription();
    await describeCrd("Of the next version.");
    await helm("upgrade", { rbac: { scope: "cluster" }, replicas: 3 });
    await expect(crdDescription()).resolves.toBe("Of the next version.");
    expect((await get<V1Deployment>("deployment", "fssync")).spec!.replicas).toBe(3);
    await expect(exists("clusterrole", `${namespace}-fssync`)).resolves.toBe(true);
    await expect(exists("role", "fssync")).resolves.toBe(false);

    await kube.helm(["rollback", "fssync", "1", "--namespace", namespace]);
    await expect(crdDescription()).resolves.toBe(before);
    expect((await get<V1Deployment>("deployment", "fssync")).spec!.replicas).toBe(2);
    await expect(exists("clusterrole", `${namespace}-fssync`)).resolves.toBe(false);
    await expect(exists("role", "fssync")).resolves.toBe(true);

    await kube.helm(["uninstall", "fssync", "--namespace", namespace]);
    for (const kind of ["deployment", "service", "serviceaccount", "role", "rolebinding", "pdb"])
      await expect(exists(kind, "fssync"), kind).resolves.toBe(false);
    for (const crd of CRDS) await expect(exists("crd", crd), crd).resolves.toBe(true);
    expect((await get("configrepo", "mine")).metadata!.uid).toBe(uid);

    await helm("install");
    expect((await get("configrepo", "mine")).metadata!.uid).toBe(uid);
    await kube.helm(["uninstall", "fssync", "--namespace", namespace]);
  });

  test("crds.keep: false takes CRDs away with the release", async () => {
    namespace = await kube.createNamespace("gone");
    await helm("install", { crds: { keep: false } });
    await kube.helm(["uninstall", "fssync", "--namespace", namespace]);
    for (const crd of CRDS) await expect(exists("crd", crd), crd).resolves.toBe(false);
  });

  test("a second release shares the CRDs of the first", async () => {
    namespace = await kube.createNamespace("first");
    await helm("install");
    namespace = await kube.createNamespace("second");
    await expect(helm("install")).rejects.toThrow("cannot be imported into the current release");
    await helm("install", { crds: { install: false } });
    await kube.helm(["uninstall", "fssync", "--namespace", namespace]);
    for (const crd of CRDS) await expect(exists("crd", crd), crd).resolves.toBe(true);
  });

  test("a release takes over CRDs that somebody else applied", async () => {
    namespace = await kube.createNamespace("owner");
    await kube.applyCrds();
    await expect(helm("install")).rejects.toThrow("cannot be imported into the current release");
    await helm("install", {}, "--take-ownership", "--force-conflicts");
    const { annotations } = (await get("crd", "configrepos.fssync.dev")).metadata!;
    expect(annotations).toMatchObject({ "meta.helm.sh/release-namespace": namespace });
  });

  test("a release takes over CRDs that kubectl applied as Helm does, and brings changed ones later", async () => {
    namespace = await kube.createNamespace("taken");
    await kube.kubectl([...AS_HELM, "-f", join(chart, "files/crds")]);
    await helm("upgrade", {}, "--install", "--take-ownership");
    await describeCrd("Of the version after the take-over.");
    await helm("upgrade");
    await expect(crdDescription()).resolves.toBe("Of the version after the take-over.");
    // What brings new CRDs by hand meanwhile stands in no release's way either.
    await describeCrd("By hand.");
    await kube.kubectl([...AS_HELM, "-f", join(chart, "files/crds")]);
    await describeCrd("Of the version after that.");
    await helm("upgrade");
    await expect(crdDescription()).resolves.toBe("Of the version after that.");
  });

  test("after a client-side apply each upgrade that changes a CRD needs --force-conflicts", async () => {
    namespace = await kube.createNamespace("client");
    await kube.kubectl(["apply", "-f", join(chart, "files/crds")]);
    await kube.kubectl(["wait", "--for=condition=Established", "--timeout=30s", "crd", ...CRDS]);
    await helm("install", {}, "--take-ownership");
    await describeCrd("Against kubectl.");
    await expect(helm("upgrade")).rejects.toThrow('conflict with "kubectl-client-side-apply"');
    await helm("upgrade", {}, "--force-conflicts");
    await expect(crdDescription()).resolves.toBe("Against kubectl.");
  });

  test("extraRepos are applied with the very release that brings their CRD, and never removed by Helm", async () => {
    namespace = await kube.createNamespace("repos");
    const values = (suspend: boolean) => ({ extraRepos: { mine: { ...REPO, suspend } } });
    await Promise.all([helm("install", values(false)), runAwaitCrdsJob()]);
    const { uid } = (await get("configrepo", "mine")).metadata!;
    await expect(exists("job", "fssync-await-crds")).resolves.toBe(false);

    await helm("upgrade", values(true));
    const upgraded = await get<KubernetesObject & { spec: { suspend: boolean } }>("configrepo", "mine");
    expect(upgraded).toMatchObject({ metadata: { uid }, spec: { suspend: true } });
    await expect(kube.helm(["get", "manifest", "fssync", "-n", namespace])).resolves.toContain("kind: ConfigRepo\n");

    // Revision 1 has it as a hook only, so that Helm would remove it.
    await kube.helm(["rollback", "fssync", "1", "--namespace", namespace]);
    expect((await get("configrepo", "mine")).metadata!.uid).toBe(uid);
    await helm("upgrade", { extraRepos: {} });
    expect((await get("configrepo", "mine")).metadata!.uid).toBe(uid);
    await helm("upgrade", values(false));
    expect(await get("configrepo", "mine")).toMatchObject({ metadata: { uid }, spec: { suspend: false } });
    await kube.helm(["uninstall", "fssync", "--namespace", namespace]);
    expect((await get("configrepo", "mine")).metadata!.uid).toBe(uid);
  });

  /** What the kubelet and the Job controller would do: runs the Job's program, then says that it is complete. */
  async function runAwaitCrdsJob(): Promise<void> {
    await until(() => exists("job", "fssync-await-crds"), 20_000, "the Job");
    const [container] = (await get<V1Job>("job", "fssync-await-crds")).spec!.template.spec!.containers;
    const [program, ...args] = [...container!.command!, ...container!.args!];
    expect(program).toBe("node");
    const kubeconfig = JSON.parse(await readFile(await kube.token("fssync", namespace), "utf8")) as KubeConfigFile;
    const { server, "certificate-authority-data": ca } = kubeconfig.clusters[0]!.cluster;
    await writeFile(join(kube.dir, "ca.crt"), Buffer.from(ca, "base64"));
    await writeFile(join(kube.dir, "token"), kubeconfig.users[0]!.user.token);
    const { hostname, port } = new URL(server);
    const env = {
      KUBERNETES_SERVICE_HOST: hostname,
      KUBERNETES_SERVICE_PORT: port,
      NODE_EXTRA_CA_CERTS: join(kube.dir, "ca.crt"),
      TOKEN_FILE: join(kube.dir, "token"),
    };
    await promisify(execFile)(process.execPath, args, { env, timeout: 20_000 });
    const status = { succeeded: 1, conditions: [{ type: "Complete", status: "True" }] };
    await kube.client().json(`/apis/batch/v1/namespaces/${namespace}/jobs/fssync-await-crds/status`, {
      method: "PATCH",
      mergePatch: true,
      body: { status },
    });
  }
});

interface KubeConfigFile {
  readonly clusters: readonly { cluster: { server: string; "certificate-authority-data": string } }[];
  readonly users: readonly { user: { token: string } }[];
}
