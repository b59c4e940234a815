import { appKey } from "../../model/app.ts";
import type { ApiServer } from "../api-server.ts";
import { History, HistoryQuery } from "../schemas/history.ts";
import { AppPath } from "../schemas/lists.ts";
import { NAMED_PROBLEMS } from "../schemas/problems.ts";
import type { PublicServerOptions } from "../site.ts";
import { appHistory } from "../views/history.ts";
import { reposUpToDate } from "../views/repos.ts";

export function historyRoutes(server: ApiServer, { site }: PublicServerOptions): void {
  server.get(
    "/api/v1/apps/:repo/:mod/:env/:app/history",
    {
      config: { needs: { verb: "get", resource: "configapps" }, rate: "costly" },
      schema: {
        operationId: "getAppHistory",
        summary: "The commits that changed an app, the newest first",
        description:
          "Of the branch as it was when it was read last: commits that changed the app's folder, its overlay, or .gitattributes above them.",
        tags: ["apps"],
        params: AppPath,
        querystring: HistoryQuery,
        response: { 200: History, ...NAMED_PROBLEMS },
      },
    },
    async ({ params, query }) => {
      const [repo] = await reposUpToDate(site, params.repo);
      // Only names that are known reach Git.
      const { key } = repo!.reports.app(appKey(params));
      return { items: await appHistory(repo!, key, query.limit) };
    },
  );
}
