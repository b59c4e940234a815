import type { FastifyInstance } from "fastify";
import type { PlanReport } from "../../plan/plan-report.ts";
import type { Desk } from "../../reconcile/controller.ts";
import type { Named } from "../../reconcile/selection.ts";
import { answerInLines } from "../json-lines.ts";

const names = { type: "array", items: { type: "string" } } as const;

const body = {
  type: "object",
  additionalProperties: false,
  required: ["apps", "hosts"],
  properties: { apps: names, hosts: names },
} as const;

export function planRoute(server: FastifyInstance, desk: Desk): void {
  server.post<{ Body: Named }>("/plan", { schema: { body } }, (request, reply) =>
    answerInLines<never, PlanReport>(request, reply, (_, signal) => desk.plan(request.body, signal)),
  );
}
