import type { FastifyReply } from "fastify";
import type { z } from "zod";
import type { SyncRequest } from "../../reconcile/controller.ts";
import type { Begun } from "../../reconcile/operations.ts";
import type { SyncOperation } from "../../reconcile/sync-operation.ts";
import type { ApiServer } from "../api-server.ts";
import { noteCall } from "../auth/note-call.ts";
import { giveUpSignal } from "../graceful-close.ts";
import { HttpProblem, Problem } from "../problem.ts";
import { filters } from "../schemas/lists.ts";
import {
  Operation,
  OperationList,
  OperationPath,
  OperationQuery,
  SyncBody,
  SyncHeaders,
  WaitQuery,
} from "../schemas/operation.ts";
import { deskOf, type PublicServerOptions, type SiteDesk } from "../site.ts";
import { operationSummary, operationView, syncRequest } from "./operation-view.ts";

/** Hosts named in a line of the log. */
const NAMED = 20;
/** An operation of more hosts costs something to tell. */
const LARGE = 1000;

const OperationsQuery = OperationQuery.extend({ repo: filters.repo.describe("Only those that named this repo.") });

const tags = ["operations"];
const read = { verb: "list", resource: "configrepos" } as const;
const denied = { 400: Problem, 401: Problem, 403: Problem, 503: Problem };

export function syncRoutes(server: ApiServer, { site }: PublicServerOptions): void {
  server.post(
    "/api/v1/sync",
    {
      config: { needs: { verb: "update", resource: "configrepos" }, rate: "costly" },
      schema: {
        operationId: "sync",
        summary: "Sync now",
        description:
          "Asks Git and the inventory, then brings the named hosts forward out of turn, each once. The operation is followed at its Location; with `wait` the answer comes when it is over.",
        tags,
        headers: SyncHeaders,
        querystring: WaitQuery,
        body: SyncBody,
        response: {
          200: Operation.describe("It is over."),
          202: Operation.describe("It runs; Location says where it is followed."),
          ...denied,
          404: Problem,
          410: Problem,
          422: Problem,
          429: Problem,
        },
      },
    },
    async (request, reply) => {
      const desk = deskOf(site);
      const asked = syncRequest(request.body);
      const asker = { by: request.caller.name, key: request.headers["idempotency-key"] };
      const begun = accepted(await desk.operations.begin(asked, asker, giveUpSignal(reply)));
      const { operation, repeated } = begun;
      if (!repeated) noteCall(request, "sync", { operation: operation.id, ...named(asked), ...actsOn(desk, asked) });
      void reply.header("location", `/api/v1/operations/${operation.id}`);
      await desk.operations.wait(operation, request.query.wait ?? 0, giveUpSignal(reply));
      return reply
        .code(operation.finishedAt === null ? 202 : 200)
        .send(operationView(operation, request.query.outcome));
    },
  );

  server.get(
    "/api/v1/operations",
    {
      config: { needs: read },
      schema: {
        operationId: "listOperations",
        summary: "Syncs that were asked for, newest first, without their hosts",
        tags,
        querystring: OperationsQuery,
        response: { 200: OperationList, ...denied },
      },
    },
    (request) => listed(deskOf(site).operations.list(), request.query),
  );

  server.get(
    "/api/v1/operations/:id",
    {
      config: { needs: read },
      schema: {
        operationId: "getOperation",
        summary: "One sync and what became of each host",
        description: "Results come as hosts are attempted; with `wait` the answer comes when it is over.",
        tags,
        params: OperationPath,
        querystring: WaitQuery,
        response: { 200: Operation, ...denied, 404: Problem, 429: Problem },
      },
    },
    ({ params, query }, reply) => follow(deskOf(site), params.id, query, reply),
  );
}

async function follow(
  { operations }: SiteDesk,
  id: string,
  { wait = 0, outcome }: WaitQuery,
  reply: FastifyReply,
): Promise<Operation> {
  const operation = operations.get(id);
  if (!operation) {
    const kept = "they are kept for an hour after their end, by the process that ran them";
    throw new HttpProblem(404, `no operation ${id}: ${kept}`);
  }
  if (operation.size > LARGE) await reply.server.takeTurn(reply.request, "costly");
  await operations.wait(operation, wait, giveUpSignal(reply));
  return operationView(operation, outcome);
}

function accepted(begun: Begun): Extract<Begun, { operation: SyncOperation }> {
  if ("operation" in begun) return begun;
  if (begun.refused === "KeyReused") {
    throw new HttpProblem(422, "this Idempotency-Key was sent with another request within the hour");
  }
  if (begun.refused === "Forgotten") {
    throw new HttpProblem(410, "what this Idempotency-Key stands for is over, and was forgotten; nothing was begun");
  }
  const headers = { "retry-after": "10" };
  throw new HttpProblem(429, "as many syncs run as may at a time; ask again when one is over", { headers });
}

function named({ scope, hosts, full, allowPrune }: SyncRequest) {
  return { ...scope, ...(hosts.length > 0 && { count: hosts.length, hosts: hosts.slice(0, NAMED) }), full, allowPrune };
}

/** The revisions that are known when it is accepted; the operation says what Git had when the hosts were queued. */
function actsOn({ controller }: SiteDesk, { scope = {} }: SyncRequest) {
  const repos = controller.running.filter(({ repo }) => (scope.repo ?? repo) === repo);
  const [only] = repos;
  if (repos.length === 1) return { revision: only!.fleet.revision };
  return { revisions: Object.fromEntries(repos.map(({ repo, fleet }) => [repo, fleet.revision])) };
}

function listed(all: readonly SyncOperation[], { repo, phase, limit, cursor }: z.infer<typeof OperationsQuery>) {
  const rest = cursor === undefined ? all : after(all, cursor);
  // Whoever may ask for one repo need not know of syncs that others had a part in.
  const ofRepo = repo === undefined ? rest : rest.filter(({ request }) => request.scope?.repo === repo);
  const found = ofRepo.filter((operation) => phase?.includes(operation.phase) ?? true);
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return {
    items: items.map(operationSummary),
    ...(last && found.length > limit ? { next: `${last.createdAt}.${last.id}` } : {}),
  };
}

/** Those older than the cursor's, which may be forgotten by now. */
function after(all: readonly SyncOperation[], cursor: string): readonly SyncOperation[] {
  const match = /^(\d{1,16})\.([0-9a-f-]{36})$/.exec(cursor);
  if (!match) throw new HttpProblem(400, "this cursor is none that a list of operations has given");
  const at = all.findIndex(({ id }) => id === match[2]);
  return at >= 0 ? all.slice(at + 1) : all.filter(({ createdAt }) => createdAt < Number(match[1]));
}
