import { z } from "zod";
import type { AppKey } from "../../model/app.ts";
import { appId } from "../../model/app.ts";
import { FssyncError } from "../../model/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Controller } from "../../reconcile/controller.ts";
import type { Scope } from "../../reconcile/selection.ts";
import type { ApiServer } from "../api-server.ts";
import { noteCall } from "../auth/note-call.ts";
import { HttpProblem } from "../problem.ts";
import { deskOf, type PublicServerOptions, type Site } from "../site.ts";
import { errorsAs, json } from "./answers.ts";
import { given, Name } from "./names.ts";
import { syncLines, type LeftAlone } from "./sync-lines.ts";

const Query = z.object({ mod: Name, env: Name, zone: Name, app: Name, repo: Name });

/** How often it is looked whether this process still leads, while a sync is waited for. Milliseconds. */
const LOOK_EVERY = 1000;

/** Of the inventory alone: they keep the predecessor's words. */
const CMDB: ReadonlySet<string> = new Set(["InventoryFailed", "InventorySuspicious"]);

/** `GET /sync`: every host of an app, now and in full; answered when the slowest of them is done. */
export function syncRoute(server: ApiServer, { site, clock }: PublicServerOptions): void {
  server.route({
    method: "GET",
    url: "/sync",
    exposeHeadRoute: false,
    config: { needs: { verb: "update", resource: "configapps" }, compat: true, rate: "costly" },
    schema: { hide: true, querystring: Query },
    errorHandler: errorsAs((msg) => ({ msg })),
    handler: async (request, reply) => {
      const { mod, env, zone, app, repo } = given(request.query);
      if (app === undefined) throw new HttpProblem(400, "Query value Missing");
      const named = env ?? zone ?? "all";
      const wanted = { ...(mod && { mod }), ...(named === "all" ? {} : { env: named }), app };
      const { controller } = deskOf(site);
      const scope = { ...wanted, ...narrowed(controller, wanted, repo) };
      noteCall(request, "sync", { ...scope, revision: revisionOf(controller, scope) });
      using giveUp = giveUpWhenOver(site, controller, { clock, closing: server.closing });
      const asked = { apps: [], hosts: [], scope, full: true, allowPrune: false, needsInventory: true };
      const { report } = await controller
        .sync(asked, () => undefined, giveUp.signal)
        .catch((error: unknown) => {
          throw fromCmdb(error);
        });
      if (giveUp.signal.aborted)
        throw new HttpProblem(
          503,
          "fssync is ending here; what it had begun goes on where it is started or leads again",
        );
      json(reply.code(200), syncLines(report, suspendedIn(controller, scope)), 4);
    },
  });
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

/** Hosts of the app that a sync leaves alone: nobody shall take their silence for success. */
function suspendedIn(controller: Controller, scope: Scope): LeftAlone[] {
  const repos = controller.repos.filter(({ repo }) => scope.repo === undefined || repo === scope.repo);
  return repos.flatMap(({ fleet, suspension }) =>
    [...fleet.desired.keys()].filter(isIn(scope)).flatMap((app) =>
      [...fleet.hostsOf(app)].flatMap((key) => {
        const host = fleet.hosts.get(key)?.host;
        return host && suspension.holds(app, key) ? [host] : [];
      }),
    ),
  );
}

function fromCmdb(error: unknown): unknown {
  if (!(error instanceof FssyncError) || !CMDB.has(error.reason)) return error;
  return new HttpProblem(500, `get ip from cmdb failed:${error.message}`, { reason: error.reason, cause: error });
}

/** Aborts when nothing more is to be waited for here. Whoever asked may leave: the sync goes on. */
function giveUpWhenOver(
  site: Site,
  controller: Controller,
  { clock, closing }: { clock: Clock; closing: AbortSignal },
): Disposable & { readonly signal: AbortSignal } {
  const over = new AbortController();
  const leads = () => site.desk()?.controller === controller;
  let timer: Disposable;
  const look = () => {
    if (!leads()) over.abort();
    else timer = clock.after(LOOK_EVERY, look);
  };
  timer = clock.after(LOOK_EVERY, look);
  return { signal: AbortSignal.any([over.signal, closing]), [Symbol.dispose]: () => timer[Symbol.dispose]() };
}
