import type { FastifyInstance } from "fastify";
import type { Desk, PassResult, SyncProgress, SyncRequest } from "../../reconcile/controller.ts";
import { answerInLines } from "../json-lines.ts";

const names = { type: "array", items: { type: "string" } } as const;

const body = {
  type: "object",
  additionalProperties: false,
  required: ["apps", "hosts", "full", "allowPrune"],
  properties: { apps: names, hosts: names, full: { type: "boolean" }, allowPrune: { type: "boolean" } },
} as const;

export function syncRoute(server: FastifyInstance, desk: Desk): void {
  server.post<{ Body: SyncRequest }>("/sync", { schema: { body } }, (request, reply) =>
    answerInLines<SyncProgress, PassResult>(request, reply, (send, signal) => desk.sync(request.body, send, signal)),
  );
}
