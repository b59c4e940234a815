import type { ServerOptions } from "node:https";
import Fastify, { LogController, type FastifyInstance, type FastifyServerOptions } from "fastify";
import { validatorCompiler } from "fastify-type-provider-zod";
import type { ApiServer } from "./api-server.ts";
import { appRoutes } from "./api/apps.ts";
import { eventRoutes } from "./api/events.ts";
import { historyRoutes } from "./api/history.ts";
import { hostRoutes } from "./api/hosts.ts";
import { planRoutes } from "./api/plan.ts";
import { repoRoutes } from "./api/repos.ts";
import { statusRoute } from "./api/status.ts";
import { suspensionRoutes } from "./api/suspension.ts";
import { syncRoutes } from "./api/sync.ts";
import { requireNeeds } from "./auth/guard.ts";
import { compatRoutes } from "./compat/routes.ts";
import { fileRoutes } from "./files/routes.ts";
import { forwardToLeader } from "./forward/forward.ts";
import { CAPS, capConnections, endStalled, NODE_CAPS, type ConnectionCaps } from "./caps.ts";
import { closeGracefully } from "./graceful-close.ts";
import { hookRoutes } from "./hooks/routes.ts";
import { keepAliveOfKnown } from "./keep-alive.ts";
import { limitLogins, limitRates } from "./limits.ts";
import { answerBadUrl, answerClientErrors } from "./malformed.ts";
import { measureRequests } from "./measure.ts";
import { describeApi } from "./openapi.ts";
import { answerProblems } from "./problems.ts";
import { logRequests, requestIdOf } from "./request-log.ts";
import { serveWatches } from "./watch/watch.ts";
import { healthRoutes } from "./routes/health.ts";
import { metricsRoute } from "./routes/metrics.ts";
import type { PublicServerOptions, Site } from "./site.ts";
import { shareAnswers } from "./views/shared-answers.ts";
import { followCertificate, httpsOptions } from "./tls.ts";

const API = [
  repoRoutes,
  appRoutes,
  hostRoutes,
  statusRoute,
  planRoutes,
  historyRoutes,
  eventRoutes,
  syncRoutes,
  suspensionRoutes,
  fileRoutes,
  hookRoutes,
];

/** Everything that is served over the network. It listens when `listen` is called. */
export async function publicServer(options: PublicServerOptions): Promise<ApiServer> {
  const { site, metricsElsewhere, tls, clock, log } = options;
  const server = bareServer(
    {
      ...(tls && { https: httpsOptions(tls) }),
      loggerInstance: log,
      logController: new LogController({ disableRequestLogging: true }),
      genReqId: requestIdOf,
      frameworkErrors: answerBadUrl,
      clientErrorHandler: answerClientErrors(clock, site.telemetry),
      forceCloseConnections: "idle",
      return503OnClosing: false,
    },
    options.caps,
  ) as unknown as ApiServer;
  if (tls) followCertificate(server, tls, site.telemetry);
  logRequests(server);
  measureRequests(server, site.telemetry);
  endStalled(server);
  closeGracefully(server, clock);
  // JSON alone is taken, but where a route says otherwise.
  server.removeContentTypeParser("text/plain");
  server.setValidatorCompiler(validatorCompiler);
  // Answers are what their types say; the tests hold them against the schemas.
  server.setSerializerCompiler(() => JSON.stringify);
  answerProblems(server);
  await limitLogins(server);
  requireNeeds(server, options);
  keepAliveOfKnown(server);
  limitRates(server);
  forwardToLeader(server, options);
  shareAnswers(server, clock);
  await describeApi(server, site.version);
  serveWatches(server, options);
  healthRoutes(server, site.notReady);
  if (!metricsElsewhere) metricsRoute(server, site.metrics);
  for (const routes of API) routes(server, options);
  if (options.compat) compatRoutes(server, options);
  return server;
}

/** `/metrics`, `/healthz` and `/readyz` alone, for an address of their own. */
export function metricsServer({ metrics, notReady }: Pick<Site, "metrics" | "notReady">): FastifyInstance {
  const server = bareServer();
  healthRoutes(server, notReady);
  metricsRoute(server, metrics);
  return server;
}

/** Fastify with the caps that every server of ours has. */
export function bareServer(
  options: FastifyServerOptions & { readonly https?: ServerOptions } = {},
  caps: ConnectionCaps = {},
): FastifyInstance {
  const server = Fastify({ ...CAPS, http: NODE_CAPS, forceCloseConnections: true, ...options } as FastifyServerOptions);
  capConnections(server.server, caps);
  return server;
}
