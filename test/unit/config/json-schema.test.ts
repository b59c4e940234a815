import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { configRepoJsonSchema } from "../../../src/config/json-schema.ts";

interface Node {
  description?: string;
  properties?: Record<string, Node>;
  items?: Node;
  anyOf?: Node[];
}

describe("the JSON Schema for editors", () => {
  it("is the one in docs", () => {
    const stored = readFileSync(new URL("../../../docs/fssync.schema.json", import.meta.url), "utf8");
    expect(JSON.parse(stored)).toEqual(configRepoJsonSchema());
  });

  it("describes every field", () => {
    expect(undescribed(configRepoJsonSchema() as Node, "")).toEqual([]);
  });

  it("shows durations as text with their defaults", () => {
    const spec = (configRepoJsonSchema() as Node).properties?.["spec"];
    expect(spec?.properties?.["git"]?.properties?.["interval"]).toMatchObject({ type: "string", default: "10s" });
  });
});

function undescribed(node: Node, path: string): string[] {
  const below = Object.entries(node.properties ?? {}).flatMap(([key, child]) => [
    ...(child.description === undefined ? [`${path}.${key}`] : []),
    ...undescribed(child, `${path}.${key}`),
  ]);
  const inner = [node.items, ...(node.anyOf ?? [])].filter((child) => child !== undefined);
  return [...below, ...inner.flatMap((child) => undescribed(child, `${path}[]`))];
}
