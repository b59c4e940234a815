import type { FastifyReply, FastifyRequest } from "fastify";
import type { HttpTelemetry } from "../ports/http-telemetry.ts";
import type { ApiServer } from "./api-server.ts";

/** As nginx says it: the client has closed the connection before it was answered. */
const CLIENT_LEFT = 499;

/** Counts connections, and answers by route. */
export function measureRequests(server: ApiServer, telemetry: HttpTelemetry): void {
  server.server.on("connection", (socket) => {
    telemetry.connected();
    socket.once("close", () => telemetry.disconnected());
  });
  server.addHook("onRequest", (request, reply, done) => {
    const began = performance.now();
    reply.raw.once("close", () => {
      const seconds = isStream(reply) ? null : (performance.now() - began) / 1000;
      telemetry.answered({ method: request.method, route: routeOf(request), code: codeOf(reply), seconds });
    });
    done();
  });
}

/** What was answered, for log and metrics alike; once the answer is over. */
export function codeOf({ raw }: FastifyReply): number {
  return raw.headersSent ? raw.statusCode : CLIENT_LEFT;
}

function routeOf(request: FastifyRequest): string {
  return request.routeOptions.url ?? "none";
}

function isStream({ raw }: FastifyReply): boolean {
  return String(raw.getHeader("content-type")).startsWith("text/event-stream");
}
