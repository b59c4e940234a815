import type { FastifyRequest } from "fastify";
import type { AppKey } from "../../model/app.ts";
import type { DesiredApp, FileEntry, Manifest } from "../../model/manifest.ts";
import { displayPath } from "../../model/path.ts";
import type { Access } from "../../ports/access.ts";
import { HttpProblem } from "../problem.ts";

type Desired = ReadonlyMap<AppKey, DesiredApp>;

/** Of older commits: people call a file secret when it has been in Git for a while. */
export class SecretsByNow {
  /** What is desired is replaced as a whole when Git has changed. */
  readonly #blobs = new WeakMap<Desired, ReadonlySet<string>>();

  /** What was secret at the commit, and what is by now: at its path in the app, or with its content anywhere in the repo. */
  of(desired: Desired, app: AppKey): (file: FileEntry) => boolean {
    const here = (desired.get(app)?.manifest ?? []).filter(({ secret }) => secret);
    const paths = new Set(here.map(({ path }) => path));
    const blobs = this.#blobsOf(desired);
    return ({ secret, path, blob }) => secret === true || paths.has(path) || blobs.has(blob);
  }

  #blobsOf(desired: Desired): ReadonlySet<string> {
    const known = this.#blobs.get(desired);
    if (known) return known;
    const files = [...desired.values()].flatMap(({ manifest }) => manifest.filter(({ secret }) => secret));
    const blobs = new Set(files.map(({ blob }) => blob));
    this.#blobs.set(desired, blobs);
    return blobs;
  }
}

/** Throws 403 when one of the files is secret and the caller may not read what is. */
export async function requireSecrets(
  request: FastifyRequest,
  access: Access | null,
  { repo, files, isSecret }: { repo: string; files: Manifest; isSecret: (file: FileEntry) => boolean },
): Promise<void> {
  const secret = files.find(isSecret);
  if (!secret || access === null) return;
  const action = { verb: "get", resource: "configapps", subresource: "secrets", repo } as const;
  if (await access.may(request.caller, action)) return;
  throw new HttpProblem(
    403,
    `${displayPath(secret.path)} is called secret in .gitattributes: ${request.caller.name} needs the role pull for it`,
    { reason: "Unauthorized" },
  );
}
