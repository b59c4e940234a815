import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { customResourceDefinitions } from "../../../src/config/crd.ts";
import { RESOURCES, type ResourceKind } from "../../../src/config/resources.ts";
import { type StructuralSchema, structuralSchema } from "../../../src/config/structural-schema.ts";
import { GROUP, VERSION } from "../../../src/kubernetes/objects.ts";

const KINDS = Object.keys(RESOURCES) as ResourceKind[];

function definitionOf(kind: ResourceKind) {
  return customResourceDefinitions().get(RESOURCES[kind].plural)!;
}

function schemaOf(kind: ResourceKind): StructuralSchema {
  return definitionOf(kind).spec.versions[0]!.schema.openAPIV3Schema;
}

describe.each(KINDS)("the CRD of %s", (kind) => {
  const nodes = [...walk(schemaOf(kind), kind)];

  it("is what the chart holds, below a line that says where it comes from", () => {
    const file = new URL(`../../../charts/fssync/files/crds/${RESOURCES[kind].plural}.yaml`, import.meta.url);
    const text = readFileSync(file, "utf8");
    expect(text).toMatch(/^# Made by `npm run generate`/);
    // Kubernetes and Helm read YAML 1.1, we read 1.2: both must read the same.
    expect(parse(text, { version: "1.1" })).toEqual(definitionOf(kind));
    expect(parse(text)).toEqual(definitionOf(kind));
  });

  it("has the names of the design", () => {
    const { plural, shortName } = RESOURCES[kind];
    const { metadata, spec } = definitionOf(kind);
    expect(metadata.name).toBe(`${plural}.${GROUP}`);
    expect(spec).toMatchObject({
      group: GROUP,
      scope: "Namespaced",
      names: { kind, plural, shortNames: [shortName], categories: ["fssync"] },
    });
    expect(spec.versions).toEqual([
      expect.objectContaining({ name: VERSION, served: true, storage: true, subresources: { status: {} } }),
    ]);
  });

  it("gives every node a type, or says why it has none", () => {
    const untyped = nodes.filter(
      ({ node }) =>
        [node.type, node["x-kubernetes-int-or-string"], node["x-kubernetes-preserve-unknown-fields"]].filter(
          (each) => each !== undefined,
        ).length !== 1,
    );
    expect(untyped.map(({ path }) => path)).toEqual([]);
  });

  it("describes every property", () => {
    expect(nodes.filter(({ node, named }) => named && !node.description).map(({ path }) => path)).toEqual([]);
  });

  it("has none of the keywords that structural schemas forbid", () => {
    const keys = new Set(nodes.flatMap(({ node }) => Object.keys(node)));
    const forbidden = ["$ref", "$schema", "anyOf", "allOf", "not", "const", "propertyNames", "definitions", "nullable"];
    expect(forbidden.filter((key) => keys.has(key))).toEqual([]);
    expect(nodes.filter(({ node }) => node.properties && node.additionalProperties)).toEqual([]);
  });

  it("has items in each list, and says how lists are merged", () => {
    for (const { node, path } of nodes.filter((each) => each.node.type === "array")) {
      expect([path, node.items]).toEqual([path, expect.anything()]);
      expect([path, node["x-kubernetes-list-type"]]).toEqual([path, path.endsWith(".conditions") ? "map" : "atomic"]);
    }
  });

  it("requires only properties that there are", () => {
    for (const { node, path } of nodes) {
      const required = [...(node.required ?? []), ...(node.oneOf ?? []).flatMap((branch) => branch.required)];
      expect([path, required.filter((key) => !Object.hasOwn(node.properties ?? {}, key))]).toEqual([path, []]);
    }
  });

  it("writes patterns without what Go's regular expressions lack", () => {
    const patterns = nodes.map(({ node }) => node.pattern ?? "");
    expect(patterns.filter((pattern) => /\(\?|\\[1-9ukpc]/.test(pattern))).toEqual([]);
  });

  it("reads columns from fields that there are", () => {
    for (const { name, jsonPath } of definitionOf(kind).spec.versions[0]!.additionalPrinterColumns) {
      if (jsonPath.startsWith(".metadata.") || jsonPath.startsWith(".status.conditions[?(@.type")) continue;
      const steps = jsonPath.split(".").slice(1);
      const found = steps.reduce<StructuralSchema | undefined>((node, key) => node?.properties?.[key], schemaOf(kind));
      expect([name, found?.type]).toEqual([name, expect.stringMatching(/^(string|integer)$/)]);
    }
  });
});

describe("printer columns", () => {
  it.each([
    ["ConfigRepo", "Revision Apps Hosts Synced Ready Status Age"],
    ["ConfigApp", "Mod Env App Revision Hosts Synced Failed Ready Status Age"],
    ["ConfigHost", "Address Apps Synced State LastSync Age"],
  ] as const)("of %s are those of the design", (kind, names) => {
    const columns = definitionOf(kind).spec.versions[0]!.additionalPrinterColumns;
    expect(columns.map(({ name }) => name).join(" ")).toBe(names);
    const dates = columns.filter(({ type }) => type === "date").map(({ name }) => name);
    expect(dates).toEqual(kind === "ConfigHost" ? ["LastSync", "Age"] : ["Age"]);
    expect(columns.filter((column) => "priority" in column)).toEqual([]);
  });
});

describe("a structural schema", () => {
  const spec = schemaOf("ConfigRepo").properties!["spec"]!.properties!;

  it("keeps durations as text with the default as people write it", () => {
    const interval = spec["git"]!.properties!["interval"]!;
    expect(interval).toMatchObject({ type: "string", default: "10s" });
    expect(interval.description).toContain("A duration such as 10s, 5m or 1h30m.");
    expect("1h30m").toMatch(new RegExp(interval.pattern!));
    expect("5 minutes").not.toMatch(new RegExp(interval.pattern!));
  });

  it("writes a name or a number as IntOrString", () => {
    expect(spec["sync"]!.properties!["owner"]).toMatchObject({ "x-kubernetes-int-or-string": true, default: "root" });
  });

  it("leaves text or an object to parseConfigRepo", () => {
    const hosts = spec["inventory"]!.properties!["static"]!.items!.properties!["hosts"]!;
    expect(hosts.items).toEqual({
      description: expect.any(String),
      "x-kubernetes-preserve-unknown-fields": true,
    });
  });

  it("keeps the one inventory that must be there", () => {
    const kinds = ["http", "httpSD", "file", "static"];
    expect(spec["inventory"]!.oneOf).toEqual(kinds.map((kind) => ({ required: [kind] })));
  });

  it("does not show JavaScript's bounds of integers", () => {
    expect(structuralSchema(z.int())).toEqual({ type: "integer", format: "int64" });
    expect(structuralSchema(z.int().min(0))).toEqual({ type: "integer", format: "int64", minimum: 0 });
  });

  it.each([
    ["a tuple", z.tuple([z.string()])],
    ["a number that is no integer", z.number()],
    ["a union of maps", z.union([z.strictObject({ a: z.string() }), z.strictObject({ b: z.string() })])],
    ["a format that it does not know", z.email()],
    ["a lookahead", z.strictObject({ a: z.string().regex(/^(?!a)/) })],
    ["a code point in JavaScript's way", z.string().regex(/\u00e9a/)],
    ["a literal", z.literal("a")],
  ])("is not made of %s: the generation fails", (_what, schema) => {
    expect(() => structuralSchema(schema)).toThrow();
  });
});

describe("names of folders", () => {
  const pattern = new RegExp(
    schemaOf("ConfigRepo").properties!["spec"]!.properties!["layout"]!.properties!["common"]!.pattern!,
  );

  it.each(["a", ".a", "..a", "...", "a-", "a b", "é", "日本", "a.b"])("may be %j", (name) => {
    expect(name).toMatch(pattern);
  });

  it.each(["", ".", "..", "-", "-a", "/", "a/b", "a\u0000", "\u007fa", "..\n"])("may not be %j", (name) => {
    expect(name).not.toMatch(pattern);
  });
});

function* walk(
  node: StructuralSchema,
  path: string,
  named = true,
): Generator<{ node: StructuralSchema; path: string; named: boolean }> {
  yield { node, path, named };
  for (const [key, child] of Object.entries(node.properties ?? {})) yield* walk(child, `${path}.${key}`);
  if (node.items) yield* walk(node.items, `${path}[]`, false);
  if (node.additionalProperties) yield* walk(node.additionalProperties, `${path}.*`, false);
}
