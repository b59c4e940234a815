import { STATUS_CODES } from "node:http";
import { z } from "zod";
import type { Reason } from "../model/errors.ts";

/** RFC 9457 problem details. `reason` is one of docs/errors.md where the problem is one of those. */
export const Problem = z
  .object({
    type: z
      .string()
      .describe("A URI reference that names the kind of problem; about:blank where the status says it all."),
    title: z.string().describe("The same for every problem of this kind."),
    status: z.int().describe("The HTTP status."),
    detail: z.string().describe("What was tried, on what, and why it failed."),
    instance: z.string().describe("The request's id, as the log has it."),
    reason: z.string().optional().describe("Reason of docs/errors.md."),
    next: z.string().optional().describe("What to do about it."),
    errors: z
      .array(
        z.object({
          pointer: z.string().describe("A JSON Pointer (RFC 6901) into the body, the query or what `detail` names."),
          detail: z.string(),
        }),
      )
      .optional()
      .describe("What is wrong where in the request; the first of it."),
  })
  .meta({ id: "Problem", description: "Why a request was not done (RFC 9457)." });
export type Problem = z.infer<typeof Problem>;

/** Thrown by a handler: answered as problem details. */
export class HttpProblem extends Error {
  readonly statusCode: number;
  readonly reason: Reason | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    statusCode: number,
    detail: string,
    {
      reason,
      headers = {},
      cause,
    }: { reason?: Reason; headers?: Readonly<Record<string, string>>; cause?: unknown } = {},
  ) {
    super(detail, { cause });
    this.name = "HttpProblem";
    this.statusCode = statusCode;
    this.reason = reason;
    this.headers = headers;
  }
}

/** A problem of which the status says all that there is to say in general. */
export function aboutBlank(status: number, detail: string): Omit<Problem, "instance"> {
  return { type: "about:blank", title: STATUS_CODES[status] ?? "Error", status, detail };
}
