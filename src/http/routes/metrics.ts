import type { FastifyInstance } from "fastify";

export function metricsRoute(server: FastifyInstance, metrics: () => Promise<string>): void {
  server.get("/metrics", { config: { needs: "open" }, schema: { hide: true } }, async (_, reply) =>
    reply.type("text/plain; version=0.0.4; charset=utf-8").send(await metrics()),
  );
}
