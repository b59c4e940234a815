import { z } from "zod";
import { appId, type AppKey } from "../../model/app.ts";
import { FssyncError, type Reason } from "../../model/errors.ts";
import { shortRevision } from "../../model/revision.ts";
import { sleep, type Clock } from "../../ports/clock.ts";
import type { Controller, SyncRequest } from "../../reconcile/controller.ts";
import type { Operations } from "../../reconcile/operations.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import type { Scope } from "../../reconcile/selection.ts";
import type { SyncOperation } from "../../reconcile/sync-operation.ts";
import type { ApiServer } from "../api-server.ts";
import { noteCall } from "../auth/note-call.ts";
import { HttpProblem } from "../problem.ts";
import { deskOf, type PublicServerOptions } from "../site.ts";
import { errorsAs, json, refusal } from "./answers.ts";
import { given, Name } from "./names.ts";
import { syncLines } from "./sync-lines.ts";

const Query = z.object({ mod: Name, env: Name, zone: Name, app: Name, repo: Name });

/** Of the inventory alone: they keep the predecessor's words. */
const CMDB: ReadonlySet<string> = new Set(["InventoryFailed", "InventorySuspicious"]);
/** No sync takes so long: each host has its `sync.timeout`. Milliseconds. */
const LONGEST = 86_400_000;
/** How long one waits for others to end before it asks again. Milliseconds. */
const TURN = 250;

/** `GET /sync`: every host of an app, now and in full; answered when the slowest of them is done. */
export function syncRoute(server: ApiServer, { site, clock }: PublicServerOptions): void {
  server.route({
    method: "GET",
    url: "/sync",
    exposeHeadRoute: false,
    config: { needs: { verb: "update", resource: "configapps" }, compat: true, rate: "apps" },
    schema: { hide: true, querystring: Query },
    errorHandler: errorsAs((msg) => ({ msg })),
    handler: async (request, reply) => {
      const { mod, env, zone, app, repo } = given(request.query);
      if (app === undefined) throw new HttpProblem(400, "Query value Missing");
      const named = env ?? zone ?? "all";
      const wanted = { ...(mod && { mod }), ...(named === "all" ? {} : { env: named }), app };
      const { controller, operations } = deskOf(site);
      const scope = { ...wanted, ...narrowed(controller, wanted, repo) };
      const asked = { apps: [], hosts: [], scope, full: true, allowPrune: false, needsInventory: true };
      // It ends with this process, or when another one leads; not when whoever asked has left.
      const waiting = { by: request.caller.name, clock, closing: server.closing };
      const operation = await begin(operations, asked, waiting).catch((error: unknown) => {
        const told = gitFailed(error, inScopeOf(controller, scope));
        noteCall(request, "sync", { ...scope, ...refusal(told) });
        throw told;
      });
      noteCall(request, "sync", { ...scope, operation: operation.id, revision: revisionOf(controller, scope) });
      await operations.wait(operation, LONGEST, server.closing);
      json(reply.code(200), syncLines(hostsOf(operation, controller)), 4);
    },
  });
}

/** Where the API says that too many run, scripts that were never told so wait for their turn. */
async function begin(
  operations: Operations,
  asked: SyncRequest,
  { by, clock, closing }: { by: string; clock: Clock; closing: AbortSignal },
): Promise<SyncOperation> {
  while (!closing.aborted) {
    const begun = await operations.begin(asked, { by }, closing);
    if ("operation" in begun) return begun.operation;
    await sleep(clock, TURN, closing);
  }
  throw ending();
}

function hostsOf(operation: SyncOperation, controller: Controller): SyncOperation["hosts"] {
  const { finishedAt, error, hosts, unanswered, revisions } = operation;
  if (error) throw fromCmdb(error);
  if (finishedAt === null) throw ending();
  // Of a repo that is suspended Git was not asked: its lines say so.
  const silent = unanswered.find(({ about, repo }) => about === "git" && !isSuspended(controller.repo(repo)));
  if (!silent) return hosts;
  const sent = revisions.find(({ repo }) => repo === silent.repo)?.revision;
  throw gitPullFailed(
    `${silent.message}${sent ? `; what hosts were sent is ${shortRevision(sent)}` : ""}`,
    silent.reason,
  );
}

/** What Git has is not known: a name that nobody knows may be one that was pushed just now. */
function gitFailed(error: unknown, repos: readonly RepoController[]): unknown {
  if (!(error instanceof FssyncError) || error.reason !== "UnknownName") return error;
  const [problem] = repos.filter((repo) => !isSuspended(repo)).flatMap((repo) => repo.problemsOf("git"));
  return problem ? gitPullFailed(`${problem.message}; ${error.message}`, problem.reason) : error;
}

function gitPullFailed(why: string, reason: Reason): HttpProblem {
  return new HttpProblem(500, `git pull failed:${why}`, { reason });
}

function isSuspended(repo: RepoController | undefined): boolean {
  return repo?.suspension.now.repo ?? false;
}

function inScopeOf({ repos }: Controller, { repo: name }: Scope): readonly RepoController[] {
  return repos.filter(({ repo }) => name === undefined || repo === name);
}

/** The one repo that has the app: what is wrong with the CMDBs of others is of no concern. */
function narrowed(controller: Controller, wanted: Scope, repo: string | undefined): { repo?: string } {
  if (repo !== undefined) return { repo };
  const [one, ...others] = controller.repos.filter(({ fleet }) => [...fleet.desired.keys()].some(isIn(wanted)));
  return one && others.length === 0 ? { repo: one.repo } : {};
}

function isIn({ mod, env, app }: Scope): (key: AppKey) => boolean {
  return (key) => {
    const id = appId(key);
    return (mod ?? id.mod) === id.mod && (env ?? id.env) === id.env && (app ?? id.app) === id.app;
  };
}

function revisionOf(controller: Controller, { repo }: Scope): string | null {
  return repo === undefined ? null : (controller.repo(repo)?.fleet.revision ?? null);
}

function fromCmdb(error: FssyncError): Error {
  if (!CMDB.has(error.reason)) return error;
  return new HttpProblem(500, `get ip from cmdb failed:${error.message}`, { reason: error.reason, cause: error });
}

function ending(): HttpProblem {
  return new HttpProblem(503, "fssync ends here; what it had begun goes on where it is started, or leads, again");
}
