import type { IncomingHttpHeaders } from "node:http";
import type { FastifyRequest } from "fastify";
import { HttpProblem } from "../problem.ts";
import { isLoopback } from "./loopback.ts";

/**
 * Throws 403 for what a page of another site has a browser send here: the browser may be logged in, or on the machine
 * whose loopback address this is. Programs send none of these headers.
 */
export function refuseOtherSites({ headers }: FastifyRequest): void {
  const { origin, host } = headers;
  const site = headers["sec-fetch-site"];
  if (site === "same-origin" || site === "none") return;
  if (site === undefined && (origin === undefined || hostOf(origin) === host)) return;
  throw new HttpProblem(403, `a page of another site (${origin ?? String(site)}) may not do this`);
}

/**
 * Throws 403 for what a page may have had a browser send in the name of somebody who did not have to show a Bearer token:
 * of a name that resolves here now, it is of the same site. Over plain http browsers say little of where a page is from.
 */
export function refuseBrowsers({ headers }: FastifyRequest, changes: boolean): void {
  if (!(changes ? isOfBrowser(headers) : isOfPage(headers))) return;
  throw new HttpProblem(403, "a browser may not do this without a token of its own: use Authorization: Bearer TOKEN");
}

/** Programs send none of these; of Sec-Fetch-Mode that is not so, which Node's fetch sends. */
function isOfBrowser({ origin, referer, "user-agent": agent, ...headers }: IncomingHttpHeaders): boolean {
  const fetches = ["sec-fetch-site", "sec-fetch-dest", "sec-fetch-user"].some((name) => headers[name] !== undefined);
  return fetches || origin !== undefined || referer !== undefined || /^Mozilla\//i.test(agent ?? "");
}

/** A page's, and not what somebody typed the address of. */
function isOfPage({ origin, "sec-fetch-site": site }: IncomingHttpHeaders): boolean {
  return origin !== undefined || (site !== undefined && site !== "same-origin" && site !== "none");
}

/**
 * Throws 403 unless the Host header names this machine: a page may have its own name resolve to 127.0.0.1, and would
 * then be of the same site.
 */
export function refuseOtherNames({ headers: { host } }: FastifyRequest): void {
  // HTTP/1.0 has none, and no browser speaks it.
  if (host === undefined || isLoopback(hostnameOf(host))) return;
  throw new HttpProblem(
    403,
    `${host} is no name of a loopback address, and without authentication this server answers to those alone; ` +
      "use 127.0.0.1 or localhost",
  );
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

function hostnameOf(host: string): string {
  return host.replace(/:\d*$/, "");
}
