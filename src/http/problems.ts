import type { FastifyError, FastifyRequest } from "fastify";
import { hasZodFastifySchemaValidationErrors, type ZodFastifySchemaValidationError } from "fastify-type-provider-zod";
import { FssyncError, REASONS, type Reason } from "../model/errors.ts";
import { allowedMethods } from "./allowed-methods.ts";
import type { ApiServer } from "./api-server.ts";
import { aboutBlank, HttpProblem, type Problem } from "./problem.ts";
import { pathOf } from "./request-log.ts";

/** It is over soon. */
const PASSING: ReadonlySet<string> = new Set<Reason>(["RepoStarting", "Interrupted"]);

/** Reasons that are the caller's own, or that waiting mends. What is neither here nor of others is our trouble: 500. */
const STATUS_OF: Partial<Record<Reason, number>> = {
  InvalidSpec: 400,
  UnknownName: 404,
  Unauthorized: 403,
  SuspendedElsewhere: 409,
  // Held until something changes in Git or in the inventory.
  PathConflict: 409,
  PruneLimitExceeded: 409,
  UnsupportedFile: 409,
  LfsPointer: 409,
  InvalidAttributes: 409,
  InvalidPath: 409,
  NotEditable: 409,
  // What we asked on somebody's behalf did not do it.
  FetchFailed: 502,
  BranchMissing: 502,
  EmptyTree: 502,
  PushFailed: 502,
  InventoryFailed: 502,
  InventorySuspicious: 502,
  InvalidHost: 502,
  // Not here, or not now.
  SecretInvalid: 503,
  SourceUnavailable: 503,
  MirrorCorrupt: 503,
  ControllerExhausted: 503,
  Interrupted: 503,
  RepoStarting: 503,
  NoController: 503,
  ControllerLost: 503,
  KubernetesUnavailable: 503,
  ControllerNoSpace: 507,
};

const OTHER_TYPE = "this takes JSON alone: send content-type: application/json";

/** What is wrong in a request and is told; a large body may be wrong everywhere. */
const MOST_ERRORS = 20;
const PARTS: Readonly<Record<string, string>> = { querystring: "query", params: "path" };

type Untold = Omit<Problem, "instance">;

/** Answers whatever a handler throws as problem details. */
export function answerProblems(server: ApiServer): void {
  const allowed = allowedMethods(server);
  server.setErrorHandler((thrown: FastifyError | Error, request, reply) => {
    const problem = problemOf(thrown);
    // A problem that a handler made of it was no surprise.
    if (problem.status >= 500 && !(thrown instanceof HttpProblem)) request.log.error({ err: thrown }, "request failed");
    if (thrown instanceof HttpProblem) void reply.headers(thrown.headers);
    else if (problem.reason !== undefined && PASSING.has(problem.reason)) void reply.header("retry-after", "5");
    return reply.code(problem.status).type("application/problem+json").send(problemText(problem, request.id));
  });
  server.setNotFoundHandler((request, reply) => {
    const problem = notFound(request, allowed(request.url));
    if (problem.status === 405) void reply.header("allow", allowed(request.url).join(", "));
    return reply.code(problem.status).type("application/problem+json").send(problemText(problem, request.id));
  });
}

/** As it is sent. */
export function problemText(problem: Untold, requestId: string): string {
  return JSON.stringify({ ...problem, instance: requestId } satisfies Problem);
}

/** What is told of it, but for the request's id. */
export function problemOf(thrown: FastifyError | Error): Untold {
  if (thrown instanceof HttpProblem) return withReason(aboutBlank(thrown.statusCode, thrown.message), thrown.reason);
  if (thrown instanceof FssyncError) return ofReason(thrown);
  if (hasZodFastifySchemaValidationErrors(thrown)) {
    const errors = thrown.validation.slice(0, MOST_ERRORS).flatMap(errorsOf).slice(0, MOST_ERRORS);
    return { ...aboutBlank(400, errors.map(errorText(thrown)).join("; ")), errors };
  }
  const { statusCode = 500 } = thrown as FastifyError;
  if (statusCode === 415) return aboutBlank(415, OTHER_TYPE);
  // What went wrong inside is for the log alone.
  return statusCode >= 500 ? inside(statusCode) : aboutBlank(statusCode, thrown.message);
}

function notFound({ method, url }: FastifyRequest, allowed: readonly string[]): Untold {
  const path = pathOf(url);
  if (allowed.length === 0) return aboutBlank(404, `there is no ${method} ${path}`);
  return aboutBlank(405, `${path} takes ${allowed.join(", ")}, not ${method}`);
}

type WrongPart = NonNullable<Untold["errors"]>[number];

/** Of unknown keys there is one complaint, about what holds them. */
function errorsOf({ instancePath, message, params }: ZodFastifySchemaValidationError): WrongPart[] {
  const pointer = instancePath === "/" ? "" : instancePath;
  const { keys } = params as { keys?: readonly string[] };
  if (keys === undefined) return [{ pointer, detail: message ?? "not valid" }];
  return keys.map((key) => ({ pointer: `${pointer}/${pointerPart(key)}`, detail: "nothing here is called so" }));
}

function pointerPart(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}

function errorText({ validationContext = "body" }: FastifyError): (error: WrongPart) => string {
  const part = PARTS[validationContext] ?? validationContext;
  return ({ pointer, detail }) => `${part}${pointer}: ${detail}`;
}

/** Messages about the inside may name files of this machine; those about others are what people need. */
function ofReason({ reason, message }: FssyncError): Untold {
  const status = STATUS_OF[reason] ?? 500;
  if (status === 500) return withReason(inside(status), reason);
  return withReason(aboutBlank(status, status > 502 ? REASONS[reason].meaning : message), reason);
}

function inside(status: number): Untold {
  return aboutBlank(status, "it failed here; the log says why");
}

function withReason(problem: Untold, reason: Reason | undefined): Untold {
  return reason === undefined ? problem : { ...problem, reason, next: REASONS[reason].next };
}
