import { createConfig, lintFromString } from "@redocly/openapi-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, type Served } from "./rig.ts";

interface Described {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, { responses: Record<string, { content?: object }>; security?: [] }>>;
  readonly components: { schemas: Record<string, object> };
}

let served: Served;
let text: string;
let document: Described;
beforeAll(async () => {
  served = await serve(() => {}, { compat: { anonymous: false } });
  text = await (await fetch(`${served.url}/openapi.json`)).text();
  document = JSON.parse(text) as Described;
});
afterAll(() => served[Symbol.asyncDispose]());

describe("/openapi.json", () => {
  test("is OpenAPI 3.1 in which a linter finds nothing", async () => {
    const config = await createConfig({
      extends: ["recommended"],
      rules: {
        "operation-tag-defined": "error",
        "operation-4xx-problem-details-rfc7807": "error",
      },
    });
    const found = await lintFromString({ source: text, absoluteRef: "/openapi.json", config });
    expect(found.map(({ ruleId, message, location }) => `${ruleId} ${location[0]?.pointer}: ${message}`)).toEqual([]);
    expect(document.openapi).toBe("3.1.0");
  });

  test("each schema is there once, with or without the keys of tomorrow", () => {
    const names = Object.keys(document.components.schemas);
    expect(names).toContain("Problem");
    expect(names.filter((name) => name.endsWith("Input") && names.includes(name.slice(0, -5)))).toEqual([]);
    expect(document.components.schemas["Problem"]).not.toHaveProperty("additionalProperties");
    expect(document.components.schemas["SyncRequest"]).toHaveProperty("additionalProperties", false);
  });

  test("what is open to everybody says so, and everything else can answer that it does not know who asks", () => {
    for (const [path, item] of Object.entries(document.paths))
      for (const [method, { security, responses }] of Object.entries(item)) {
        if (path.startsWith("/hooks/")) expect(security, path).toEqual([]);
        else expect(Object.keys(responses), `${method} ${path}`).toEqual(expect.arrayContaining(["401", "403", "503"]));
      }
  });

  test("the predecessor's endpoints are not in it: they are for scripts that know them", () => {
    expect(Object.keys(document.paths).filter((path) => !/^\/(api\/v1|files|archive|hooks)\//.test(path))).toEqual([]);
  });
});
