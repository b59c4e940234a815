import { z } from "zod";
import type { ApiServer } from "../api-server.ts";
import { Problem } from "../problem.ts";
import { deskOf, type PublicServerOptions } from "../site.ts";

const Repo = z
  .object({
    name: z.string(),
    revision: z.string().nullable().describe("`branch@sha1:commit`; null before Git was read for the first time."),
    suspended: z.boolean(),
  })
  .meta({ id: "Repo", description: "One Git repo and its hosts." });

export function repoRoutes(server: ApiServer, { site }: PublicServerOptions): void {
  server.get(
    "/api/v1/repos",
    {
      config: { needs: { verb: "list", resource: "configrepos" } },
      schema: {
        operationId: "listRepos",
        summary: "The repos that this controller works on",
        tags: ["repos"],
        response: { 200: z.object({ items: z.array(Repo) }), 503: Problem },
      },
    },
    () => ({
      items: deskOf(site).controller.repos.map(({ repo, fleet, suspension }) => ({
        name: repo,
        revision: fleet.revision,
        suspended: suspension.now.repo,
      })),
    }),
  );
}
