import { STATUS_CODES } from "node:http";

/** What of an OpenAPI document is looked at here; all of it is JSON. */
export interface OpenApiDocument {
  readonly paths: Readonly<Record<string, PathItem>>;
  readonly components: { readonly schemas: Schemas; readonly securitySchemes?: object };
}

type PathItem = Readonly<Record<string, Operation>>;
type Schemas = Readonly<Record<string, { readonly description?: string }>>;

interface Operation {
  readonly parameters?: readonly { readonly in: string; readonly name: string }[];
  readonly responses: Readonly<Record<string, Answer>>;
}

interface Answer {
  readonly description: string;
  readonly content?: Readonly<Record<string, { readonly schema?: { readonly $ref?: string } }>>;
}

const SCHEMAS = "#/components/schemas/";
const REFERENCE = /"#\/components\/schemas\/(\w+)"/g;
const PROBLEM = `${SCHEMAS}Problem`;

/** What Fastify says where nothing else does. */
const NOTHING_SAID = "Default Response";

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  400: "The request is malformed, or holds what is not valid.",
  401: "No token, or one that nobody knows.",
  403: "Whoever asks may not do it.",
  404: "A name that nobody knows.",
  408: "The request did not come in time.",
  409: "It cannot be done as things are.",
  413: "The body, or what was asked for, is too large.",
  415: "Another content type is needed.",
  422: "The request contradicts an earlier one.",
  429: "Too many requests; `Retry-After` says when to ask again.",
  500: "A mistake in fssync; its log says more.",
  502: "What was asked on the caller's behalf did not do it.",
  503: "It cannot be answered now, or not by this process; `Retry-After` may say when to ask again.",
};

/** A document made of zod schemas, as people and generators of clients want it. */
export function tidy<D extends OpenApiDocument>(document: D): D {
  const { schemas, nameOf } = mergeInputs(document.components.schemas);
  const paths = mapEntries(renamed(document.paths, nameOf), (path, item) => [
    path.replace("{*}", "{path}"),
    mapEntries(item, (method, operation) => [method, tidyOperation(operation, schemas)]),
  ]);
  const used = usedBy(paths, schemas);
  const components = { ...document.components, schemas: mapEntries(schemas, (name, schema) => [name, schema], used) };
  const nameInUse = (name: string) => (used(plain(name)) ? name : plain(name));
  return withoutSafeBounds(withoutLoneChoices({ ...document, ...renameSchemas({ paths, components }, nameInUse) }));
}

function tidyOperation(operation: Operation, schemas: Schemas): Operation {
  const responses = mapEntries(operation.responses, (status, answer) => [status, tidyAnswer(status, answer, schemas)]);
  const parameters = operation.parameters?.map((one) => (one.name === "*" ? { ...one, name: "path" } : one));
  return { ...operation, responses, ...(parameters && { parameters }) };
}

/** Problems have a content type of their own, and what is answered may have more keys one day. */
function tidyAnswer(status: string, answer: Answer, schemas: Schemas): Answer {
  const { description, content } = answer;
  const reference = content?.["application/json"]?.schema?.$ref;
  const about = schemas[reference?.slice(SCHEMAS.length) ?? ""]?.description;
  const isProblem = reference === PROBLEM;
  const said = (isProblem ? DESCRIPTIONS[status] : about) ?? STATUS_CODES[status] ?? status;
  return {
    ...answer,
    description: description === NOTHING_SAID ? said : description,
    ...(content && {
      content: opened(isProblem ? { "application/problem+json": content["application/json"]! } : content),
    }),
  };
}

/**
 * There are two schemas of everything, `X` as it is answered and `XInput` as it is asked. One is enough where
 * they say the same, or where nobody asks with it.
 */
function mergeInputs(all: Schemas): { schemas: Schemas; nameOf: (name: string) => string } {
  const inputs = Object.keys(all).filter((name) => name.endsWith("Input") && plain(name) in all);
  const answered = mapEntries(all, (name, schema) => [name, inputs.includes(name) ? schema : opened(schema)]);
  const different = new Set(
    inputs.filter((name) => JSON.stringify(renamed(all[name], plain)) !== JSON.stringify(answered[plain(name)])),
  );
  // What refers to different things is different itself.
  for (let before = -1; before !== different.size;) {
    before = different.size;
    for (const name of inputs) if (namesIn(all[name]).some((other) => different.has(other))) different.add(name);
  }
  const nameOf = (name: string) => (inputs.includes(name) && !different.has(name) ? plain(name) : name);
  return {
    schemas: renamed(
      mapEntries(
        answered,
        (name, schema) => [name, schema],
        (name) => nameOf(name) === name,
      ),
      nameOf,
    ),
    nameOf,
  };
}

function renameSchemas<D extends Pick<OpenApiDocument, "paths" | "components">>(
  document: D,
  nameOf: (name: string) => string,
): D {
  const { paths, components } = renamed(document, nameOf);
  const schemas = mapEntries(components.schemas, (name, schema) => [nameOf(name), schema]);
  return { ...document, paths, components: { ...components, schemas } };
}

function plain(name: string): string {
  return name.replace(/Input$/, "");
}

/** Names of the schemas that the paths need, and those that these need. */
function usedBy(paths: object, schemas: Schemas): (name: string) => boolean {
  const used = new Set<string>();
  const wanted = namesIn(paths);
  for (const name of wanted) {
    if (used.has(name)) continue;
    used.add(name);
    wanted.push(...namesIn(schemas[name]));
  }
  return (name) => used.has(name);
}

function namesIn(value: unknown): string[] {
  return [...JSON.stringify(value).matchAll(REFERENCE)].map(([, name]) => name!);
}

function renamed<T>(value: T, nameOf: (name: string) => string): T {
  const text = JSON.stringify(value).replaceAll(REFERENCE, (_, name: string) => `"${SCHEMAS}${nameOf(name)}"`);
  return JSON.parse(text) as T;
}

/** Without the refusal of keys that are not known. */
function opened<T>(schema: T): T {
  return without(schema, (key, value) => key === "additionalProperties" && value === false);
}

/** What a number in JavaScript can be is no limit that somebody chose. */
function withoutSafeBounds<T>(document: T): T {
  return without(document, (_, value) => Math.abs(Number(value)) === Number.MAX_SAFE_INTEGER);
}

/** A choice of one is none. */
function withoutLoneChoices<T>(document: T): T {
  const text = JSON.stringify(document, (_, value: { anyOf?: readonly object[] } | null) => {
    if (value?.anyOf?.length !== 1) return value;
    const { anyOf, ...rest } = value;
    return { ...rest, ...anyOf[0] };
  });
  return JSON.parse(text) as T;
}

function without<T>(value: T, isUnwanted: (key: string, value: unknown) => boolean): T {
  const text = JSON.stringify(value, (key, one: unknown) => (isUnwanted(key, one) ? undefined : one));
  return JSON.parse(text) as T;
}

function mapEntries<A, B>(
  from: Readonly<Record<string, A>>,
  map: (key: string, value: A) => [string, B],
  isWanted: (key: string) => boolean = () => true,
): Record<string, B> {
  const wanted = Object.entries(from).filter(([key]) => isWanted(key));
  return Object.fromEntries(wanted.map(([key, value]) => map(key, value)));
}
