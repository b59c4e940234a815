import { z } from "zod";
import { isoTime, reportProblem } from "../../plan/status-report.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import type { ApiServer } from "../api-server.ts";
import { RepoPath } from "../schemas/lists.ts";
import { NAMED_PROBLEMS, PROBLEMS } from "../schemas/problems.ts";
import { Repo } from "../schemas/repo.ts";
import type { PublicServerOptions } from "../site.ts";
import { reposUpToDate } from "../views/repos.ts";

export function repoRoutes(server: ApiServer, { site }: PublicServerOptions): void {
  server.get(
    "/api/v1/repos",
    {
      config: { needs: { verb: "list", resource: "configrepos" } },
      schema: {
        operationId: "listRepos",
        summary: "The repos that this controller works on",
        tags: ["repos"],
        response: { 200: z.object({ items: z.array(Repo) }).meta({ id: "RepoList" }), ...PROBLEMS },
      },
    },
    async (_, reply) => {
      const repos = await reposUpToDate(site);
      return await server.sharedAnswers.sendText(reply, JSON.stringify({ items: repos.map(repoItem) }));
    },
  );
  server.get(
    "/api/v1/repos/:repo",
    {
      config: { needs: { verb: "get", resource: "configrepos" } },
      schema: {
        operationId: "getRepo",
        summary: "One repo",
        tags: ["repos"],
        params: RepoPath,
        response: { 200: Repo, ...NAMED_PROBLEMS },
      },
    },
    async ({ params }, reply) => {
      const [repo] = await reposUpToDate(site, params.repo);
      return await server.sharedAnswers.sendText(reply, JSON.stringify(repoItem(repo!)));
    },
  );
}

function repoItem({ repo, fleet, suspension, fetchedAt, problems, reports }: RepoController): Repo {
  return {
    name: repo,
    revision: fleet.revision,
    suspended: suspension.now.repo,
    ...(fetchedAt === null ? {} : { fetchedAt: isoTime(fetchedAt) }),
    problems: problems.map(reportProblem),
    ...reports.counts,
  };
}
