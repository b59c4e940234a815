import type { KubernetesObject } from "@kubernetes/client-node";
import { stringify } from "yaml";
import { find, render } from "../../test/support/chart.ts";

export interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Rules {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}

/** What the chart's PrometheusRule holds, with these values of `prometheusRule`: a rules file of Prometheus. */
export async function renderRules(values: object = {}): Promise<Rules> {
  const objects = await render({ values: { prometheusRule: { ...values, enabled: true } } });
  return find<KubernetesObject & { readonly spec: Rules }>(objects, "PrometheusRule").spec;
}

/** The keys of a rule in the order in which people read them. */
export async function rulesText(values?: object): Promise<string> {
  const { groups } = await renderRules(values);
  const ordered = groups.map(({ name, rules }) => ({ name, rules: rules.map(inOrder) }));
  return stringify({ groups: ordered }, { lineWidth: 0 });
}

function inOrder({ alert, record, expr, for: duration, labels, annotations }: Rule): object {
  const all = { alert, record, expr, for: duration, labels, annotations };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}
