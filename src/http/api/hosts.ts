import type { ApiServer } from "../api-server.ts";
import { NOT_MODIFIED } from "../files/schemas.ts";
import { HttpProblem } from "../problem.ts";
import { Host, HostList, HostQuery } from "../schemas/host.ts";
import { HostPath } from "../schemas/lists.ts";
import { NAMED_PROBLEMS } from "../schemas/problems.ts";
import type { PublicServerOptions } from "../site.ts";
import { hostText } from "../views/item-texts.ts";
import { sendList } from "../views/lists.ts";
import { hostMatcher } from "../views/matching.ts";
import { repoNamed, reposUpToDate } from "../views/repos.ts";
import { watchHosts } from "../watch/watch.ts";
import { watchable } from "../watch/watchable.ts";

/** Named to whom asks for an address at which there are several. */
const NAMED = 10;

export function hostRoutes(server: ApiServer, { site }: PublicServerOptions): void {
  server.get(
    "/api/v1/hosts",
    {
      config: { needs: { verb: "list", resource: "confighosts" } },
      schema: {
        operationId: "listHosts",
        summary: "Hosts, by repo, address and port",
        description:
          "With `mod`, `env` or `app` those with such an app, and `state` is of that app there; without, it is the host's.",
        tags: ["hosts"],
        querystring: HostQuery,
        response: { 200: watchable(HostList), 304: NOT_MODIFIED, ...NAMED_PROBLEMS },
      },
    },
    async (request, reply) => {
      const { query } = request;
      const matches = hostMatcher(query);
      if (query.repo !== undefined) repoNamed(site, query.repo);
      if (query.watch) return await watchHosts(reply, matches);
      const repos = await reposUpToDate(site, query.repo);
      const entriesOf = ({ reports }: (typeof repos)[number]) => reports.hosts;
      return await sendList(request, reply, { of: "hosts", query, repos, entriesOf, matches, textOf: hostText });
    },
  );
  server.get(
    "/api/v1/hosts/:repo/:host",
    {
      config: { needs: { verb: "get", resource: "confighosts" } },
      schema: {
        operationId: "getHost",
        summary: "One host with all its apps, and what somebody else changed there",
        tags: ["hosts"],
        params: HostPath,
        response: { 200: Host, 304: NOT_MODIFIED, ...NAMED_PROBLEMS },
      },
    },
    async (request, reply) => {
      const { params } = request;
      const [repo] = await reposUpToDate(site, params.repo);
      const [found, ...others] = repo!.reports.hostsNamed(params.host);
      if (others.length === 0) return await server.sharedAnswers.sendSmall(request, reply, hostText(found!.item));
      const keys = [found!, ...others].slice(0, NAMED).map(({ key }) => key);
      throw new HttpProblem(400, `${others.length + 1} hosts at ${params.host}, name one: ${keys.join(", ")}`);
    },
  );
}
