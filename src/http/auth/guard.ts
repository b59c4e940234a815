import type { FastifyRequest } from "fastify";
import type { Access, Action, Caller } from "../../ports/access.ts";
import type { ApiServer } from "../api-server.ts";
import { HttpProblem } from "../problem.ts";

export interface GuardOptions {
  readonly access: Access | null;
  readonly compat?: { readonly anonymous: boolean };
}

const LOCAL: Caller = { name: "local" };

/** Lets nobody pass who may not do what the route says that it needs, and refuses routes that say nothing. */
export function requireNeeds(server: ApiServer, options: GuardOptions): void {
  server.addHook("onRoute", ({ method, url, config }) => {
    if (config?.needs === undefined) throw new Error(`${String(method)} ${url} does not say what it needs`);
  });
  server.decorateRequest("caller");
  server.addHook("onRequest", async (request) => {
    const { needs, compat } = request.routeOptions.config;
    // Unknown paths are told so to everybody.
    if (needs === undefined || needs === "open") return;
    if (compat && options.compat?.anonymous) request.caller = { name: "anonymous" };
    else request.caller = await callerOf(request, options.access);
  });
  // Once it is known what the request is about.
  server.addHook("preHandler", async (request) => {
    const { needs, compat } = request.routeOptions.config;
    if (needs === undefined || needs === "open" || (compat && options.compat?.anonymous)) return;
    const repo = repoOf(request);
    await authorize(request, options.access, { ...needs, ...(repo === undefined ? {} : { repo }) });
  });
}

/** Throws 403 unless the caller may do it. */
export async function authorize(request: FastifyRequest, access: Access | null, action: Action): Promise<void> {
  if (access === null || (await access.may(request.caller, action))) return;
  throw new HttpProblem(403, `${request.caller.name} may not ${action.verb} ${action.resource}`);
}

/** Every route that is about one repo calls it `repo`: in the path, the query or the body. */
function repoOf({ params, query, body }: FastifyRequest): string | undefined {
  for (const part of [params, query, body]) {
    const { repo } = (part ?? {}) as { repo?: unknown };
    if (typeof repo === "string") return repo;
  }
  return undefined;
}

async function callerOf(request: FastifyRequest, access: Access | null): Promise<Caller> {
  if (access === null) return LOCAL;
  const token = bearerOf(request.headers.authorization);
  const caller = token && (await access.authenticate(token));
  if (caller) return caller;
  throw new HttpProblem(401, "no token that is known here", {
    headers: { "www-authenticate": 'Bearer realm="fssync"' },
  });
}

function bearerOf(header: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(header ?? "")?.[1];
}
