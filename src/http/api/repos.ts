import { z } from "zod";
import type { ApiServer } from "../api-server.ts";
import { HttpProblem, Problem } from "../problem.ts";
import type { Site, SiteDesk } from "../site.ts";

const Repo = z
  .object({
    name: z.string(),
    revision: z.string().nullable().describe("`branch@sha1:commit`; null before Git was read for the first time."),
    suspended: z.boolean(),
  })
  .meta({ id: "Repo", description: "One Git repo and its hosts." });

export function repoRoutes(server: ApiServer, site: Site): void {
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

/** Throws 503 while another process leads. */
export function deskOf(site: Site): SiteDesk {
  const desk = site.desk();
  if (desk) return desk;
  throw new HttpProblem(503, "this process does not lead, and nobody that does is known", {
    headers: { "retry-after": "5" },
  });
}
