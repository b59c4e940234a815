import swagger from "@fastify/swagger";
import Fastify, { type FastifyInstance, type FastifyServerOptions } from "fastify";
import { jsonSchemaTransform, jsonSchemaTransformObject, validatorCompiler } from "fastify-type-provider-zod";
import type { Logger } from "pino";
import type { Access } from "../ports/access.ts";
import type { ApiServer } from "./api-server.ts";
import { repoRoutes } from "./api/repos.ts";
import { requireNeeds } from "./auth/guard.ts";
import { answerProblems } from "./problems.ts";
import { healthRoutes } from "./routes/health.ts";
import { metricsRoute } from "./routes/metrics.ts";
import type { Site } from "./site.ts";

export interface PublicServerOptions {
  readonly site: Site;
  /** Null: nobody is asked who they are; the server is for this machine only then. */
  readonly access: Access | null;
  /** Serves the predecessor's endpoints too; `anonymous` to whoever reaches the address. */
  readonly compat?: { readonly anonymous: boolean };
  /** Whether `/metrics` has an address of its own. */
  readonly metricsElsewhere: boolean;
  readonly log: Logger;
}

/** Everything that is served over the network. It listens when `listen` is called. */
export async function publicServer(options: PublicServerOptions): Promise<ApiServer> {
  const { site, metricsElsewhere, log } = options;
  const server = bareServer({ loggerInstance: log }) as unknown as ApiServer;
  server.setValidatorCompiler(validatorCompiler);
  // Answers are what their types say; the tests hold them against the schemas.
  server.setSerializerCompiler(() => JSON.stringify);
  answerProblems(server);
  requireNeeds(server, options);
  await server.register(swagger, {
    openapi: { openapi: "3.1.0", info: { title: "fssync", version: site.version } },
    transform: jsonSchemaTransform,
    transformObject: jsonSchemaTransformObject,
  });
  healthRoutes(server, site.notReady);
  if (!metricsElsewhere) metricsRoute(server, site.metrics);
  repoRoutes(server, site);
  server.get("/openapi.json", { config: { needs: "open" }, schema: { hide: true } }, () => server.swagger());
  return server;
}

/** `/metrics`, `/healthz` and `/readyz` alone, for an address of their own. */
export function metricsServer({ metrics, notReady }: Pick<Site, "metrics" | "notReady">): FastifyInstance {
  const server = bareServer();
  healthRoutes(server, notReady);
  metricsRoute(server, metrics);
  return server;
}

/** Fastify with the limits that every server of ours has. */
export function bareServer(options: FastifyServerOptions = {}): FastifyInstance {
  return Fastify({
    bodyLimit: 1024 * 1024,
    connectionTimeout: 30_000,
    requestTimeout: 30_000,
    keepAliveTimeout: 75_000,
    forceCloseConnections: true,
    ...options,
  });
}
