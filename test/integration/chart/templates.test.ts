import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { readFileSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type {
  V1Container,
  KubernetesObject,
  V1ConfigMap,
  V1Deployment,
  V1Job,
  V1NetworkPolicy,
  V1PodSpec,
  V1Service,
} from "@kubernetes/client-node";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { all, CHART, CI_FILES, find, helm, render } from "../../support/chart.ts";

const CRDS = join(CHART, "files/crds");
interface Monitor extends KubernetesObject {
  readonly spec: { readonly selector: { readonly matchLabels: object } };
}

const OURS = "fssync.dev/v1alpha1/ConfigRepo";

const PODS = {
  podSelector: {
    matchLabels: {
      "app.kubernetes.io/name": "fssync",
      "app.kubernetes.io/instance": "fssync",
      "app.kubernetes.io/component": "controller",
    },
  },
};

async function deployment(values?: unknown): Promise<V1Deployment> {
  return find(await render({ values }), "Deployment");
}

function podOf(workload: V1Deployment | V1Job): V1PodSpec {
  return workload.spec!.template.spec!;
}

describe.each(CI_FILES)("ci/%s", (ciFile) => {
  test("helm lint --strict has nothing to say", async () => {
    await expect(helm(["lint", "--strict", CHART, "-f", join(CHART, "ci", ciFile)])).resolves.toContain(
      "0 chart(s) failed",
    );
  });

  test("every pod keeps to the restricted pod security standard", async () => {
    const objects = await render({ ciFile });
    const pods = [...all<V1Deployment>(objects, "Deployment"), ...all<V1Job>(objects, "Job")].map(podOf);
    expect(pods.length).toBeGreaterThan(0);
    for (const pod of pods) {
      expect(pod.securityContext).toEqual({
        runAsNonRoot: true,
        runAsUser: 65_532,
        runAsGroup: 65_532,
        fsGroup: 65_532,
        fsGroupChangePolicy: "OnRootMismatch",
        seccompProfile: { type: "RuntimeDefault" },
      });
      expect(pod.containers).toHaveLength(1);
      expect(pod.containers[0]!.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      });
      expect(pod.containers[0]!.resources).toMatchObject({ requests: { memory: expect.anything() } });
      expect(pod).not.toHaveProperty("hostNetwork");
    }
  });

  test("every object has its name once, its namespace and the labels", async () => {
    const objects = await render({ ciFile });
    const names = objects.map(({ kind, metadata }) => `${kind} ${metadata?.namespace ?? ""} ${metadata?.name}`);
    expect(new Set(names).size).toBe(names.length);
    for (const { kind, metadata } of objects) {
      expect(metadata?.labels, metadata?.name).toMatchObject({
        "app.kubernetes.io/name": "fssync",
        "app.kubernetes.io/instance": "fssync",
        "app.kubernetes.io/managed-by": "Helm",
      });
      const clusterWide = /^(ClusterRole|ClusterRoleBinding|CustomResourceDefinition)$/.test(kind!);
      expect(metadata?.namespace === undefined, metadata?.name).toBe(clusterWide);
    }
  });

  test("Services, budgets and spread select the controller's pods and no others", async () => {
    const objects = await render({ ciFile });
    const { metadata: pod } = find<V1Deployment>(objects, "Deployment").spec!.template;
    const selector = find<V1Service>(objects, "Service").spec!.selector!;
    expect(pod!.labels).toMatchObject(selector);
    expect(find<V1Deployment>(objects, "Deployment").spec!.selector.matchLabels).toEqual(selector);
    for (const budget of all(objects, "PodDisruptionBudget"))
      expect(budget).toMatchObject({ spec: { selector: { matchLabels: selector } } });
    for (const job of all<V1Job>(objects, "Job"))
      expect(job.spec!.template.metadata!.labels).not.toMatchObject(selector);
  });
});

describe("the controller's pod", () => {
  test("runs the controller of its own namespace by default", async () => {
    const [container] = podOf(await deployment()).containers;
    expect(container!.args).toEqual(["run", "--listen=:8080", "--kubernetes-auth", "--log-level=info"]);
    expect(settings(container)).toEqual({
      FSSYNC_KUBERNETES: "true",
      FSSYNC_NAMESPACE: "ops",
      FSSYNC_DATA_DIR: "/var/lib/fssync",
    });
    expect(container!.command).toBeUndefined();
    expect(container!.env).toContainEqual({
      name: "POD_NAME",
      valueFrom: { fieldRef: { fieldPath: "metadata.name" } },
    });
    expect(container!.env).toContainEqual({
      name: "POD_NAMESPACE",
      valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } },
    });
  });

  test("follows another namespace, or all of them", async () => {
    const [other] = podOf(await deployment({ watchNamespace: "configs" })).containers;
    expect(settings(other)).toMatchObject({ FSSYNC_NAMESPACE: "configs" });
    const [every] = podOf(await deployment({ rbac: { scope: "cluster" } })).containers;
    expect(settings(every)).toMatchObject({ FSSYNC_ALL_NAMESPACES: "true" });
    expect(settings(every)).not.toHaveProperty("FSSYNC_NAMESPACE");
  });

  test("is probed where the controller answers", async () => {
    const [container] = podOf(await deployment()).containers;
    expect(container!.ports).toEqual([{ name: "http", protocol: "TCP", containerPort: 8080 }]);
    expect(container!.startupProbe!.httpGet).toEqual({ path: "/healthz", port: "http" });
    expect(container!.livenessProbe!.httpGet).toEqual({ path: "/healthz", port: "http" });
    expect(container!.readinessProbe!.httpGet).toEqual({ path: "/readyz", port: "http" });
  });

  test("may drain: it gets more time than the controller takes", async () => {
    expect(podOf(await deployment()).terminationGracePeriodSeconds).toBe(30);
  });

  test("writes to volumes only, and HOME and TMPDIR are on them", async () => {
    const pod = podOf(await deployment());
    const [container] = pod.containers;
    expect(container!.volumeMounts).toEqual([
      { name: "data", mountPath: "/var/lib/fssync" },
      { name: "tmp", mountPath: "/tmp" },
    ]);
    expect(pod.volumes).toEqual([
      { name: "data", emptyDir: { sizeLimit: "8Gi" } },
      { name: "tmp", emptyDir: { sizeLimit: "1Gi" } },
    ]);
    expect(container!.env).toContainEqual({ name: "HOME", value: "/var/lib/fssync" });
    expect(container!.env).toContainEqual({ name: "TMPDIR", value: "/tmp" });
  });

  test("keeps its cache on a claim, and then never runs twice at a time", async () => {
    const { spec } = await deployment({ replicas: 1, storage: { existingClaim: "cache" } });
    expect(spec!.template.spec!.volumes).toContainEqual({
      name: "data",
      persistentVolumeClaim: { claimName: "cache" },
    });
    expect(spec!.strategy).toEqual({ type: "Recreate" });
  });

  test("without leader election it never runs twice at a time, and needs no Lease", async () => {
    const objects = await render({ values: { replicas: 1, leaderElection: { enabled: false } } });
    const { spec } = find<V1Deployment>(objects, "Deployment");
    expect(spec!.strategy).toEqual({ type: "Recreate" });
    expect(spec!.template.spec!.containers[0]!.args).toContain("--no-leader-elect");
    expect(JSON.stringify(objects)).not.toContain("coordination.k8s.io");
  });

  test("a rollout starts the new pod before it ends the old one", async () => {
    const { spec } = await deployment();
    expect(spec!.replicas).toBe(2);
    expect(spec!.strategy).toEqual({ type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } });
  });

  test.each([
    [{}, `fssync:${appVersion()}`],
    [{ repository: "images.example.com/fssync", tag: "1.2.3" }, "images.example.com/fssync:1.2.3"],
    [{ tag: "1.2.3", digest: `sha256:${"a".repeat(64)}` }, `fssync@sha256:${"a".repeat(64)}`],
  ])("image %j is %s", async (image, expected) => {
    expect(podOf(await deployment({ image })).containers[0]!.image).toBe(expected);
  });

  test("spreads over nodes; a constraint keeps the selector that it was given", async () => {
    const { spec } = await deployment();
    expect(spec!.template.spec!.topologySpreadConstraints).toEqual([
      {
        maxSkew: 1,
        topologyKey: "kubernetes.io/hostname",
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: spec!.selector,
      },
    ]);
    const everything = find<V1Deployment>(await render({ ciFile: "everything-values.yaml" }), "Deployment");
    expect(podOf(everything).topologySpreadConstraints!.map(({ labelSelector }) => labelSelector)).toEqual([
      everything.spec!.selector,
      { matchLabels: { team: "ops" } },
    ]);
  });

  test("takes everything that values say about it", async () => {
    const values = parse(readFileSync(join(CHART, "ci/everything-values.yaml"), "utf8")) as Record<string, unknown>;
    const { spec } = find<V1Deployment>(await render({ ciFile: "everything-values.yaml" }), "Deployment");
    const pod = spec!.template.spec!;
    for (const key of ["imagePullSecrets", "affinity", "nodeSelector", "tolerations", "priorityClassName"] as const)
      expect(pod[key], key).toEqual(values[key]);
    expect(pod.containers[0]!.resources).toEqual(values["resources"]);
    expect(pod.containers[0]!.args).toEqual(expect.arrayContaining(values["extraArgs"] as string[]));
    expect(pod.containers[0]!.env).toEqual(expect.arrayContaining(values["extraEnv"] as object[]));
    expect(pod.containers[0]!.volumeMounts).toEqual(expect.arrayContaining(values["extraVolumeMounts"] as object[]));
    expect(pod.volumes).toEqual(expect.arrayContaining(values["extraVolumes"] as object[]));
    expect(pod.serviceAccountName).toBe("keeper");
    expect(spec!.template.metadata!.labels).toMatchObject(values["podLabels"] as object);
    expect(spec!.template.metadata!.annotations).toMatchObject(values["podAnnotations"] as object);
  });

  test("a token is mounted where it is needed and nowhere else", async () => {
    const objects = await render();
    expect(find(objects, "ServiceAccount")).toMatchObject({ automountServiceAccountToken: false });
    expect(podOf(find(objects, "Deployment")).automountServiceAccountToken).toBe(true);
  });

  test("a ServiceAccount of somebody else's is used by its name", async () => {
    const objects = await render({ values: { serviceAccount: { create: false, name: "theirs" } } });
    expect(all(objects, "ServiceAccount")).toEqual([]);
    expect(podOf(find(objects, "Deployment")).serviceAccountName).toBe("theirs");
    expect(find(objects, "RoleBinding", "fssync")).toMatchObject({
      subjects: [{ kind: "ServiceAccount", name: "theirs", namespace: "ops" }],
    });
  });
});

describe("budget", () => {
  test("one pod may be away; a single replica has none, since it would block every drain", async () => {
    expect(find(await render(), "PodDisruptionBudget")).toMatchObject({ spec: { maxUnavailable: 1 } });
    expect(all(await render({ values: { replicas: 1 } }), "PodDisruptionBudget")).toEqual([]);
    const off = { podDisruptionBudget: { enabled: false } };
    expect(all(await render({ values: off }), "PodDisruptionBudget")).toEqual([]);
  });

  test.each([
    ["1.20.0", "policy/v1beta1"],
    ["1.21.0", "policy/v1"],
    ["1.34.0-gke.100", "policy/v1"],
  ])("on Kubernetes %s it is of %s", async (version, expected) => {
    const objects = await render({ args: ["--kube-version", version] });
    expect(find(objects, "PodDisruptionBudget").apiVersion).toBe(expected);
  });
});

describe("the API", () => {
  const flags = (pod: V1PodSpec) => pod.containers[0]!.args!.filter((flag) => !flag.startsWith("--log-level"));
  const ports = (pod: V1PodSpec) => pod.containers[0]!.ports!.map(({ name, containerPort }) => [name, containerPort]);

  test("tells the other pods where this one is", async () => {
    expect(podOf(await deployment()).containers[0]!.env).toContainEqual({
      name: "POD_IP",
      valueFrom: { fieldRef: { fieldPath: "status.podIP" } },
    });
  });

  test("takes the tokens of a Secret, which is mounted as a folder so that its changes come through", async () => {
    const pod = podOf(await deployment({ api: { kubernetesAuth: false, tokensSecret: "callers" } }));
    expect(flags(pod)).toEqual([
      "run",
      "--listen=:8080",
      "--secrets-dir=/etc/fssync/secrets",
      "--tokens-secret=callers",
    ]);
    expect(pod.containers[0]!.volumeMounts).toContainEqual({
      name: "api-tokens",
      mountPath: "/etc/fssync/secrets/callers",
      readOnly: true,
    });
    expect(pod.volumes).toContainEqual({
      name: "api-tokens",
      secret: { secretName: "callers", defaultMode: 0o440 },
    });
  });

  test("serves TLS with a Secret's certificate, and is probed and scraped so", async () => {
    const values = { api: { tls: { secretName: "cert" } }, serviceMonitor: { enabled: true } };
    const objects = await render({ values });
    const pod = podOf(find(objects, "Deployment"));
    expect(flags(pod)).toContain("--tls-cert=/etc/fssync/tls/tls.crt");
    expect(flags(pod)).toContain("--tls-key=/etc/fssync/tls/tls.key");
    expect(pod.volumes).toContainEqual({ name: "api-tls", secret: { secretName: "cert", defaultMode: 0o440 } });
    expect(pod.containers[0]!.readinessProbe!.httpGet).toEqual({ path: "/readyz", port: "http", scheme: "HTTPS" });
    expect(find(objects, "ServiceMonitor")).toMatchObject({
      spec: { endpoints: [{ port: "http", scheme: "https", tlsConfig: { insecureSkipVerify: true } }] },
    });
    const checked = { ...values, serviceMonitor: { enabled: true, tlsConfig: { serverName: "fssync.ops.svc" } } };
    expect(find(await render({ values: checked }), "ServiceMonitor")).toMatchObject({
      spec: { endpoints: [{ tlsConfig: { serverName: "fssync.ops.svc" } }] },
    });
  });

  test("leaves metrics and probes to a port of their own, which is never TLS", async () => {
    const values = { api: { tls: { secretName: "c" } }, metrics: { port: 9090 }, serviceMonitor: { enabled: true } };
    const objects = await render({ values });
    const pod = podOf(find(objects, "Deployment"));
    expect(flags(pod)).toContain("--metrics-listen=:9090");
    expect(ports(pod)).toEqual([
      ["http", 8080],
      ["metrics", 9090],
    ]);
    for (const probe of ["startupProbe", "livenessProbe"] as const)
      expect(pod.containers[0]![probe]!.httpGet).toEqual({ path: "/healthz", port: "metrics" });
    expect(find<V1Service>(objects, "Service").spec!.ports).toEqual([
      { name: "http", protocol: "TCP", port: 8080, targetPort: "http" },
      { name: "metrics", protocol: "TCP", port: 9090, targetPort: "metrics" },
    ]);
    const [endpoint] = (find(objects, "ServiceMonitor") as unknown as { spec: { endpoints: object[] } }).spec.endpoints;
    expect(endpoint).toEqual({ port: "metrics", path: "/metrics", interval: "30s" });
  });

  test("is for the pod itself where callers cannot say who they are", async () => {
    const objects = await render({ values: { api: { kubernetesAuth: false }, metrics: { port: 9090 } } });
    expect(flags(podOf(find(objects, "Deployment")))).toEqual([
      "run",
      "--listen=127.0.0.1:8080",
      "--metrics-listen=:9090",
    ]);
    expect(find<V1Service>(objects, "Service").spec!.ports!.map(({ name }) => name)).toEqual(["metrics"]);
  });

  test("serves the predecessor's endpoints where that is asked for", async () => {
    expect(flags(podOf(await deployment({ api: { compat: { enabled: true } } })))).toContain("--compat");
    const anonymous = flags(podOf(await deployment({ api: { compat: { enabled: true, anonymous: true } } })));
    expect(anonymous).toEqual(expect.arrayContaining(["--compat", "--compat-anonymous"]));
  });
});

describe("network policy", () => {
  test("none by default", async () => {
    expect(all(await render(), "NetworkPolicy")).toEqual([]);
  });

  test("the defaults let through what the controller needs and nothing else", async () => {
    const policy = find<V1NetworkPolicy>(
      await render({ values: { networkPolicy: { enabled: true } } }),
      "NetworkPolicy",
    );
    const ports = (...numbers: number[]) => ({ ports: numbers.map((port) => ({ protocol: "TCP", port })) });
    expect(policy.spec).toMatchObject({ policyTypes: ["Ingress", "Egress"] });
    expect(policy.spec!.ingress).toEqual([ports(8080)]);
    expect(policy.spec!.egress).toEqual([
      { ports: [{ protocol: "UDP", port: 53 }, ...ports(53).ports] },
      { ...ports(8080), to: [PODS] },
      ports(443, 6443),
      ports(22),
      ports(443, 80),
    ]);
  });

  test("peers and ports of the values", async () => {
    const { spec } = find<V1NetworkPolicy>(await render({ ciFile: "everything-values.yaml" }), "NetworkPolicy");
    const ingress = { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "ingress" } } };
    expect(spec!.ingress).toEqual([
      { ports: [{ protocol: "TCP", port: 8080 }], from: [ingress, PODS] },
      { ports: [{ protocol: "TCP", port: 9090 }], from: [expect.objectContaining({ podSelector: expect.anything() })] },
    ]);
    expect(spec!.egress![3]).toEqual({
      ports: [
        { protocol: "TCP", port: 22 },
        { protocol: "TCP", port: 2222 },
      ],
      to: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["10.9.0.0/16"] } }],
    });
    expect(spec!.egress!.at(-1)).toEqual({
      ports: [{ protocol: "TCP", port: 3128 }],
      to: [{ ipBlock: { cidr: "192.0.2.7/32" } }],
    });
  });
});

describe("CRDs", () => {
  test("are those of files/crds with labels, and outlive the release", async () => {
    const rendered = all(await render(), "CustomResourceDefinition");
    const expected = readdirSync(CRDS).map((name) => parse(readFileSync(join(CRDS, name), "utf8")) as KubernetesObject);
    expect(rendered).toHaveLength(3);
    for (const crd of expected) {
      const { metadata, ...rest } = find(rendered, "CustomResourceDefinition", crd.metadata!.name);
      const { metadata: _, ...expectedRest } = crd;
      expect(rest).toEqual(expectedRest);
      expect(metadata!.annotations).toEqual({ "helm.sh/resource-policy": "keep" });
    }
  });

  test("crds.keep: false lets them go with the release; crds.install: false leaves them out", async () => {
    const going = all(await render({ values: { crds: { keep: false } } }), "CustomResourceDefinition");
    expect(going).toHaveLength(3);
    expect(JSON.stringify(going)).not.toContain("helm.sh/resource-policy");
    expect(all(await render({ values: { crds: { install: false } } }), "CustomResourceDefinition")).toEqual([]);
  });
});

describe("extraRepos", () => {
  const repo = { git: { url: "https://git.example.com/a.git" }, inventory: { static: [] } };

  test("belong to the release where the CRDs are known", async () => {
    const objects = await render({ values: { extraRepos: { a: repo } }, args: ["--api-versions", OURS] });
    const found = find(objects, "ConfigRepo");
    expect(found).toMatchObject({
      apiVersion: "fssync.dev/v1alpha1",
      metadata: { name: "a", namespace: "ops" },
      spec: repo,
    });
    expect(found.metadata!.annotations).toEqual({ "helm.sh/resource-policy": "keep" });
    expect(all(objects, "Job")).toEqual([]);
  });

  test("come after the CRDs that they are installed with, once the API server knows these", async () => {
    const objects = await render({ values: { extraRepos: { a: repo } } });
    expect(find(objects, "ConfigRepo").metadata!.annotations).toEqual({
      "helm.sh/hook": "post-install,post-upgrade",
      "helm.sh/resource-policy": "keep",
      "meta.helm.sh/release-name": "fssync",
      "meta.helm.sh/release-namespace": "ops",
    });
    expect(find(objects, "Job").metadata!.annotations).toMatchObject({
      "helm.sh/hook": "post-install,post-upgrade",
      "helm.sh/hook-weight": "-1",
    });
  });

  test("are plain objects where the CRDs are somebody else's", async () => {
    const objects = await render({ values: { extraRepos: { a: repo }, crds: { install: false } } });
    expect(find(objects, "ConfigRepo").metadata!.annotations).toEqual({ "helm.sh/resource-policy": "keep" });
    expect(all(objects, "Job")).toEqual([]);
  });

  test("are in the namespace that is followed", async () => {
    const objects = await render({ values: { extraRepos: { a: repo }, watchNamespace: "configs" } });
    expect(find(objects, "ConfigRepo").metadata!.namespace).toBe("configs");
  });
});

describe("monitoring", () => {
  const on = { prometheusRule: { enabled: true, labels: { release: "p" } }, grafanaDashboard: { enabled: true } };

  test("nothing by default", async () => {
    const kinds = (await render()).map(({ kind }) => kind);
    expect(kinds).not.toContain("ServiceMonitor");
    expect(kinds).not.toContain("PrometheusRule");
    expect(kinds).not.toContain("ConfigMap");
  });

  test("the ServiceMonitor selects the Service and its port", async () => {
    const objects = await render({ values: { serviceMonitor: { enabled: true, labels: { release: "p" } } } });
    const { metadata, spec } = find<V1Service>(objects, "Service");
    const monitor = find<Monitor>(objects, "ServiceMonitor");
    expect(metadata!.labels).toMatchObject(monitor.spec.selector.matchLabels);
    expect(monitor).toMatchObject({
      metadata: { labels: { release: "p" } },
      spec: { endpoints: [{ port: spec!.ports![0]!.name, path: "/metrics", interval: "30s" }] },
    });
  });

  test("rules and dashboards are the files of the chart, to the letter", async () => {
    const top = await mkdtemp(join(tmpdir(), "chart-"));
    try {
      const chart = join(top, "fssync");
      await cp(CHART, chart, { recursive: true });
      const rule = { alert: "A", expr: "up == 0", annotations: { summary: "{{ $labels.repo }} is down" } };
      const groups = [{ name: "one", rules: [rule] }];
      await mkdir(join(chart, "files/alerts"), { recursive: true });
      await mkdir(join(chart, "files/dashboards"), { recursive: true });
      await writeFile(join(chart, "files/alerts/zz-test.yaml"), JSON.stringify({ groups }));
      const dashboard = `{"title": "{{ not a template }}",\n  "refresh": "30s"}\n`;
      await writeFile(join(chart, "files/dashboards/zz-test.json"), dashboard);

      const objects = await render({ chart, values: on });
      expect(find(objects, "PrometheusRule")).toMatchObject({
        apiVersion: "monitoring.coreos.com/v1",
        metadata: { labels: { release: "p" } },
        spec: { groups: expect.arrayContaining(groups) },
      });
      const config = find<V1ConfigMap>(objects, "ConfigMap");
      expect(config.metadata!.labels).toMatchObject({ grafana_dashboard: "1" });
      expect(config.data!["zz-test.json"]).toBe(dashboard);
    } finally {
      await rm(top, { recursive: true, force: true });
    }
  });
});

function appVersion(): string {
  return (parse(readFileSync(join(CHART, "Chart.yaml"), "utf8")) as { appVersion: string }).appVersion;
}

/** The program's flags that are given as environment variables. */
function settings(container: V1Container | undefined): Record<string, string | undefined> {
  const ours = container!.env!.filter(({ name }) => name.startsWith("FSSYNC_"));
  return Object.fromEntries(ours.map(({ name, value }) => [name, value]));
}
