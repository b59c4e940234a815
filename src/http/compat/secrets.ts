import type { FastifyRequest } from "fastify";
import type { Access } from "../../ports/access.ts";
import { tokenOf } from "../auth/credentials.ts";
import { authorize } from "../auth/guard.ts";
import { HttpProblem } from "../problem.ts";

/**
 * Throws 403 unless the caller may read what .gitattributes call secret: the role pull. Whoever shows no token where
 * tokens are asked for is anonymous, and never may.
 */
export async function requireSecrets(request: FastifyRequest, access: Access | null, repo: string): Promise<void> {
  if (access !== null && tokenOf(request.headers.authorization) === undefined)
    throw new HttpProblem(403, "it is secret: nobody gets it without a token", { reason: "Unauthorized" });
  await authorize(request, access, { verb: "get", resource: "configapps", subresource: "secrets", repo });
}

export async function maySeeSecrets(request: FastifyRequest, access: Access | null, repo: string): Promise<boolean> {
  try {
    await requireSecrets(request, access, repo);
    return true;
  } catch (error) {
    if (error instanceof HttpProblem && error.statusCode === 403) return false;
    throw error;
  }
}
