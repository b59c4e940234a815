import type { IncomingHttpHeaders } from "node:http";

/** On requests that a follower passes on: they are not passed on again. */
export const FORWARDED = "x-fssync-forwarded";

/** RFC 9110, 7.6.1: about one connection, not about the message. */
const OF_THE_CONNECTION = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];
/** `host` is the leader's own; `expect` was answered. Of which site a page is was looked at by the follower. */
const OF_THE_FOLLOWER = [
  "host",
  "expect",
  "origin",
  "sec-fetch-site",
  "sec-fetch-mode",
  "sec-fetch-dest",
  "sec-fetch-user",
];

type Headers = Record<string, string | string[]>;

/** What of a client's headers the leader gets. */
export function requestHeaders(headers: IncomingHttpHeaders, requestId: string): Headers {
  const kept = without(headers, OF_THE_FOLLOWER);
  return { ...kept, "x-request-id": requestId, [FORWARDED]: "1" };
}

/** What of the leader's headers the client gets. */
export function answerHeaders(headers: IncomingHttpHeaders): Headers {
  return without(headers, []);
}

function without(headers: IncomingHttpHeaders, names: readonly string[]): Headers {
  const named = (headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase());
  const dropped = new Set([...OF_THE_CONNECTION, ...names, ...named]);
  const kept = Object.entries(headers).filter(([name, value]) => value !== undefined && !dropped.has(name));
  return Object.fromEntries(kept) as Headers;
}
