import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import * as fc from "fast-check";

/** What of a description is read here. */
export interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DescribedOperation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>> };
}

export interface DescribedOperation {
  readonly operationId: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, object>> }>>;
}

export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required?: boolean;
  readonly schema: JsonSchema;
}

interface JsonSchema {
  readonly $ref?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
}

/** Longer texts say no more than these. */
const LONGEST = 40;

/**
 * Values as a schema wants them. `known` has values for keys and schemas by their names that mean something
 * real: most of the time they are taken.
 */
export class Arbitraries {
  readonly #document: OpenApi;
  readonly #known: Readonly<Record<string, readonly unknown[]>>;

  constructor(document: OpenApi, known: Readonly<Record<string, readonly unknown[]>>) {
    this.#document = document;
    this.#known = known;
  }

  of(name: string, schema: JsonSchema): fc.Arbitrary<unknown> {
    const known = this.#known[name];
    const any = this.#any(name, schema);
    return known ? fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...known) }, { weight: 1, arbitrary: any }) : any;
  }

  #any(name: string, schema: JsonSchema): fc.Arbitrary<unknown> {
    const { $ref, type, anyOf, minimum = -1000, maximum = 10_000 } = schema;
    const target = $ref?.split("/").at(-1);
    if (target !== undefined) return this.of(target, this.#document.components.schemas[target]!);
    if ("const" in schema) return fc.constant(schema.const);
    if (schema.enum) return fc.constantFrom(...schema.enum);
    if (anyOf) return fc.oneof(...anyOf.map((one) => this.#any(name, one)));
    if (type === "boolean") return fc.boolean();
    if (type === "integer" || type === "number") return fc.integer({ min: minimum, max: maximum });
    if (type === "array") return this.#array(name, schema);
    if (type === "object") return this.#object(schema);
    return text(schema);
  }

  #array(name: string, { items = {}, minItems = 0 }: JsonSchema): fc.Arbitrary<unknown[]> {
    return fc.array(this.of(name, items), { minLength: minItems, maxLength: minItems + 3 });
  }

  #object({ properties = {}, required = [] }: JsonSchema): fc.Arbitrary<object> {
    const keys = Object.entries(properties).map(([name, schema]) => [name, this.of(name, schema)] as const);
    return fc.record(Object.fromEntries(keys), { requiredKeys: [...required] });
  }
}

function text({ pattern, minLength = 0, maxLength = LONGEST }: JsonSchema): fc.Arbitrary<string> {
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern));
  return fc.string({ minLength, maxLength: Math.min(maxLength, minLength + LONGEST) });
}

/** Holds answers against what is described; keys that are not described are mistakes too. */
export class AnswerSchemas {
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: false });
  readonly #validators = new Map<string, ValidateFunction>();

  constructor(document: OpenApi) {
    this.#ajv.addSchema(closed(document), "api");
  }

  /** What is wrong with it; empty when nothing is. */
  complaints(pointer: readonly string[], body: unknown): string {
    const path = ["", ...pointer].map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1")));
    const id = `api#${path.join("/")}`;
    const validator = this.#validators.get(id) ?? this.#ajv.compile({ $ref: id });
    this.#validators.set(id, validator);
    return validator(body) ? "" : this.#ajv.errorsText(validator.errors);
  }
}

function closed(document: OpenApi): object {
  const text = JSON.stringify(document, (_, value: { type?: unknown; properties?: unknown } | null) =>
    value?.type === "object" && value.properties ? { additionalProperties: false, ...value } : value,
  );
  return JSON.parse(text) as object;
}
