import type { FastifyRequest } from "fastify";
import { z } from "zod";
import type { FileEntry } from "../../model/manifest.ts";
import { comparePaths, parentFolders } from "../../model/path.ts";
import type { Access } from "../../ports/access.ts";
import type { ApiServer } from "../api-server.ts";
import { HttpProblem } from "../problem.ts";
import type { PublicServerOptions } from "../site.ts";
import { errorsAs, json } from "./answers.ts";
import { COMMON, DEFAULT_MOD, folderIn, folderOf, type Folder } from "./folder.ts";
import { Md5 } from "./md5.ts";
import { given, Name } from "./names.ts";
import { maySeeSecrets } from "./secrets.ts";

const Query = z.object({ mod: Name, env: Name, zone: Name, app: Name, repo: Name });
const CONFIG = { needs: { verb: "get", resource: "configapps", files: true }, compat: true } as const;
const MISSING = "Query value Missing";

/** `GET /getfile`: the names of an app's files. */
export function getfileRoute(server: ApiServer, { site, access }: PublicServerOptions): void {
  const failed = (msg: string) => ({ status: "false", msg });
  server.route({
    method: "GET",
    url: "/getfile",
    config: CONFIG,
    schema: { hide: true, querystring: Query },
    errorHandler: errorsAs(failed),
    handler: async (request, reply) => {
      const { mod = DEFAULT_MOD, env, zone = env, app, repo } = given(request.query);
      // With the status that it always had.
      if (app === undefined || zone === undefined) return json(reply.code(200), failed(MISSING));
      const folder = await folderOf(site, { mod, env: zone, app }, repo);
      const hidden = await hiddenFrom(request, access, folder);
      const files = folder.files.filter((file) => !hidden(file));
      json(reply.code(200), { status: "true", msg: files.map(({ path }) => path) });
    },
  });
}

/** `GET /api/get_filelist/`: what a container compares its files with. */
export function filelistRoute(server: ApiServer, { site, access }: PublicServerOptions): void {
  const md5 = new Md5();
  for (const url of ["/api/get_filelist", "/api/get_filelist/"]) {
    server.route({
      method: "GET",
      url,
      config: CONFIG,
      schema: { hide: true, querystring: Query },
      errorHandler: errorsAs((msg) => ({ msg })),
      handler: async (request, reply) => {
        const { mod = DEFAULT_MOD, zone, env = zone, app, repo: name } = given(request.query);
        if (app === undefined || env === undefined) throw new HttpProblem(400, MISSING);
        // Each entry names the place where the file is served.
        if (mod !== DEFAULT_MOD)
          throw new HttpProblem(400, `mod: the list is of the mod ${DEFAULT_MOD}; /archive has the files of others`);
        const own = await folderOf(site, { mod, env, app }, name);
        const { repo } = own;
        const common = app === COMMON ? null : await folderIn(repo, { mod, env, app: COMMON });
        const laid = [
          ...own.files.map((file) => ({ file, folder: `${env}/${app}` })),
          ...notHidden(common?.files ?? [], own.files).map((file) => ({ file, folder: `${env}/${COMMON}` })),
        ].sort((a, b) => comparePaths(a.file.path, b.file.path));
        const hidden = await hiddenFrom(request, access, { repo, files: laid.map(({ file }) => file) });
        const shown = laid.filter(({ file }) => !hidden(file));
        const sums = await md5.of(
          repo.source,
          shown.map(({ file }) => file.blob),
        );
        const list = shown.map(({ file, folder }) => [
          `/${file.path}`,
          `${sums.get(file.blob)!}_#_${folder}/${file.path}`,
        ]);
        json(reply.code(200), Object.fromEntries(list));
      },
    });
  }
}

/** What is secret, for whoever may not read it: a sum of a short secret says what it is, and a name what there is. */
async function hiddenFrom(
  request: FastifyRequest,
  access: Access | null,
  { repo, files }: Folder,
): Promise<(file: FileEntry) => boolean> {
  const secrets = !files.some(({ secret }) => secret) || (await maySeeSecrets(request, access, repo.repo));
  return ({ secret }) => secret === true && !secrets;
}

/** Where a file of the one stands in the way of a folder of the other, the app's own wins as well. */
function notHidden(common: readonly FileEntry[], own: readonly FileEntry[]): readonly FileEntry[] {
  const files = new Set(own.map(({ path }) => path));
  const folders = new Set(own.flatMap(({ path }) => parentFolders(path)));
  return common.filter(
    ({ path }) => !files.has(path) && !folders.has(path) && !parentFolders(path).some((folder) => files.has(folder)),
  );
}
