import type { FastifyReply } from "fastify";
import type { RecentEvent } from "../../reconcile/recent-events.ts";
import type { AppItem, HostItem } from "../../reconcile/report-items.ts";
import type { ApiServer } from "../api-server.ts";
import type { PublicServerOptions } from "../site.ts";
import { Watches } from "./watches.ts";

declare module "fastify" {
  interface FastifyInstance {
    readonly watches: Watches;
  }
}

/** Before the routes that answer with streams; after `server.closing` and `server.admitsStill` are there. */
export function serveWatches(server: ApiServer, { site, clock, log }: PublicServerOptions): void {
  const { closing, admitsStill: admits } = server;
  server.decorate("watches", new Watches({ site, clock, log, closing, admits }));
}

// Each answers with server-sent events: `added` for each item that matches, `synced`, then `added`, `modified` and
// `deleted` as they change, until somebody ends it. What a client knew of an earlier stream it must forget at the
// beginning of a new one. Throws 503 when there are too many watchers, or this process does not lead.

export function watchApps(reply: FastifyReply, matches: (app: AppItem) => boolean): Promise<void> {
  return reply.server.watches.apps(reply, matches);
}

export function watchHosts(reply: FastifyReply, matches: (host: HostItem) => boolean): Promise<void> {
  return reply.server.watches.hosts(reply, matches);
}

/** An event that is pushed out by newer ones is not told as deleted. */
export function watchEvents(reply: FastifyReply, matches: (event: RecentEvent) => boolean): Promise<void> {
  return reply.server.watches.events(reply, matches);
}
