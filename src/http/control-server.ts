import { rm } from "node:fs/promises";
import type { FastifyInstance } from "fastify";
import type { Desk } from "../reconcile/controller.ts";
import { planRoute } from "./routes/plan.ts";
import { syncRoute } from "./routes/sync.ts";
import { verifyRoute } from "./routes/verify.ts";
import { bareServer } from "./server.ts";

/**
 * How `fssync sync`, `verify` and `plan` reach the controller that works on their data dir: HTTP on a
 * Unix socket in a folder that only its owner may enter. Answers are JSON lines: progress, then
 * `{"result": …}` or `{"error": {"reason", "message"}}`.
 */
export async function startControlServer(desk: Desk, socket: string): Promise<FastifyInstance> {
  const server = bareServer();
  // An answer may be silent for as long as its slowest host.
  server.server.setTimeout(0);
  syncRoute(server, desk);
  verifyRoute(server, desk);
  planRoute(server, desk);
  // Left by a killed process; whoever holds the data dir's lock owns the socket.
  await rm(socket, { force: true });
  await server.listen({ path: socket });
  return server;
}
