import { appKey } from "../../model/app.ts";
import type { ApiServer } from "../api-server.ts";
import { NOT_MODIFIED } from "../files/schemas.ts";
import { App, AppList, AppQuery } from "../schemas/app.ts";
import { AppPath } from "../schemas/lists.ts";
import { NAMED_PROBLEMS } from "../schemas/problems.ts";
import type { PublicServerOptions } from "../site.ts";
import { appText } from "../views/item-texts.ts";
import { sendList } from "../views/lists.ts";
import { appMatcher, appsAt } from "../views/matching.ts";
import { repoNamed, reposUpToDate } from "../views/repos.ts";
import { watchApps } from "../watch/watch.ts";
import { watchable } from "../watch/watchable.ts";

export function appRoutes(server: ApiServer, { site }: PublicServerOptions): void {
  server.get(
    "/api/v1/apps",
    {
      config: { needs: { verb: "list", resource: "configapps" } },
      schema: {
        operationId: "listApps",
        summary: "Apps, by repo and name",
        tags: ["apps"],
        querystring: AppQuery,
        response: { 200: watchable(AppList), 304: NOT_MODIFIED, ...NAMED_PROBLEMS },
      },
    },
    async (request, reply) => {
      const { query } = request;
      const matches = appMatcher(query);
      if (query.repo !== undefined) repoNamed(site, query.repo);
      if (query.watch) return await watchApps(reply, matches);
      const repos = await reposUpToDate(site, query.repo);
      const entriesOf = appsAt(query.address);
      return await sendList(request, reply, { of: "apps", query, repos, entriesOf, matches, textOf: appText });
    },
  );
  server.get(
    "/api/v1/apps/:repo/:mod/:env/:app",
    {
      config: { needs: { verb: "get", resource: "configapps" } },
      schema: {
        operationId: "getApp",
        summary: "One app",
        tags: ["apps"],
        params: AppPath,
        response: { 200: App, 304: NOT_MODIFIED, ...NAMED_PROBLEMS },
      },
    },
    async (request, reply) => {
      const [repo] = await reposUpToDate(site, request.params.repo);
      const { item } = repo!.reports.app(appKey(request.params));
      return await server.sharedAnswers.sendSmall(request, reply, appText(item));
    },
  );
}
