import type { FastifyReply, FastifyRequest } from "fastify";
import { appId, appKey } from "../../model/app.ts";
import { FssyncError } from "../../model/errors.ts";
import { parseHostText, type HostKey } from "../../model/host.ts";
import type { SuspendedTarget, SuspendTarget } from "../../ports/suspender.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import type { ApiServer } from "../api-server.ts";
import { noteCall } from "../auth/note-call.ts";
import { giveUpSignal } from "../graceful-close.ts";
import { HttpProblem, Problem } from "../problem.ts";
import { SuspendBody, Suspension, SuspensionList, SuspensionQuery } from "../schemas/suspension.ts";
import { partOf, placeOf } from "../views/paging.ts";
import { deskOf, type PublicServerOptions, type SiteDesk } from "../site.ts";

const tags = ["suspension"];
const denied = { 400: Problem, 401: Problem, 403: Problem, 503: Problem };
const needs = { verb: "update", resource: "configrepos" } as const;
const common = { tags, body: SuspendBody, response: { 200: Suspension, ...denied, 404: Problem, 409: Problem } };

export function suspensionRoutes(server: ApiServer, { site }: PublicServerOptions): void {
  server.post(
    "/api/v1/suspend",
    {
      config: { needs },
      schema: {
        ...common,
        operationId: "suspend",
        summary: "Stop work on a repo, an app or a host",
        description:
          "Nothing is begun there from the answer on, also after a restart, until it is resumed; what is under way goes on to its end. What is suspended already stays so.",
      },
    },
    (request, reply) => set(deskOf(site), true, request, reply),
  );

  server.post(
    "/api/v1/resume",
    {
      config: { needs },
      schema: {
        ...common,
        operationId: "resume",
        summary: "Let work go on",
        description: "What lags there is synced at once. What is not suspended is no error.",
      },
    },
    (request, reply) => set(deskOf(site), false, request, reply),
  );

  server.get(
    "/api/v1/suspensions",
    {
      config: { needs: { verb: "list", resource: "configrepos" } },
      schema: {
        operationId: "listSuspensions",
        summary: "Where people have stopped work",
        tags,
        querystring: SuspensionQuery,
        response: { 200: SuspensionList, ...denied },
      },
    },
    async ({ query: { repo, limit, cursor } }) => {
      const all = (await deskOf(site).suspender.list()).filter((one) => repo === undefined || one.repo === repo);
      const options = { of: "suspensions", after: placeOf("suspensions", cursor), limit, matches: () => true };
      const { entries, ...next } = partOf(byRepo(all), options);
      return { items: entries.map(({ suspended }) => suspensionView(suspended, true)), ...next };
    },
  );
}

function byRepo(all: readonly SuspendedTarget[]) {
  const entries = all.map((suspended) => ({ suspended, order: orderOf(suspended) }));
  const repos = Map.groupBy(
    entries.toSorted((a, b) => (a.order < b.order ? -1 : 1)),
    ({ suspended }) => suspended.repo,
  );
  return [...repos].map(([repo, ofRepo]) => ({ repo, entries: ofRepo })).sort((a, b) => (a.repo < b.repo ? -1 : 1));
}

async function set(
  { controller, suspender }: SiteDesk,
  suspend: boolean,
  request: FastifyRequest<{ Body: SuspendBody }>,
  reply: FastifyReply,
): Promise<Suspension> {
  const repo = controller.repo(request.body.repo);
  if (!repo) throw new FssyncError("UnknownName", `no repo ${request.body.repo}`);
  const target = targetOf(repo, request.body);
  const { reason } = request.body;
  const revision = repo.fleet.revision;
  noteCall(request, suspend ? "suspend" : "resume", { ...target, ...(reason && { reason }), revision });
  await suspender.set(target, { suspend, by: request.caller.name, reason }, giveUpSignal(reply));
  const isIt = (one: SuspendTarget) => one.repo === target.repo && orderOf(one) === orderOf(target);
  const found = (await suspender.list()).find(isIt);
  return suspensionView(found ?? target, found !== undefined);
}

/** What is meant; it must be there, or be suspended. */
function targetOf(repo: RepoController, { mod, env, app, host }: SuspendBody): SuspendTarget {
  if (host !== undefined) return { repo: repo.repo, host: knownHost(repo, host) };
  if (mod === undefined || env === undefined || app === undefined) return { repo: repo.repo };
  const key = appKey({ mod, env, app });
  if (repo.fleet.known.has(key) || repo.suspension.now.apps.has(key)) return { repo: repo.repo, app: key };
  throw unknownIn(repo, `app ${key}`);
}

/** What Git, or the inventory after it, was not asked about yet may be there. */
function unknownIn({ repo, fleet }: RepoController, what: string): FssyncError {
  if (fleet.wasRead) return new FssyncError("UnknownName", `no ${what} in repo ${repo}`);
  return new FssyncError("SourceUnavailable", `the Git repo of ${repo} was not read yet, and no ${what} is known`);
}

function knownHost(repo: RepoController, text: string): HostKey {
  const { fleet, suspension } = repo;
  const wanted = parseHostText(text);
  const all = new Set([...fleet.hosts.keys(), ...[...fleet.stored].map(({ key }) => key), ...suspension.now.hosts]);
  const found = [...all].filter((key) => {
    const { address, port } = parseHostText(key)!;
    return address === wanted?.address && (wanted.port ?? port) === port;
  });
  const [only] = found;
  if (only === undefined) throw unknownIn(repo, `host ${text}`);
  if (found.length === 1) return only;
  const some = found.slice(0, 5).join(", ");
  throw new HttpProblem(400, `${text} is the address of ${found.length} hosts: say which, with its port: ${some}`);
}

function suspensionView(target: SuspendedTarget, suspended: boolean): Suspension {
  const { repo, app, host, since, by, reason } = target;
  const named = host === undefined ? undefined : parseHostText(host)!;
  return {
    repo,
    ...(app && appId(app)),
    ...(named && { address: named.address, port: named.port ?? 22 }),
    suspended,
    ...(suspended && since !== undefined && { since: new Date(since).toISOString() }),
    ...(suspended && by && { by }),
    ...(suspended && reason && { reason }),
  };
}

/** Within a repo: itself first, then its apps, then its hosts. */
function orderOf({ app, host }: SuspendTarget): string {
  if (host !== undefined) return `host ${host}`;
  return app === undefined ? "" : `app ${app}`;
}
