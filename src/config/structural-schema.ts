import { z } from "zod";

/** A node of a structural OpenAPI v3 schema, as a CustomResourceDefinition holds it. */
export interface StructuralSchema {
  description?: string;
  type?: "array" | "boolean" | "integer" | "object" | "string";
  format?: "date-time" | "int64";
  default?: unknown;
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  maxItems?: number;
  pattern?: string;
  required?: string[];
  oneOf?: { required: string[] }[];
  properties?: Record<string, StructuralSchema>;
  additionalProperties?: StructuralSchema;
  items?: StructuralSchema;
  "x-kubernetes-int-or-string"?: true;
  "x-kubernetes-preserve-unknown-fields"?: true;
  "x-kubernetes-list-type"?: "atomic" | "map";
  "x-kubernetes-list-map-keys"?: string[];
}

type JsonNode = Record<string, unknown>;

/** Kept as they are; what is named nowhere in this file makes the generation fail, so that nothing is lost unseen. */
const KEPT = ["default", "enum", "minLength", "maxLength", "maxItems", "required", "oneOf"] as const;
const CONVERTED = ["description", "type", "format", "pattern", "minimum", "maximum", "properties", "items", "anyOf"];
/**
 * `additionalProperties: false` has no counterpart: the API server prunes what it does not know. Names of
 * the keys of a map are not told apart there.
 */
const DROPPED = new Set<string>(["$schema", "propertyNames", "additionalProperties"]);
const KNOWN = new Set<string>([...KEPT, ...CONVERTED, ...DROPPED]);
/** What Go's RE2 does not have, or writes in another way: lookarounds, back references, \u and \c. */
const NOT_RE2 = /\(\?(?:[=!]|<[=!])|\\[1-9ucp]/;
const DURATION = /ms\|s\|m\|h/;

/** The schema of what users write, as the API server takes it. Throws on what it cannot express. */
export function structuralSchema(schema: z.ZodType): StructuralSchema {
  return convert(z.toJSONSchema(schema, { io: "input", target: "draft-2020-12" }), "");
}

function convert(node: JsonNode, path: string): StructuralSchema {
  const unknown = Object.keys(node).find((key) => !KNOWN.has(key));
  if (unknown !== undefined) throw new Error(`${path}: the keyword ${unknown} has no counterpart in a CRD`);
  const result: StructuralSchema = node["anyOf"] === undefined ? typed(node, path) : either(node, path);
  for (const key of KEPT) if (node[key] !== undefined) Object.assign(result, { [key]: node[key] });
  const description = describe(node);
  return description === undefined ? result : { description, ...result };
}

function typed(node: JsonNode, path: string): StructuralSchema {
  switch (node["type"]) {
    case "object":
      return object(node, path);
    case "array":
      return list(node, path);
    case "integer":
      return { type: "integer", format: "int64", ...bounds(node) };
    case "string":
      return text(node, path);
    case "boolean":
      return { type: "boolean" };
    default:
      throw new Error(`${path}: the type ${JSON.stringify(node["type"])} has no counterpart in a CRD`);
  }
}

function object(node: JsonNode, path: string): StructuralSchema {
  const result: StructuralSchema = { type: "object" };
  const properties = node["properties"] as Record<string, JsonNode> | undefined;
  const values = node["additionalProperties"];
  if (properties !== undefined)
    result.properties = Object.fromEntries(
      Object.entries(properties).map(([key, child]) => [key, convert(child, `${path}.${key}`)]),
    );
  else if (typeof values === "object" && values !== null)
    result.additionalProperties = convert(values as JsonNode, `${path}.*`);
  return result;
}

/** Whoever writes a list writes it as a whole; only conditions are told apart, by their type. */
function list(node: JsonNode, path: string): StructuralSchema {
  const items = convert(node["items"] as JsonNode, `${path}[]`);
  return path.endsWith(".conditions")
    ? { type: "array", items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] }
    : { type: "array", items, "x-kubernetes-list-type": "atomic" };
}

/** The format says what zod's pattern of a time says, and is checked by the API server too. */
function text(node: JsonNode, path: string): StructuralSchema {
  if (node["format"] === "date-time") return { type: "string", format: "date-time" };
  if (node["format"] !== undefined)
    throw new Error(`${path}: the format ${JSON.stringify(node["format"])} is not known`);
  return { type: "string", ...pattern(node, path) };
}

/**
 * A structural schema has one type a node. A number or text is IntOrString, whose keywords each check
 * the type that they are for; text or an object stays as it is and is checked by parseConfigRepo alone.
 */
function either(node: JsonNode, path: string): StructuralSchema {
  const branches = node["anyOf"] as JsonNode[];
  const types = branches.map(({ type }) => String(type)).sort();
  if (types.join() === "object,string") return { "x-kubernetes-preserve-unknown-fields": true };
  if (types.join() !== "integer,string") throw new Error(`${path}: ${types.join(" or ")} cannot be said in a CRD`);
  const merged = Object.assign({}, ...branches) as JsonNode;
  return { "x-kubernetes-int-or-string": true, ...pattern(merged, path), ...bounds(merged) };
}

function pattern(node: JsonNode, path: string): { pattern?: string } {
  if (typeof node["pattern"] !== "string") return {};
  if (NOT_RE2.test(node["pattern"])) throw new Error(`${path}: RE2 cannot read the pattern ${node["pattern"]}`);
  return { pattern: node["pattern"] };
}

/** Without those that zod gives every integer: JavaScript's own. */
function bounds(node: JsonNode): { minimum?: number; maximum?: number } {
  const entries = (["minimum", "maximum"] as const).map((key) => [key, node[key]] as const);
  return Object.fromEntries(entries.filter(([, value]) => Number.isSafeInteger(value) && !isExtreme(value as number)));
}

function isExtreme(value: number): boolean {
  return Math.abs(value) === Number.MAX_SAFE_INTEGER;
}

function describe(node: JsonNode): string | undefined {
  if (typeof node["description"] !== "string") return undefined;
  if (typeof node["pattern"] === "string" && DURATION.test(node["pattern"]))
    return `${node["description"]} A duration such as 10s, 5m or 1h30m.`;
  const types = ((node["anyOf"] as JsonNode[] | undefined) ?? []).map(({ type }) => type);
  return types.includes("integer") ? `${node["description"]} A name or a number.` : node["description"];
}
