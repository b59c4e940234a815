import type { Operation } from "../../../src/http/schemas/operation.ts";
import type { Problem } from "../../../src/http/problem.ts";
import { until } from "../../support/fleet.ts";
import type { Controller } from "../../support/world.ts";

export interface Answer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

export async function get<Body>({ url }: Pick<Controller, "url">, path: string): Promise<Answer<Body>> {
  return await answer<Body>(fetch(`${url}${path}`));
}

/** Undefined is no body at all. */
export async function post<Body>(
  { url }: Pick<Controller, "url">,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Answer<Body>> {
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const type = body === undefined ? {} : { "content-type": "application/json" };
  return await answer<Body>(fetch(`${url}${path}`, { method: "POST", headers: { ...type, ...headers }, ...sent }));
}

/** A sync that is waited for. */
export async function sync(controller: Controller, body: unknown, wait = "60s"): Promise<Operation> {
  const { status, body: operation } = await post<Operation>(controller, `/api/v1/sync?wait=${wait}`, body);
  if (status !== 200) throw new Error(`${status}: ${JSON.stringify(operation)}`);
  return operation;
}

/** A request that must be refused. */
export async function refused(controller: Controller, path: string, body: unknown, headers = {}): Promise<Problem> {
  const answered = await post<Problem>(controller, path, body, headers);
  if (!answered.headers.get("content-type")?.startsWith("application/problem+json"))
    throw new Error(`no problem: ${answered.status} ${JSON.stringify(answered.body)}`);
  return answered.body;
}

export async function operation(controller: Pick<Controller, "url">, id: string): Promise<Operation> {
  return (await get<Operation>(controller, `/api/v1/operations/${id}`)).body;
}

/** Waits until an operation is as it should be; says how it is when it does not get there. */
export async function becomes(
  controller: Controller,
  id: string,
  condition: (operation: Operation) => boolean,
  what: string,
): Promise<Operation> {
  let last: Operation | undefined;
  const holds = async () => condition((last = await operation(controller, id)));
  await until(holds, 20_000, what).catch((error: unknown) => {
    throw new Error(`${String(error)}; it is ${JSON.stringify(last, null, 1)}`, { cause: error });
  });
  return last!;
}

async function answer<Body>(asked: Promise<Response>): Promise<Answer<Body>> {
  const response = await asked;
  return { status: response.status, headers: response.headers, body: (await response.json()) as Body };
}
