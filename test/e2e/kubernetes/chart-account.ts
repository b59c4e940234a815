import type { KubernetesObject } from "@kubernetes/client-node";
import { render } from "../../support/chart.ts";
import type { KubeWorld } from "../../support/kube-world.ts";

const KINDS = new Set(["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]);

export interface Chart {
  readonly values?: unknown;
  /** `resource` or `resource/status` whose rule is left out. */
  readonly without?: string;
}

/** Gives the world's namespace the rights that the chart installs, and nothing else; all but one rule when asked so. */
export async function grant(world: KubeWorld, { values, without }: Chart = {}): Promise<void> {
  const objects = await render({ values: values ?? {}, args: ["--namespace", world.namespace] });
  const items = objects.filter(({ kind }) => KINDS.has(kind ?? "")).map((object) => lessen(object, without));
  await world.kubectl("apply", "-f", await world.write("rights.json", { apiVersion: "v1", kind: "List", items }));
}

/** How to start a controller that may do exactly what the chart lets it do. */
export async function asChart(world: KubeWorld, chart: Chart = {}): Promise<{ kubeconfig: string }> {
  await grant(world, chart);
  return { kubeconfig: await world.kube.token("fssync", world.namespace) };
}

function lessen(object: KubernetesObject, without: string | undefined): KubernetesObject {
  if (without === undefined || !("rules" in object)) return object;
  const rules = object.rules as { resources: string[] }[];
  const left = rules.map(({ resources, ...rule }) => ({
    ...rule,
    resources: resources.filter((one) => one !== without),
  }));
  return { ...object, rules: left.filter(({ resources }) => resources.length > 0) } as KubernetesObject;
}
