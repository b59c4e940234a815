import Fastify, { type FastifyInstance } from "fastify";
import { asFssyncError, FssyncError } from "../model/errors.ts";
import { healthRoutes } from "./routes/health.ts";
import { metricsRoute } from "./routes/metrics.ts";

export interface PublicServerOptions {
  /** Prometheus' text format. */
  readonly metrics: () => Promise<string>;
  /** Why the process is not ready; null when it is. */
  readonly notReady: () => string | null;
}

/** `/healthz`, `/readyz` and `/metrics`. It listens when `listen` is called. */
export function publicServer({ metrics, notReady }: PublicServerOptions): FastifyInstance {
  const server = bareServer();
  healthRoutes(server, notReady);
  metricsRoute(server, metrics);
  return server;
}

/** Fastify with the limits that every server of ours has. */
export function bareServer(): FastifyInstance {
  return Fastify({
    bodyLimit: 1024 * 1024,
    connectionTimeout: 30_000,
    requestTimeout: 30_000,
    keepAliveTimeout: 75_000,
    forceCloseConnections: true,
  });
}

/** Listens on `address:port`, `[::1]:port` or `:port` (all addresses). Throws InvalidSpec when that cannot be. */
export async function listen(server: FastifyInstance, listenOn: string): Promise<string> {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(listenOn);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) {
    throw new FssyncError("InvalidSpec", `--listen ${listenOn}: expected ADDRESS:PORT, for example 127.0.0.1:8080`);
  }
  try {
    const host = match[1] ?? match[2];
    return host ? await server.listen({ host, port }) : await listenOnAll(server, port);
  } catch (error) {
    const { message } = asFssyncError(error);
    throw new FssyncError("InvalidSpec", `--listen ${listenOn}: cannot listen there: ${message}`, { cause: error });
  }
}

/** A kernel without IPv6 has no `::`. */
async function listenOnAll(server: FastifyInstance, port: number): Promise<string> {
  try {
    return await server.listen({ host: "::", port });
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"].includes(code)) throw error;
    return await server.listen({ host: "0.0.0.0", port });
  }
}
