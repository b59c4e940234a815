import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { HttpProblem } from "../problem.ts";
import { problemOf } from "../problems.ts";

/** For a route: whatever goes wrong is answered in the predecessor's shape, with a status of today. */
export function errorsAs(body: (message: string) => object) {
  return (thrown: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
    const error: Error = thrown;
    const { status, detail } = problemOf(thrown);
    if (status >= 500 && !(error instanceof HttpProblem)) request.log.error({ err: thrown }, "request failed");
    if (error instanceof HttpProblem) void reply.headers(error.headers);
    json(reply.code(status), body(detail));
  };
}

interface Sender {
  type(type: string): { send(text: string): unknown };
}

/** As the predecessor's framework wrote it. */
export function json(reply: Sender, body: object, indent = 0): void {
  reply.type("application/json; charset=utf-8").send(JSON.stringify(body, null, indent));
}
