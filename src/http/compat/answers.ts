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

/** Of what a log says of a call; a script may send much. */
const TOLD = 500;

/** What a line of the log says of a call that was not done. */
export function refusal(thrown: unknown) {
  const { status, detail, reason } = problemOf(thrown as Error);
  return { outcome: "refused", status, ...(reason && { reason }), why: detail.slice(0, TOLD) };
}

interface Sender {
  type(type: string): { send(text: string): unknown };
}

/** As the predecessor's framework wrote it. */
export function json(reply: Sender, body: object, indent = 0): void {
  reply.type("application/json; charset=utf-8").send(JSON.stringify(body, null, indent));
}
