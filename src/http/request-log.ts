import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { ApiServer } from "./api-server.ts";
import { codeOf } from "./measure.ts";

const WELL_FORMED = /^[\w.:/+=@-]{1,128}$/;

/** The id that a client or a proxy gave the request, where it can do no harm in a log; else one of our own. */
export function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers["x-request-id"];
  return typeof given === "string" && WELL_FORMED.test(given) ? given : randomUUID();
}

/**
 * One line of the log for each request, and its id in the answer. Of the request only what nobody keeps
 * secret is logged: no header, and no query.
 */
export function logRequests(server: ApiServer): void {
  server.addHook("onRequest", (request, reply, done) => {
    const { raw } = reply;
    // On the raw answer: hijacked ones have it too.
    raw.setHeader("x-request-id", request.id);
    raw.setHeader("x-content-type-options", "nosniff");
    const began = performance.now();
    raw.once("close", () => {
      const { method, ip, caller } = request;
      const milliseconds = Math.round(performance.now() - began);
      const left = !raw.writableFinished;
      const facts = { method, path: pathOf(request.url), status: codeOf(reply), milliseconds, from: ip };
      request.log.debug({ ...facts, ...(caller && { who: caller.name }), ...(left && { left }) }, "request");
    });
    done();
  });
}

export function pathOf(url: string): string {
  return url.split("?", 1)[0]!;
}
