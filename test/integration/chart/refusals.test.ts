import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { V1Deployment } from "@kubernetes/client-node";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { CHART, find, render } from "../../support/chart.ts";

describe("values that are refused, with the path of the key", () => {
  test.each<[string, unknown, string]>([
    ["an unknown key", { replica: 2 }, "additional properties 'replica' not allowed"],
    ["an unknown key below", { rbac: { scpe: "cluster" } }, "at '/rbac': additional properties 'scpe' not allowed"],
    ["a wrong type", { replicas: "two" }, "at '/replicas': got string, want integer"],
    ["text for a switch", { crds: { install: "false" } }, "at '/crds/install': got string, want boolean"],
    ["two pods on one claim", { storage: { existingClaim: "c" } }, "at '/replicas': maximum: got 2, want 1"],
    ["two pods without a leader", { leaderElection: { enabled: false } }, "at '/replicas': maximum: got 2, want 1"],
    ["all namespaces and one", { rbac: { scope: "cluster" }, watchNamespace: "x" }, "at '/watchNamespace'"],
    ["a scope that is none", { rbac: { scope: "all" } }, "at '/rbac/scope': value must be one of"],
    ["a level that is none", { logLevel: "loud" }, "at '/logLevel': value must be one of"],
    ["a digest that is none", { image: { digest: "latest" } }, "at '/image/digest'"],
    ["a tag with a digest in it", { image: { tag: "1@sha256:0" } }, "at '/image/tag'"],
    ["a repository that is empty", { image: { repository: "" } }, "at '/image/repository'"],
    ["a repository with a tag in it", { image: { repository: "x/y:1.2" } }, "at '/image/repository'"],
    ["a repository without a registry, with a tag", { image: { repository: "y:1.2" } }, "at '/image/repository'"],
    ["a repository with a digest in it", { image: { repository: "x/y@sha256:0" } }, "at '/image/repository'"],
    ["a label of the chart's own", { podLabels: { "app.kubernetes.io/component": "x" } }, "at '/podLabels'"],
    [
      "an annotation of the chart's own",
      { podAnnotations: { "kubectl.kubernetes.io/default-container": "x" } },
      "at '/podAnnotations'",
    ],
    ["a variable of the chart's own", { extraEnv: [{ name: "HOME", value: "/" }] }, "at '/extraEnv/0/name'"],
    ["a port that is none", { service: { port: 0 } }, "at '/service/port'"],
    ["a quantity that is none", { storage: { sizeLimit: "8 GB" } }, "at '/storage/sizeLimit'"],
    ["a label that is a number", { podLabels: { a: 1 } }, "at '/podLabels/a': got number, want string"],
    ["a volume of the chart's own", { extraVolumes: [{ name: "data" }] }, "at '/extraVolumes/0/name'"],
    ["a repo without Git", { extraRepos: { a: { inventory: {} } } }, "at '/extraRepos/a': missing property 'git'"],
    [
      "a repo that is a whole document",
      { extraRepos: { a: { metadata: {}, git: {}, inventory: {} } } },
      "'/extraRepos/a'",
    ],
    ["a repo whose name is none", { extraRepos: { "A b": { git: {}, inventory: {} } } }, "invalid propertyName 'A b'"],
    ["anonymous callers of nothing", { api: { compat: { anonymous: true } } }, "at '/api/compat/enabled'"],
    ["one port for two servers", { metrics: { port: 8080 } }, "at '/metrics/port'"],
    ["a volume of the API's", { extraVolumes: [{ name: "api-tls" }] }, "at '/extraVolumes/0/name'"],
    ["a name that is none", { api: { tokensSecret: "A b" } }, "at '/api/tokensSecret'"],
    ["an interval without a unit", { serviceMonitor: { interval: "30" } }, "at '/serviceMonitor/interval'"],
    [
      "a peer that is none",
      { networkPolicy: { egress: { sshTo: [{ cidr: "10.0.0.0/8" }] } } },
      "/networkPolicy/egress/sshTo/0",
    ],
  ])("%s", async (_, values, message) => {
    await expect(render({ values })).rejects.toThrow(message);
  });
});

describe("values that contradict each other, with the cause", () => {
  const cause = "api.kubernetesAuth is off and api.tokensSecret is empty";
  const closed = { kubernetesAuth: false };
  test.each<[string, object, string]>([
    ["no port for probes where the API is on loopback", { api: closed }, `metrics.port: ${cause}`],
    [
      "the predecessor's endpoints where nobody reaches them",
      { api: { ...closed, compat: { enabled: true } }, metrics: { port: 9090 } },
      `api.compat.enabled: ${cause}`,
    ],
    [
      "the same for anonymous callers",
      { api: { ...closed, compat: { enabled: true, anonymous: true } } },
      `api.compat.enabled: ${cause}`,
    ],
  ])("%s", async (_, values, message) => {
    await expect(render({ values })).rejects.toThrow(message);
  });

  test("with tokens there is no contradiction", async () => {
    const api = { ...closed, tokensSecret: "api", compat: { enabled: true, anonymous: true } };
    await expect(render({ values: { api } })).resolves.toBeTruthy();
  });
});

test("every variable that the chart sets is refused in extraEnv", async () => {
  for (const scope of ["namespace", "cluster"]) {
    const { spec } = find<V1Deployment>(await render({ values: { rbac: { scope } } }), "Deployment");
    for (const { name } of spec!.template.spec!.containers[0]!.env!)
      await expect(render({ values: { extraEnv: [{ name, value: "x" }] } }), name).rejects.toThrow("/extraEnv/0/name");
  }
});

test.each(["x", "x/y", "localhost:5000/x", "images.example.com:5000/ops/fs_sync/x-1.y"])(
  "the repository %s is taken",
  async (repository) => {
    const { spec } = find<V1Deployment>(await render({ values: { image: { repository, tag: "1" } } }), "Deployment");
    expect(spec!.template.spec!.containers[0]!.image).toBe(`${repository}:1`);
  },
);

test("one pod may have a claim, or no leader", async () => {
  await expect(render({ values: { replicas: 1, storage: { existingClaim: "c" } } })).resolves.toBeTruthy();
  await expect(render({ values: { replicas: 1, leaderElection: { enabled: false } } })).resolves.toBeTruthy();
});

test("the schema knows every value and nothing else, and every object in it is closed", () => {
  const values = parse(readFileSync(join(CHART, "values.yaml"), "utf8")) as Tree;
  const schema = JSON.parse(readFileSync(join(CHART, "values.schema.json"), "utf8")) as Schema;
  const mistakes: string[] = [];
  compare(values, schema, "", mistakes);
  expect(mistakes).toEqual([]);
});

type Tree = { readonly [key: string]: unknown };
interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: unknown;
}

/** Values that are free maps have no properties in the schema, and end the walk. */
function compare(values: Tree, schema: Schema, at: string, mistakes: string[]): void {
  if (!schema.properties) return;
  if (schema.additionalProperties !== false) mistakes.push(`${at}: open`);
  const known = Object.keys(schema.properties).filter((key) => at !== "" || key !== "global");
  const optional = at === "/affinity" ? known : [];
  for (const key of known) if (!(key in values) && !optional.includes(key)) mistakes.push(`${at}/${key}: no value`);
  for (const [key, value] of Object.entries(values)) {
    const below = schema.properties[key];
    if (!below) mistakes.push(`${at}/${key}: not in the schema`);
    else if (typeof value === "object" && value !== null && !Array.isArray(value))
      compare(value as Tree, below, `${at}/${key}`, mistakes);
  }
}
