import { appId, type AppKey } from "../../model/app.ts";
import { parseHostText } from "../../model/host.ts";
import type { RecentEvent } from "../../reconcile/recent-events.ts";
import { HttpProblem } from "../problem.ts";
import type { Event, EventQuery } from "../schemas/event.ts";

/** An event as lists have it. */
export function eventItem({ id, repo, about, type, reason, message, count, firstAt, lastAt }: RecentEvent): Event {
  const times = { firstAt: new Date(firstAt).toISOString(), lastAt: new Date(lastAt).toISOString() };
  return { id, repo, ...about, type, reason, message, count, ...times };
}

type EventFilter = Omit<EventQuery, "limit" | "watch">;

/** Throws 400 for what is no host. */
export function eventMatcher({
  repo,
  mod,
  env,
  app,
  host,
  reason,
  type,
}: EventFilter): (event: RecentEvent) => boolean {
  const isThere = hostMatcher(host);
  return (event) =>
    (repo === undefined || event.repo === repo) &&
    (app === undefined || event.about.app === app) &&
    isOf(event.about.app, { mod, env }) &&
    (reason === undefined || reason.includes(event.reason)) &&
    (type === undefined || event.type === type) &&
    isThere(event.about.host);
}

function isOf(app: AppKey | undefined, { mod, env }: Pick<EventFilter, "mod" | "env">): boolean {
  if (mod === undefined && env === undefined) return true;
  if (app === undefined) return false;
  const id = appId(app);
  return id.mod === (mod ?? id.mod) && id.env === (env ?? id.env);
}

function hostMatcher(text: string | undefined): (host: string | undefined) => boolean {
  if (text === undefined) return () => true;
  const named = parseHostText(text);
  if (!named) throw new HttpProblem(400, `host ${text}: expected ADDRESS, ADDRESS:PORT or [V6]:PORT`);
  return (host) => {
    const found = host === undefined ? undefined : parseHostText(host);
    return found?.address === named.address && (named.port ?? found.port) === found.port;
  };
}
