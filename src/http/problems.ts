import { STATUS_CODES } from "node:http";
import type { FastifyError } from "fastify";
import { hasZodFastifySchemaValidationErrors } from "fastify-type-provider-zod";
import { FssyncError, REASONS, type Reason } from "../model/errors.ts";
import type { ApiServer } from "./api-server.ts";
import { HttpProblem, type Problem } from "./problem.ts";

/** What is not here is our own trouble: 500. */
const STATUS_OF: Partial<Record<Reason, number>> = { UnknownName: 404, InvalidSpec: 400 };

/** Answers whatever a handler throws as problem details. */
export function answerProblems(server: ApiServer): void {
  server.setErrorHandler((thrown: FastifyError | Error, request, reply) => {
    const problem = { ...problemOf(thrown), instance: request.id };
    if (problem.status >= 500) request.log.error({ err: thrown }, "request failed");
    if (thrown instanceof HttpProblem) void reply.headers(thrown.headers);
    return reply.code(problem.status).type("application/problem+json").send(JSON.stringify(problem));
  });
  server.setNotFoundHandler((request, reply) => {
    const detail = `there is no ${request.method} ${request.url.split("?")[0]}`;
    const problem = { ...aboutBlank(404, detail), instance: request.id };
    return reply.code(404).type("application/problem+json").send(JSON.stringify(problem));
  });
}

function problemOf(thrown: FastifyError | Error): Omit<Problem, "instance"> {
  if (thrown instanceof HttpProblem) return withReason(aboutBlank(thrown.statusCode, thrown.message), thrown.reason);
  if (thrown instanceof FssyncError)
    return withReason(aboutBlank(STATUS_OF[thrown.reason] ?? 500, thrown.message), thrown.reason);
  if (hasZodFastifySchemaValidationErrors(thrown)) {
    const errors = thrown.validation.map(({ instancePath, message }) => ({ pointer: instancePath, detail: message! }));
    return { ...aboutBlank(400, thrown.message), errors };
  }
  const { statusCode = 500 } = thrown as FastifyError;
  // What went wrong inside is for the log alone.
  return aboutBlank(statusCode, statusCode >= 500 ? "it failed here; the log says why" : thrown.message);
}

function aboutBlank(status: number, detail: string): Omit<Problem, "instance"> {
  return { type: "about:blank", title: STATUS_CODES[status] ?? "Error", status, detail };
}

function withReason(problem: Omit<Problem, "instance">, reason: Reason | undefined): Omit<Problem, "instance"> {
  return reason === undefined ? problem : { ...problem, reason, next: REASONS[reason].next };
}
