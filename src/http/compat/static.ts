import { isUtf8 } from "node:buffer";
import { z } from "zod";
import { displayPath } from "../../model/path.ts";
import { forBytes, type ApiServer } from "../api-server.ts";
import { hasAlready, strongEtag } from "../files/etag.ts";
import { bodyOf, FILES_AT_A_TIME, WHOLE_MAX } from "../files/file-route.ts";
import { Places } from "../files/places.ts";
import { sizesOf } from "../files/servable.ts";
import { HttpProblem } from "../problem.ts";
import type { PublicServerOptions } from "../site.ts";
import { DEFAULT_MOD, folderOf } from "./folder.ts";
import { given, Name } from "./names.ts";
import { requireSecrets } from "./secrets.ts";

/** First parts of paths that are other routes' own. An env of such a name is under /files alone. */
const TAKEN = "api|files|archive|hooks|metrics|healthz|readyz|openapi\\.json|sync|getfile|modify";

const Params = z.object({ env: z.string(), app: z.string(), "*": z.string() });
const Query = z.object({ repo: Name });

/** `GET /<env>/<app>/<path>`: the files of mod `env`, as they are in Git. */
export function staticRoute(server: ApiServer, { site, access, clock }: PublicServerOptions): void {
  const places = new Places({ ...FILES_AT_A_TIME, clock });
  for (const method of ["GET", "HEAD"] as const) {
    server.route({
      method,
      url: `/:env(^(?!(?:${TAKEN})$).+$)/:app/*`,
      exposeHeadRoute: false,
      config: { needs: { verb: "get", resource: "configapps", files: true }, compat: true },
      schema: { hide: true, params: Params, querystring: Query },
      handler: async (request, typed) => {
        const reply = forBytes(typed);
        const { env, app, "*": path } = request.params;
        const folder = await folderOf(site, { mod: DEFAULT_MOD, env, app }, given(request.query).repo);
        const file = folder.files.find((entry) => entry.path === path);
        if (!file) throw new HttpProblem(404, `no file ${displayPath(path)} in ${DEFAULT_MOD}/${env}/${app}`);
        const { source, repo } = folder.repo;
        if (file.secret) await requireSecrets(request, access, repo);
        const etag = strongEtag((await source.checksums([file.blob])).get(file.blob)!);
        const said = { etag, "cache-control": "private, no-cache", "x-content-type-options": "nosniff" };
        if (hasAlready(request.headers["if-none-match"], etag)) return reply.code(304).headers(said).send();
        const size = (await sizesOf(source, [file])).get(file.blob)!;
        // What is large is not read for its type, nor for HEAD.
        const wanted = method === "GET" || size <= WHOLE_MAX;
        const body = wanted ? await bodyOf({ source, file, size }, places, reply) : undefined;
        const type = Buffer.isBuffer(body) ? typeOf(body) : "application/octet-stream";
        const headers = { ...said, "content-type": type, "content-length": size };
        return reply.headers(headers).send(method === "GET" ? body : undefined);
      },
    });
  }
}

/** Text is what can be read as UTF-8; no browser guesses further. */
function typeOf(content: Buffer): string {
  return isUtf8(content) && !content.includes(0) ? "text/plain; charset=utf-8" : "application/octet-stream";
}
