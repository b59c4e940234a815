import type { KubernetesObject, V1ClusterRole, V1PolicyRule, V1Role } from "@kubernetes/client-node";
import { describe, expect, test } from "vitest";
import { all, find, render, renderText } from "../../support/chart.ts";

/** Everything that the controller may do, and no more. */
const RULES: readonly V1PolicyRule[] = [
  { apiGroups: ["fssync.dev"], resources: ["configrepos"], verbs: ["get", "list", "watch", "patch"] },
  { apiGroups: ["fssync.dev"], resources: ["configrepos/status"], verbs: ["patch"] },
  {
    apiGroups: ["fssync.dev"],
    resources: ["configapps", "confighosts"],
    verbs: ["get", "list", "watch", "create", "patch", "delete", "deletecollection"],
  },
  { apiGroups: ["fssync.dev"], resources: ["configapps/status", "confighosts/status"], verbs: ["patch"] },
  { apiGroups: [""], resources: ["secrets"], verbs: ["get", "list", "watch"] },
  { apiGroups: [""], resources: ["events"], verbs: ["create", "patch"] },
];
const LEASE_RULES: readonly V1PolicyRule[] = [
  {
    apiGroups: ["coordination.k8s.io"],
    resources: ["leases"],
    resourceNames: ["fssync-controller"],
    verbs: ["get", "list", "watch", "update"],
  },
  { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["create"] },
];

describe("rbac.scope: namespace", () => {
  test("Roles with exactly these rules, in the namespace that is followed", async () => {
    const objects = await render({ values: { watchNamespace: "configs" } });
    expect(all(objects, "ClusterRole")).toEqual([]);
    expect(all(objects, "ClusterRoleBinding").map(nameOf)).toEqual(["ops-fssync-auth-delegator"]);
    const role = find<V1Role>(objects, "Role", "fssync");
    expect(role.rules).toEqual(RULES);
    expect(role.metadata!.namespace).toBe("configs");
    const leases = find<V1Role>(objects, "Role", "fssync-leader-election");
    expect(leases.rules).toEqual(LEASE_RULES);
    expect(leases.metadata!.namespace).toBe("configs");
    for (const name of ["fssync", "fssync-leader-election"]) {
      expect(find(objects, "RoleBinding", name)).toMatchObject({
        metadata: { namespace: "configs" },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name },
        subjects: [{ kind: "ServiceAccount", name: "fssync", namespace: "ops" }],
      });
    }
  });
});

describe("rbac.scope: cluster", () => {
  test("a ClusterRole with these rules; the Lease stays in the namespace of the release", async () => {
    const objects = await render({ values: { rbac: { scope: "cluster" } } });
    expect(find<V1ClusterRole>(objects, "ClusterRole").rules).toEqual(RULES);
    expect(find(objects, "ClusterRoleBinding", "ops-fssync")).toMatchObject({
      roleRef: { kind: "ClusterRole", name: "ops-fssync" },
      subjects: [{ kind: "ServiceAccount", name: "fssync", namespace: "ops" }],
    });
    expect(all(objects, "Role").map(nameOf)).toEqual(["fssync-leader-election"]);
    expect(find<V1Role>(objects, "Role").metadata!.namespace).toBe("ops");
  });
});

describe("who callers of the API are, and what they may", () => {
  test("is asked in the whole cluster, by the role that is there for that", async () => {
    expect(find(await render(), "ClusterRoleBinding")).toMatchObject({
      metadata: { name: "ops-fssync-auth-delegator" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "system:auth-delegator" },
      subjects: [{ kind: "ServiceAccount", name: "fssync", namespace: "ops" }],
    });
  });

  test.each<[string, object]>([
    ["callers show no tokens of Kubernetes", { api: { kubernetesAuth: false, tokensSecret: "api" } }],
    ["somebody else binds it", { api: { rbac: { create: false } } }],
  ])("is not asked for where %s", async (_, values) => {
    expect(all(await render({ values }), "ClusterRoleBinding")).toEqual([]);
  });
});

test("secretNames restrict which Secrets may be read", async () => {
  const { rules } = find<V1Role>(await render({ values: { rbac: { secretNames: ["git", "ssh"] } } }), "Role", "fssync");
  expect(rules!.find(({ resources }) => resources?.includes("secrets"))).toEqual({
    apiGroups: [""],
    resources: ["secrets"],
    resourceNames: ["git", "ssh"],
    verbs: ["get", "list", "watch"],
  });
});

test("rbac.create: false makes no role and no binding", async () => {
  const objects = await render({ values: { rbac: { create: false } } });
  expect(objects.filter(({ kind }) => /Role/.test(kind!))).toEqual([]);
});

test("every rule has a comment that justifies it", async () => {
  const text = await renderText({ args: ["--show-only", "templates/rbac.yaml"] });
  const lines = text.split("\n");
  const rules = lines.flatMap((line, at) => (line.startsWith("  - apiGroups:") ? [at] : []));
  expect(rules).toHaveLength(RULES.length + LEASE_RULES.length);
  for (const at of rules) expect(lines[at - 1], lines.slice(at, at + 3).join("\n")).toMatch(/^ {2}# \S/);
});

function nameOf({ metadata }: KubernetesObject): string | undefined {
  return metadata?.name;
}
