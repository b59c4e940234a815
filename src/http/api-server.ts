import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyReply,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import type { Action, Caller } from "../ports/access.ts";

/** Fastify that types handlers by their zod schemas. */
export type ApiServer = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** The reply of a route that sends bytes: schemas know what JSON is made of, and nothing else. */
export function forBytes(reply: object): FastifyReply {
  return reply as FastifyReply;
}

/**
 * What a route asks of its caller. `open`: everybody, and the handler answers for it (health, metrics, hooks
 * with signatures). `compat`: as the predecessor did where `--compat-anonymous` is given, else by the action.
 */
export type Needs = "open" | Omit<Action, "repo" | "subresource">;

declare module "fastify" {
  interface FastifyContextConfig {
    /** A server does not start with a route that does not say it. */
    needs?: Needs;
    compat?: true;
  }
  interface FastifyRequest {
    /** Set before every handler of a route that is not open. */
    caller: Caller;
  }
}
