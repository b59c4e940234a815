import * as fc from "fast-check";
import { Client } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  AnswerSchemas,
  Arbitraries,
  type DescribedOperation,
  type OpenApi,
  type Parameter,
} from "../../support/openapi.ts";
import { World, type Controller } from "../../support/world.ts";

/** What fails once fails again: the seed and the request are in the message. */
const SEED = 20_261_123;
const RUNS_OF_EACH = 30;

const WEB = "nginx/prod/web";

interface Asked {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string | null;
}

interface Answered {
  readonly status: number;
  readonly type: string | undefined;
  readonly body: string;
}

let world: World;
let controller: Controller;
let document: OpenApi;
let schemas: AnswerSchemas;
let known: Record<string, readonly unknown[]>;

beforeAll(async () => {
  world = await World.create({
    hosts: 2,
    kind: "ports",
    files: { [`${WEB}/etc/a.conf`]: "a=1\n", "nginx/prod/api/etc/b.conf": "b\n", "env/prod/web/c.conf": "c=1\n" },
  });
  controller = await world.start("--compat");
  await world.settled();
  document = (await (await controller.get("/openapi.json")).json()) as OpenApi;
  schemas = new AnswerSchemas(document);
  const head = await world.repo.commitOf("main");
  const addresses = world.fleet.hosts.map(({ address, port }) => `${address}:${port}`);
  const headers = { "content-type": "application/json" };
  const operation = await fetch(`${controller.url}/api/v1/sync?wait=20s`, {
    method: "POST",
    headers,
    body: '{"all":true}',
  });
  const { id } = (await operation.json()) as { id: string };
  known = {
    repo: ["files"],
    mod: ["nginx", "nginx", "env"],
    env: ["prod"],
    zone: ["prod"],
    app: ["web", "web", "web", "api", WEB],
    host: addresses,
    hosts: addresses,
    address: [...addresses, "127.0.0.1"],
    path: ["etc/a.conf", "etc/a.conf", "etc/b.conf", "c.conf"],
    revision: [head, `main@sha1:${head}`],
    id: [id],
    wait: ["0s", "50ms", "1s"],
    SyncRequest: [{ all: true }, { all: true, full: true }, { mod: "nginx", app: "web" }, { hosts: addresses }],
    SuspendRequest: [
      { repo: "files", host: addresses[0] },
      { repo: "files", mod: "nginx", env: "prod", app: "web" },
    ],
    appName: ["web"],
    envName: ["prod"],
    filename: ["c.conf"],
    datas: [{ c: "2" }],
    operate: ["edit"],
  };
}, 60_000);
afterAll(() => world[Symbol.asyncDispose]());

test("every operation of /openapi.json answers as it says, whatever it is asked", async () => {
  const reached = new Set<string>();
  const failures: string[] = [];
  let asked = 0;
  await using client = await connected();
  for (const [path, item] of Object.entries(document.paths))
    for (const [method, operation] of Object.entries(item)) {
      const requests = fc.oneof(
        { weight: 3, arbitrary: requestOf(path, operation, "as described") },
        { weight: 2, arbitrary: requestOf(path, operation, "nearly") },
        { weight: 2, arbitrary: requestOf(path, operation, "wild") },
      );
      const answersAsDescribed = async (request: Asked) => {
        const answer = await ask(client.client, method, request);
        asked++;
        if (answer.status < 300) reached.add(operation.operationId);
        expectDescribed([path, method], operation, answer);
      };
      const checked = await fc.check(fc.asyncProperty(requests, answersAsDescribed), {
        seed: SEED,
        numRuns: RUNS_OF_EACH,
        endOnFailure: true,
      });
      if (checked.failed)
        failures.push(
          `${operation.operationId}: ${fc.defaultReportMessage(checked)}\n${String(checked.errorInstance)}`,
        );
    }
  expect(failures).toEqual([]);
  const operations = Object.values(document.paths).flatMap((item) => Object.values(item));
  expect(asked).toBe(operations.length * RUNS_OF_EACH);
  // Nobody has signed anything for the hooks.
  const unreached = operations
    .map(({ operationId }) => operationId)
    .filter((id) => !reached.has(id) && !id.endsWith("Hook"));
  expect(unreached).toEqual([]);
  expect((await controller.get("/healthz")).status).toBe(200);
  expect(controller.log.filter(({ msg }) => msg === "request failed")).toEqual([]);
}, 120_000);

function expectDescribed(at: readonly [string, string], { responses }: DescribedOperation, answer: Answered): void {
  const { status, type, body } = answer;
  expect(Object.keys(responses).map(Number), `answered ${status}: ${body.slice(0, 500)}`).toContain(status);
  if (status >= 500) expect(status, body).toBe(503);
  const { content } = responses[String(status)]!;
  if (content === undefined) return expect(body).toBe("");
  expect(Object.keys(content), `of ${status}`).toContain(type);
  if (!type!.endsWith("json")) return;
  const pointer = ["paths", ...at, "responses", String(status), "content", type!, "schema"];
  expect(schemas.complaints(pointer, JSON.parse(body)), body.slice(0, 2000)).toBe("");
}

type Pairs = readonly (readonly [name: string, value: unknown])[];
type How = "as described" | "nearly" | "wild";

function requestOf(path: string, { parameters = [], requestBody }: DescribedOperation, how: How): fc.Arbitrary<Asked> {
  const arbitraries = new Arbitraries(document, known);
  const values = parameters.map((one) => valueOf(one, arbitraries, how));
  const described = requestBody?.content["application/json"]?.schema;
  const right = described ? arbitraries.of("", described).map((value) => JSON.stringify(value)) : fc.constant(null);
  const bodies =
    how === "as described" || !described ? right : fc.oneof(right, wrongBody(how, arbitraries.of("", described)));
  return fc
    .record({
      values: fc.tuple(...values),
      body: bodies,
      more: how === "as described" ? fc.constant<Pairs>([]) : moreQuery(),
    })
    .map(({ values: given, body, more }) => ({
      path: filled(path, parameters, given, more),
      headers: { ...headersOf(parameters, given), ...(body === null ? {} : { "content-type": "application/json" }) },
      body,
    }));
}

/** Undefined: left out. */
function valueOf(parameter: Parameter, arbitraries: Arbitraries, how: How): fc.Arbitrary<unknown> {
  const { name, required = false, schema } = parameter;
  const right = arbitraries.of(name, schema);
  const maybe = required ? right : fc.option(right, { nil: undefined });
  if (how === "as described") return maybe;
  return fc.oneof({ weight: how === "nearly" ? 4 : 1, arbitrary: maybe }, { weight: 1, arbitrary: wildText() });
}

function wildText(): fc.Arbitrary<string> {
  const ugly = [
    "",
    " ",
    "..",
    "../../etc/passwd",
    "%00",
    "\0",
    "__proto__",
    "constructor",
    "[object Object]",
    "-1",
    "1e9",
    "null",
    "*",
  ];
  return fc.oneof(
    fc.constantFrom(...ugly, "a".repeat(2000), "9".repeat(40), "\u202e\u0000\ufeff", "' OR 1=1 --", "--help"),
    fc.string({ unit: "binary", maxLength: 60 }),
  );
}

function wrongBody(how: How, right: fc.Arbitrary<unknown>): fc.Arbitrary<string> {
  const changed = right.chain((value) =>
    fc
      .record({
        key: fc.oneof(fc.constantFrom(...Object.keys(value as object), "more"), fc.string()),
        to: fc.oneof(wildText(), fc.jsonValue()),
      })
      .map(({ key, to }) => JSON.stringify({ ...(value as object), [key]: to })),
  );
  const cut = fc.tuple(right, fc.nat(20)).map(([value, at]) => JSON.stringify(value).slice(0, at));
  if (how === "nearly") return fc.oneof(changed, cut);
  const constants = ["", "null", "[]", "{}", '"text"', '{"__proto__":{"all":true}}', "[".repeat(10_000), "\ufeff{}"];
  return fc.oneof(fc.json(), fc.string({ unit: "binary" }), fc.constantFrom(...constants));
}

function moreQuery(): fc.Arbitrary<Pairs> {
  return fc.array(fc.tuple(fc.oneof(fc.constantFrom("limit", "more", "__proto__"), fc.string()), fc.string()), {
    maxLength: 2,
  });
}

function filled(path: string, parameters: readonly Parameter[], given: readonly unknown[], more: Pairs): string {
  const named = parameters.map((parameter, index) => [parameter, given[index]] as const);
  const whole = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = named.find(([one]) => one.in === "path" && one.name === name)?.[1];
    return name === "path" ? String(value).split("/").map(encoded).join("/") : encoded(value);
  });
  const query = [
    ...named.filter(([one]) => one.in === "query").map(([{ name }, value]) => [name, value] as const),
    ...more,
  ]
    .flatMap(([name, value]) =>
      Array.isArray(value) ? value.map((one) => [name, one as unknown] as const) : [[name, value] as const],
    )
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`);
  return query.length === 0 ? whole : `${whole}?${query.join("&")}`;
}

function headersOf(parameters: readonly Parameter[], given: readonly unknown[]): Record<string, string> {
  const headers = parameters.map(({ in: where, name }, index) => [where, name, given[index]] as const);
  return Object.fromEntries(
    headers
      .filter(([where, , value]) => where === "header" && value !== undefined)
      // What is no header at all is for test/unit/http.
      .map(([, name, value]) => [
        name,
        String(value)
          .replaceAll(/[^\u0020-\u007e]/g, "?")
          .trim(),
      ]),
  );
}

function encoded(value: unknown): string {
  return encodeURIComponent(String(value).toWellFormed());
}

async function ask(client: Client, method: string, { path, headers, body }: Asked): Promise<Answered> {
  const answer = await client.request({ method: method.toUpperCase(), path, headers, body });
  const type = [answer.headers["content-type"]].flat()[0]?.split(";", 1)[0];
  if (type === "text/event-stream") {
    // It would go on for ever.
    answer.body.on("error", () => {}).destroy();
    return { status: answer.statusCode, type, body: "" };
  }
  const bytes = Buffer.from(await answer.body.arrayBuffer());
  return { status: answer.statusCode, type, body: bytes.toString("utf8") };
}

async function connected(): Promise<{ client: Client } & AsyncDisposable> {
  const client = new Client(controller.url);
  return { client, [Symbol.asyncDispose]: () => client.destroy() };
}
