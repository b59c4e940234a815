import { PassThrough, Transform, type Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Dispatcher } from "undici";
import type { Clock } from "../../ports/clock.ts";
import type { ApiServer } from "../api-server.ts";
import type { CertificateFiles } from "../certificate-files.ts";
import { HttpProblem } from "../problem.ts";
import type { Site } from "../site.ts";
import { answerHeaders, FORWARDED, requestHeaders } from "./headers.ts";
import { LeaderLink, NotReached } from "./leader-link.ts";

export interface ForwardOptions {
  readonly site: Pick<Site, "desk" | "leaderApi">;
  readonly tls?: CertificateFiles;
  readonly clock: Clock;
}

/**
 * A process that follows knows nothing of hosts: what it is asked it passes on to the one that leads, bodies as they
 * come, and the answer as it comes. It has found out who asks, and the leader does so again.
 */
export function forwardToLeader(server: ApiServer, { site, tls, clock }: ForwardOptions): void {
  const { leaderApi } = site;
  if (!leaderApi) return;
  const link = new LeaderLink({ leaderApi, certificate: () => tls?.current.cert, clock });
  server.addHook("onClose", () => link[Symbol.asyncDispose]());
  server.addHook("onRequest", async (request, reply) => {
    const url = leaderApi();
    // Without a leader that is known, or when whoever passed it on was wrong, the handler says that nobody leads.
    if (site.desk() || url === undefined || !isForLeader(request) || request.headers[FORWARDED]) return;
    noteForward(request, url);
    const answer = await ask(link, url, request, reply);
    if (!answer) return reply.hijack();
    reply.code(answer.statusCode).headers(answerHeaders(answer.headers));
    return await reply.send(endedOnClosing(answer, server.closing));
  });
}

/** Health, metrics and the description of the API are each process' own. */
function isForLeader({ routeOptions: { config, url = "" } }: FastifyRequest): boolean {
  return config.needs !== undefined && (config.needs !== "open" || url.startsWith("/hooks/"));
}

/** The leader's own line says what was done, and has this address as where it came from; both have the request's id. */
function noteForward(request: FastifyRequest, leader: string): void {
  const { caller, ip, method, routeOptions } = request;
  const needs = routeOptions.config.needs;
  const changes = needs === "open" || needs?.verb === "update" || !["GET", "HEAD"].includes(method);
  const facts = { who: caller?.name ?? "nobody", from: ip, method, route: routeOptions.url, leader };
  if (changes) request.log.info({ event: "ApiForwarded", ...facts }, "API call passed on to the leader");
}

/** The leader's answer; undefined when the client has left. */
async function ask(
  link: LeaderLink,
  url: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<Dispatcher.ResponseData | undefined> {
  const left = new AbortController();
  reply.raw.once("close", () => left.abort());
  const body = bodyOf(request);
  try {
    return await link.ask(
      url,
      {
        method: request.method,
        path: request.raw.url!,
        headers: requestHeaders(request.headers, request.id),
        body,
      },
      left.signal,
    );
  } catch (error) {
    if (left.signal.aborted) return undefined;
    if (body?.errored instanceof HttpProblem) throw body.errored;
    throw unanswered(error);
  }
}

/** The body as it comes, up to what the route takes; a stream of its own, so that its end is not the client's connection's. */
function bodyOf({ raw, headers, routeOptions: { bodyLimit } }: FastifyRequest): Readable | null {
  const length = Number(headers["content-length"] ?? 0);
  if (length > bodyLimit) throw tooLarge(bodyLimit);
  if (length === 0 && headers["transfer-encoding"] === undefined) return null;
  let size = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _, done) {
      size += chunk.length;
      if (size > bodyLimit) done(tooLarge(bodyLimit));
      else done(null, chunk);
    },
  });
  raw.once("error", (error) => counted.destroy(error));
  return raw.pipe(counted);
}

function tooLarge(limit: number): HttpProblem {
  return new HttpProblem(413, `the body is larger than ${limit} bytes`);
}

function unanswered(error: unknown): HttpProblem {
  const about = { reason: "ControllerLost", cause: error } as const;
  if (error instanceof NotReached)
    return new HttpProblem(503, "the process that leads cannot be reached now", {
      ...about,
      headers: { "retry-after": "5" },
    });
  // It may have done what it was asked, so nothing is sent again.
  return new HttpProblem(502, "the process that leads went away before it answered", about);
}

/** A watch ends when this server closes, as the leader's own watches do; all else may end by itself. */
function endedOnClosing({ body, headers }: Dispatcher.ResponseData, closing: AbortSignal): Readable {
  if (!String(headers["content-type"]).startsWith("text/event-stream")) return body;
  const through = new PassThrough();
  const end = () => {
    body.unpipe(through);
    through.end();
    body.destroy();
  };
  closing.addEventListener("abort", end, { once: true });
  body.once("error", (error) => through.destroy(error));
  through.once("close", () => {
    closing.removeEventListener("abort", end);
    body.destroy();
  });
  return body.pipe(through);
}
