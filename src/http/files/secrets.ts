import type { FastifyRequest } from "fastify";
import type { Manifest } from "../../model/manifest.ts";
import { displayPath } from "../../model/path.ts";
import type { Access } from "../../ports/access.ts";
import { HttpProblem } from "../problem.ts";

/** Throws 403 when one of the files is secret and the caller may not read what is. */
export async function requireSecrets(
  request: FastifyRequest,
  access: Access | null,
  { repo, files }: { repo: string; files: Manifest },
): Promise<void> {
  const secret = files.find((file) => file.secret);
  if (!secret || access === null) return;
  const action = { verb: "get", resource: "configapps", subresource: "secrets", repo } as const;
  if (await access.may(request.caller, action)) return;
  throw new HttpProblem(
    403,
    `${displayPath(secret.path)} is called secret in .gitattributes: ${request.caller.name} needs the role pull for it`,
    { reason: "Unauthorized" },
  );
}
