import { z } from "zod";

interface Node {
  readonly type?: string;
  readonly format?: string;
  readonly pattern?: string;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
  readonly required?: readonly string[];
  readonly oneOf?: readonly { readonly required: readonly string[] }[];
  readonly anyOf?: readonly Node[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | false;
  readonly items?: Node;
}

export interface SampleOptions {
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** How often a key that may be left out is there: 1 gives every key. */
  readonly optional: number;
  /** Values for the paths whose text the schema alone does not tell; the last keys of a path, joined by dots. */
  readonly texts: Readonly<Record<string, readonly string[]>>;
}

/** None is empty: an API server 1.20 that was built with Go 1.18 or later takes empty text for null. */
const TEXTS = ["a", "text with spaces", "quotes \" and ' and \\", "tab\tnewline\n", "ünï-çødé 日本 🙂", "true", "007"];
const TIMES = ["2026-01-02T03:04:05.006Z", "1999-12-31T23:59:59.999Z", "2024-02-29T00:00:00.000Z"];

/** A value that a zod schema takes, by its JSON Schema; every text with a pattern must be among `texts`. */
export function sample(schema: z.ZodType, options: SampleOptions): Record<string, unknown> {
  return valueOf(z.toJSONSchema(schema, { io: "input" }) as Node, [], options) as Record<string, unknown>;
}

/** Numbers that look random and are the same in every run (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function valueOf(node: Node, path: readonly string[], options: SampleOptions): unknown {
  const { random } = options;
  if (node.anyOf) return valueOf(pick(node.anyOf, random), path, options);
  if (node.enum) return pick(node.enum, random);
  switch (node.type) {
    case "object":
      return objectOf(node, path, options);
    case "array":
      return Array.from({ length: Math.min(node.maxItems ?? 3, 1 + Math.floor(random() * 4)) }, (_, index) =>
        distinct(valueOf(node.items!, path, options), path, index),
      );
    case "integer":
      return integerOf(node, random);
    case "boolean":
      return random() < 0.5;
    case "string":
      return textOf(node, path, options);
    default:
      throw new Error(`${path.join(".")}: no sample of ${JSON.stringify(node)}`);
  }
}

function objectOf(node: Node, path: readonly string[], options: SampleOptions): unknown {
  const { random, optional } = options;
  if (!node.properties) {
    const keys = ["bx", "wgq", "with.dot", "with/slash", ""].filter(() => random() < 0.5);
    return Object.fromEntries(keys.map((key) => [key, valueOf(node.additionalProperties as Node, path, options)]));
  }
  const oneOf = (node.oneOf ?? []).flatMap(({ required }) => required);
  const chosen = oneOf.length > 0 ? pick(oneOf, random) : undefined;
  const keys = Object.keys(node.properties).filter((key) =>
    oneOf.includes(key) ? key === chosen : node.required?.includes(key) || random() < optional,
  );
  return Object.fromEntries(keys.map((key) => [key, valueOf(node.properties![key]!, [...path, key], options)]));
}

/** Conditions are told apart by their type. */
function distinct(value: unknown, path: readonly string[], index: number): unknown {
  return path.at(-1) === "conditions" ? { ...(value as object), type: `Type${index}` } : value;
}

function integerOf({ minimum = 0, maximum = 2 ** 53 - 1 }: Node, random: () => number): number {
  const low = Math.max(minimum, -(2 ** 53) + 1);
  return pick([low, maximum, Math.floor(low + random() * (maximum - low))], random);
}

function textOf(node: Node, path: readonly string[], { random, texts }: SampleOptions): string {
  if (node.format === "date-time") return pick(TIMES, random);
  const whole = path.join(".");
  const known = Object.keys(texts).find((key) => whole === key || whole.endsWith(`.${key}`));
  if (known !== undefined) return pick(texts[known]!, random);
  if (node.pattern !== undefined) throw new Error(`${whole}: give texts for the pattern ${node.pattern}`);
  return pick(TEXTS, random);
}

function pick<T>(values: readonly T[], random: () => number): T {
  return values[Math.floor(random() * values.length)]!;
}
