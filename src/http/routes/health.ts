import type { FastifyInstance } from "fastify";

const open = { config: { needs: "open" }, schema: { hide: true } } as const;

/** `/healthz`: the process answers. `/readyz`: it has started and is not about to stop. */
export function healthRoutes(server: FastifyInstance, notReady: () => string | null): void {
  server.get("/healthz", open, (_, reply) => reply.type("text/plain").send("ok\n"));
  server.get("/readyz", open, (_, reply) => {
    const reason = notReady();
    return reply
      .code(reason === null ? 200 : 503)
      .type("text/plain")
      .send(`${reason ?? "ok"}\n`);
  });
}
