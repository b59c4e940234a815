import type { V1ResourceRule } from "@kubernetes/client-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CHART } from "../../support/chart.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";

const EVERY_NAMESPACE = [
  "deletecollection|fssync.dev|configapps",
  "deletecollection|fssync.dev|confighosts",
  ...["create", "delete", "get", "list", "patch", "watch"].flatMap((verb) => [
    `${verb}|fssync.dev|configapps`,
    `${verb}|fssync.dev|confighosts`,
  ]),
  ...["get", "list", "watch"].flatMap((verb) => [`${verb}|fssync.dev|configrepos`, `${verb}||secrets`]),
  "patch|fssync.dev|configrepos",
  "patch|fssync.dev|configrepos/status",
  "patch|fssync.dev|configapps/status",
  "patch|fssync.dev|confighosts/status",
  "create||events",
  "patch||events",
];
/** By system:auth-delegator, for the API: who callers are, and what they may. */
const REVIEWS = ["create|authentication.k8s.io|tokenreviews", "create|authorization.k8s.io|subjectaccessreviews"];
const LEASES = [
  "create|coordination.k8s.io|leases",
  ...["get", "list", "update", "watch"].map((verb) => `${verb}|coordination.k8s.io|leases|fssync-controller`),
];

/** Asks as the ServiceAccount of the release, with its token, what the API server lets it do. */
describeKube("the ServiceAccount of the chart", () => {
  let kube: Kube;
  const roleless: string[] = [];

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
    await kube.createNamespace("elsewhere");
    roleless.push(...(await allowed(await kube.token("nobody", "default"), "default")));
  });

  afterAll(async () => {
    await kube?.[Symbol.asyncDispose]();
  });

  async function install(namespace: string, values: object): Promise<string> {
    const options = ["--namespace", namespace, "-f", "-"];
    const input = JSON.stringify({ crds: { install: false }, ...values });
    await kube.helm(["install", "fssync", CHART, ...options], { input });
    return await kube.token("fssync", namespace);
  }

  /** `verb|group|resource[|name]`, each once. */
  async function allowed(kubeconfig: string, namespace: string): Promise<string[]> {
    const review = await kube.client(kubeconfig).json("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {
      method: "POST",
      body: { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectRulesReview", spec: { namespace } },
    });
    const { resourceRules } = (review as { status: { resourceRules: V1ResourceRule[] } }).status;
    return resourceRules
      .flatMap(({ verbs, apiGroups, resources, resourceNames }) =>
        verbs.flatMap((verb) =>
          (apiGroups ?? []).flatMap((group) =>
            (resources ?? []).flatMap((resource) =>
              (resourceNames ?? [""]).map((name) => [verb, group, resource, ...(name ? [name] : [])].join("|")),
            ),
          ),
        ),
      )
      .filter((rule) => !roleless.includes(rule))
      .toSorted();
  }

  test("may do in its namespace exactly what the controller does, and nothing in another", async () => {
    const namespace = await kube.createNamespace();
    const kubeconfig = await install(namespace, {});
    await expect(allowed(kubeconfig, namespace)).resolves.toEqual(
      [...EVERY_NAMESPACE, ...LEASES, ...REVIEWS].toSorted(),
    );
    await expect(allowed(kubeconfig, "elsewhere")).resolves.toEqual(REVIEWS);
    await expect(allowed(kubeconfig, "kube-system")).resolves.toEqual(REVIEWS);
  });

  test("follows another namespace: it may do everything there, its Lease included, and nothing at home", async () => {
    const [namespace, configs] = [await kube.createNamespace(), await kube.createNamespace()];
    const kubeconfig = await install(namespace, { watchNamespace: configs });
    await expect(allowed(kubeconfig, configs)).resolves.toEqual([...EVERY_NAMESPACE, ...LEASES, ...REVIEWS].toSorted());
    await expect(allowed(kubeconfig, namespace)).resolves.toEqual(REVIEWS);
  });

  test("asks the API server about callers only where the API takes their tokens", async () => {
    const namespace = await kube.createNamespace();
    const kubeconfig = await install(namespace, { api: { kubernetesAuth: false, tokensSecret: "api" } });
    await expect(allowed(kubeconfig, "elsewhere")).resolves.toEqual([]);
  });

  test("with rbac.scope: cluster it may do the same in every namespace, the Lease excepted", async () => {
    const namespace = await kube.createNamespace();
    const kubeconfig = await install(namespace, { rbac: { scope: "cluster" } });
    await expect(allowed(kubeconfig, namespace)).resolves.toEqual(
      [...EVERY_NAMESPACE, ...LEASES, ...REVIEWS].toSorted(),
    );
    await expect(allowed(kubeconfig, "kube-system")).resolves.toEqual([...EVERY_NAMESPACE, ...REVIEWS].toSorted());
    await kube.helm(["uninstall", "fssync", "--namespace", namespace]);
  });

  describe("restricted to the Secrets git and ssh", () => {
    let namespace: string;
    let kubeconfig: string;
    const kubectl = (...args: string[]) => kube.kubectl([...args, "-n", namespace], { kubeconfig });

    beforeAll(async () => {
      namespace = await kube.createNamespace();
      kubeconfig = await install(namespace, { rbac: { secretNames: ["git", "ssh"] } });
      for (const name of ["git", "other"])
        await kube.kubectl(["create", "secret", "generic", name, "--from-literal=password=x", "-n", namespace]);
    });

    test("reads these, one by one and by a watch of one name", async () => {
      await expect(kubectl("get", "secret", "git", "-o", "name")).resolves.toBe("secret/git\n");
      const one = ["get", "secrets", "--field-selector=metadata.name=git", "-o", "name"];
      await expect(kubectl(...one)).resolves.toBe("secret/git\n");
      await expect(kubectl("auth", "can-i", "watch", "secrets/ssh")).resolves.toBe("yes\n");
    });

    test("reads no other and lists none", async () => {
      await expect(kubectl("get", "secret", "other")).rejects.toThrow("Forbidden");
      await expect(kubectl("get", "secrets")).rejects.toThrow("Forbidden");
    });
  });

  test("holds the Lease fssync-controller and no other", async () => {
    const namespace = await kube.createNamespace();
    const kubeconfig = await install(namespace, {});
    const lease = (name: string) => `apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: ${name}}\n`;
    const create = (name: string) =>
      kube.kubectl(["create", "-n", namespace, "-f", "-"], { kubeconfig, input: lease(name) });
    await create("fssync-controller");
    const get = ["get", "lease", "fssync-controller", "-n", namespace, "-o", "json"];
    const held = JSON.parse(await kube.kubectl(get, { kubeconfig })) as { spec?: object };
    held.spec = { holderIdentity: "me", leaseDurationSeconds: 15 };
    const replace = ["replace", "-n", namespace, "-f", "-"];
    await kube.kubectl(replace, { kubeconfig, input: JSON.stringify(held) });
    const named = ["get", "leases", "-n", namespace, "--field-selector=metadata.name=fssync-controller", "-o", "name"];
    await expect(kube.kubectl(named, { kubeconfig })).resolves.toContain("fssync-controller");
    await expect(kube.kubectl(["get", "leases", "-n", namespace], { kubeconfig })).rejects.toThrow("Forbidden");
    await create("other");
    await expect(kube.kubectl(["get", "lease", "other", "-n", namespace], { kubeconfig })).rejects.toThrow("Forbidden");
  });
});
