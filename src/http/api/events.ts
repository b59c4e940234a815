import type { ApiServer } from "../api-server.ts";
import { EventList, EventQuery } from "../schemas/event.ts";
import { NAMED_PROBLEMS } from "../schemas/problems.ts";
import { deskOf, type PublicServerOptions } from "../site.ts";
import { eventItem, eventMatcher } from "../views/event-item.ts";
import { repoNamed } from "../views/repos.ts";
import { watchEvents } from "../watch/watch.ts";
import { watchable } from "../watch/watchable.ts";

export function eventRoutes(server: ApiServer, { site }: PublicServerOptions): void {
  server.get(
    "/api/v1/events",
    {
      config: { needs: { verb: "list", resource: "configrepos" } },
      schema: {
        operationId: "listEvents",
        summary: "What happened lately, the newest first",
        tags: ["events"],
        querystring: EventQuery,
        response: { 200: watchable(EventList), ...NAMED_PROBLEMS },
      },
    },
    async (request, reply) => {
      const { limit, watch, ...filter } = request.query;
      if (filter.repo !== undefined) repoNamed(site, filter.repo);
      const matches = eventMatcher(filter);
      if (watch) return await watchEvents(reply, matches);
      const events = deskOf(site).events.list().values().filter(matches).take(limit);
      return { items: events.map(eventItem).toArray() };
    },
  );
}
