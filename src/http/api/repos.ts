import { isoTime, reportProblem } from "../../plan/status-report.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import type { ApiServer } from "../api-server.ts";
import { NOT_MODIFIED } from "../files/schemas.ts";
import { RepoPath } from "../schemas/lists.ts";
import { NAMED_PROBLEMS, PROBLEMS } from "../schemas/problems.ts";
import { Repo, RepoList, RepoQuery } from "../schemas/repo.ts";
import type { PublicServerOptions } from "../site.ts";
import { partOf, placeOf } from "../views/paging.ts";
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
        querystring: RepoQuery,
        response: { 200: RepoList, 304: NOT_MODIFIED, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { limit, cursor } = request.query;
      const after = placeOf("repos", cursor);
      const repos = await reposUpToDate(site);
      const listed = repos.map((repo) => ({ repo: repo.repo, entries: [{ order: "", repo }] }));
      const { entries, ...next } = partOf(listed, { of: "repos", after, limit, matches: () => true });
      const text = JSON.stringify({ items: entries.map(({ repo }) => repoItem(repo)), ...next });
      return await server.sharedAnswers.sendSmall(request, reply, text);
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
        response: { 200: Repo, 304: NOT_MODIFIED, ...NAMED_PROBLEMS },
      },
    },
    async (request, reply) => {
      const [repo] = await reposUpToDate(site, request.params.repo);
      return await server.sharedAnswers.sendSmall(request, reply, JSON.stringify(repoItem(repo!)));
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
