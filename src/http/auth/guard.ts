import type { FastifyReply, FastifyRequest } from "fastify";
import { asFssyncError } from "../../model/errors.ts";
import type { Access, Action, Caller } from "../../ports/access.ts";
import type { Clock } from "../../ports/clock.ts";
import type { ApiServer, Needs } from "../api-server.ts";
import { HttpProblem } from "../problem.ts";
import { CHALLENGES, isBasic, tokenOf } from "./credentials.ts";
import { refuseBrowsers, refuseOtherNames, refuseOtherSites } from "./cross-site.ts";
import { FailedLogins } from "./failed-logins.ts";
import type { Role } from "./parse-tokens.ts";

export interface GuardOptions {
  readonly access: Access | null;
  readonly compat?: { readonly anonymous: boolean };
  readonly clock: Clock;
}

declare module "fastify" {
  interface FastifyInstance {
    /** Whether a request that was admitted would be so now: for answers that go on. Rejects when that cannot be found out. */
    readonly admitsStill: (request: FastifyRequest) => Promise<boolean>;
  }
}

const LOCAL: Caller = { name: "local" };
const ANONYMOUS: Caller = { name: "anonymous" };

/** Lets nobody pass who may not do what the route says that it needs, and refuses routes that say nothing. */
export function requireNeeds(server: ApiServer, options: GuardOptions): void {
  const { access, compat } = options;
  const failedLogins = new FailedLogins(options);
  const isAnonymous = ({ routeOptions }: FastifyRequest) =>
    routeOptions.config.compat === true && compat?.anonymous === true;
  server.addHook("onRoute", ({ method, url, config }) => {
    if (config?.needs === undefined) throw new Error(`${String(method)} ${url} does not say what it needs`);
  });
  server.decorateRequest("caller");
  server.addHook("onRequest", async (request, reply) => {
    const { needs } = request.routeOptions.config;
    // Unknown paths are told so to everybody.
    if (needs === undefined || needs === "open") return;
    if (access === null) refuseOtherNames(request);
    const changes = changesSomething(request, needs);
    if (changes) refuseOtherSites(request);
    const { authorization } = request.headers;
    const token = tokenOf(authorization);
    if (access === null) request.caller = LOCAL;
    else if (isAnonymous(request) && token === undefined) {
      refuseBrowsers(request, changes);
      request.caller = ANONYMOUS;
    } else {
      // A browser shows a password that it knows to every page.
      if (changes && isBasic(authorization)) refuseBrowsers(request, changes);
      request.caller = await callerOf(token, request, reply, { access, failedLogins });
    }
  });
  // Once it is known what the request is about.
  server.addHook("preHandler", async (request) => {
    const { needs } = request.routeOptions.config;
    if (needs === undefined || needs === "open" || isAnonymous(request)) return;
    for (const action of actionsOf(request, needs)) await authorize(request, access, action);
  });
  server.decorate("admitsStill", async (request) => {
    const { needs } = request.routeOptions.config;
    if (access === null || needs === undefined || needs === "open" || isAnonymous(request)) return true;
    const caller = await access.authenticate(tokenOf(request.headers.authorization) ?? "");
    if (!caller) return false;
    const answers = await Promise.all(actionsOf(request, needs).map((action) => access.may(caller, action)));
    return answers.every((may) => may);
  });
}

/** Throws 403 unless the caller may do it. */
export async function authorize(request: FastifyRequest, access: Access | null, action: Action): Promise<void> {
  const { caller } = request;
  if (access === null || (await answered(access.may(caller, action)))) return;
  const { verb, resource, subresource, repo } = action;
  const what = `${resource}.fssync.dev${subresource ? `/${subresource}` : ""}`;
  const where = repo === undefined ? "of all repos" : `of repo ${repo}`;
  // Kubernetes' callers have groups, and Roles of their own.
  const hint = caller.groups ? "" : `; a token needs the role ${roleFor(action)} for it`;
  throw new HttpProblem(403, `${caller.name} may not ${verb} ${what} ${where}${hint}`, { reason: "Unauthorized" });
}

function roleFor({ verb, subresource }: Action): Role {
  if (subresource === "secrets") return "pull";
  return verb === "update" ? "operate" : "read";
}

/** GET may do so too: the predecessor's /sync. */
function changesSomething({ method }: FastifyRequest, needs: Exclude<Needs, "open">): boolean {
  return needs.verb === "update" || !["GET", "HEAD"].includes(method);
}

/** What a request must be allowed to do, each of them. */
function actionsOf(request: FastifyRequest, needs: Exclude<Needs, "open">): Action[] {
  const repos = [...reposOf(request)];
  return repos.length === 0 ? [needs] : repos.map((repo) => ({ ...needs, repo }));
}

/** Every route that is about repos calls them `repo`: in the path, the query or the body. All that are named count. */
function reposOf({ params, query, body }: FastifyRequest): Set<string> {
  const named = [params, query, body].flatMap((part) => ((part ?? {}) as { repo?: unknown }).repo ?? []);
  return new Set(named.filter((repo) => typeof repo === "string"));
}

async function callerOf(
  token: string | undefined,
  request: FastifyRequest,
  reply: FastifyReply,
  { access, failedLogins }: { access: Access; failedLogins: FailedLogins },
): Promise<Caller> {
  const refusal = await request.server.tooManyGuesses(request);
  const caller = token && (await answered(access.authenticate(token, { asks: refusal === null })));
  if (caller) return caller;
  if (refusal) throw refusal;
  if (token) failedLogins.note(request);
  void reply.header("www-authenticate", CHALLENGES);
  const detail = token ? "nobody is known by this token" : "this needs a token: Authorization: Bearer TOKEN";
  throw new HttpProblem(401, detail, { reason: "Unauthorized" });
}

/** An answer of Access; 503 when it cannot be had now. */
async function answered<Answer>(answer: Promise<Answer>): Promise<Answer> {
  try {
    return await answer;
  } catch (error) {
    throw new HttpProblem(503, "it cannot be found out now who asks, and what they may", {
      reason: asFssyncError(error).reason,
      headers: { "retry-after": "5" },
      cause: error,
    });
  }
}
