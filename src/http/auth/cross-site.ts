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
