import type { KubernetesObject } from "@kubernetes/client-node";
import { render } from "../../support/chart.ts";
import type { KubeWorld } from "../../support/kube-world.ts";

const KINDS = new Set(["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]);

export interface Chart {
  readonly values?: unknown;
  /** `resource` or `resource/status` whose rule is left out. */
  readonly without?: string;
  /** A verb that is left out of all rules. */
  readonly withoutVerb?: string;
}

/** Gives the world's namespace the rights that the chart installs, and nothing else; all but one rule when asked so. */
export async function grant(world: KubeWorld, { values, ...less }: Chart = {}): Promise<void> {
  const objects = await render({ values: values ?? {}, args: ["--namespace", world.namespace] });
  const items = objects.filter(({ kind }) => KINDS.has(kind ?? "")).map((object) => lessen(object, less));
  await world.kubectl("apply", "-f", await world.write("rights.json", { apiVersion: "v1", kind: "List", items }));
}

/** How to start a controller that may do exactly what the chart lets it do. */
export async function asChart(world: KubeWorld, chart: Chart = {}): Promise<{ kubeconfig: string }> {
  await grant(world, chart);
  return { kubeconfig: await world.kube.token("fssync", world.namespace) };
}

function lessen(object: KubernetesObject, { without, withoutVerb }: Chart): KubernetesObject {
  if (!("rules" in object)) return object;
  const rules = (object.rules as { resources: string[]; verbs: string[] }[]).map((rule) => ({
    ...rule,
    resources: rule.resources.filter((one) => one !== without),
    verbs: rule.verbs.filter((one) => one !== withoutVerb),
  }));
  const left = rules.filter(({ resources, verbs }) => resources.length * verbs.length > 0);
  return { ...object, rules: left } as KubernetesObject;
}
