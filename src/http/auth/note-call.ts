import type { FastifyRequest } from "fastify";

/** What a line of the log says of a call besides who and from where; `revision` is what it acted on. */
export interface CallFacts {
  readonly repo?: string;
  readonly revision?: string | null;
  readonly [fact: string]: unknown;
}

/**
 * The line of the log that every mutation leaves: `{event: "ApiCall", who, what, from, reqId, …facts}`. Called by its
 * handler when the request is accepted. `what` is a word or two for the audit: `sync`, `suspend`, `modify`.
 * No secrets among the facts: keys of a file, not their values.
 */
export function noteCall(request: FastifyRequest, what: string, facts: CallFacts = {}): void {
  // `request.ip` is the peer's: what `x-forwarded-for` says is not believed. `reqId` is added by request.log.
  const { caller, ip } = request;
  // An open route, as a webhook's, has no caller: it knows by its signature.
  const call = { event: "ApiCall", who: caller?.name ?? "nobody", what, from: ip };
  request.log.info({ ...facts, ...call }, "API call");
}
