import type { FastifyInstance } from "fastify";
import type { Desk, SyncProgress, VerifyRequest, VerifyResult } from "../../reconcile/controller.ts";
import { answerInLines } from "../json-lines.ts";

const names = { type: "array", items: { type: "string" } } as const;

const body = {
  type: "object",
  additionalProperties: false,
  required: ["apps", "hosts", "contents"],
  properties: { apps: names, hosts: names, contents: { type: "boolean" } },
} as const;

export function verifyRoute(server: FastifyInstance, desk: Desk): void {
  server.post<{ Body: VerifyRequest }>("/verify", { schema: { body } }, (request, reply) =>
    answerInLines<SyncProgress, VerifyResult>(request, reply, (send, signal) =>
      desk.verify(request.body, send, signal),
    ),
  );
}
