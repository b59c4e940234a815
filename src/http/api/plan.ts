import type { FastifyReply } from "fastify";
import { appKey } from "../../model/app.ts";
import type { PlanReport } from "../../plan/plan-report.ts";
import type { Named } from "../../reconcile/selection.ts";
import type { ApiServer } from "../api-server.ts";
import { giveUpSignal } from "../graceful-close.ts";
import { AppPath, HostPath } from "../schemas/lists.ts";
import { Plan, PlanQuery } from "../schemas/plan.ts";
import { NAMED_PROBLEMS } from "../schemas/problems.ts";
import { deskOf, type PublicServerOptions } from "../site.ts";
import { opened } from "../views/item-texts.ts";
import { repoNamed } from "../views/repos.ts";
import { commaSeparated, textInTurns } from "../views/text-in-turns.ts";

export function planRoutes(server: ApiServer, { site, clock }: PublicServerOptions): void {
  const common = { querystring: PlanQuery, response: { 200: Plan, ...NAMED_PROBLEMS } };
  const answer = async (reply: FastifyReply, named: Named, refresh: boolean | undefined) => {
    repoNamed(site, named.scope!.repo!);
    const { controller } = deskOf(site);
    const plan = await (refresh ? controller.plan(named, giveUpSignal(reply)) : controller.planKnown(named));
    return await server.sharedAnswers.sendText(reply, await textInTurns(planPieces(plan), clock));
  };
  server.get(
    "/api/v1/apps/:repo/:mod/:env/:app/plan",
    {
      config: { needs: { verb: "get", resource: "configapps" }, rate: "costly" },
      schema: {
        ...common,
        operationId: "planApp",
        summary: "What a sync of an app would send and delete where",
        tags: ["apps"],
        params: AppPath,
      },
    },
    ({ params, query }, reply) => {
      const named = { apps: [appKey(params)], hosts: [], scope: { repo: params.repo } };
      return answer(reply, named, query.refresh);
    },
  );
  server.get(
    "/api/v1/hosts/:repo/:host/plan",
    {
      config: { needs: { verb: "get", resource: "confighosts" }, rate: "costly" },
      schema: {
        ...common,
        operationId: "planHost",
        summary: "What a sync of a host would send and delete there",
        tags: ["hosts"],
        params: HostPath,
      },
    },
    ({ params, query }, reply) => {
      const named = { apps: [], hosts: [params.host], scope: { repo: params.repo } };
      return answer(reply, named, query.refresh);
    },
  );
}

/** Each host for itself: an app may be on many. */
function* planPieces({ repos }: PlanReport): Iterable<string> {
  yield `{"repos":[`;
  for (const [at, { hosts, ...repo }] of repos.entries()) {
    yield `${at > 0 ? "," : ""}${opened(repo)},"hosts":[`;
    yield* commaSeparated(hosts, (host) => JSON.stringify(host));
    yield "]}";
  }
  yield "]}";
}
