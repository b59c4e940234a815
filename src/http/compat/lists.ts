import { z } from "zod";
import type { FileEntry } from "../../model/manifest.ts";
import { comparePaths, parentFolders } from "../../model/path.ts";
import type { ApiServer } from "../api-server.ts";
import { HttpProblem } from "../problem.ts";
import type { PublicServerOptions } from "../site.ts";
import { errorsAs, json } from "./answers.ts";
import { COMMON, DEFAULT_MOD, folderIn, folderOf } from "./folder.ts";
import { Md5 } from "./md5.ts";
import { given, Name } from "./names.ts";
import { maySeeSecrets } from "./secrets.ts";

const Query = z.object({ mod: Name, env: Name, zone: Name, app: Name, repo: Name });
const CONFIG = { needs: { verb: "get", resource: "configapps", files: true }, compat: true } as const;
const MISSING = "Query value Missing";

/** `GET /getfile`: the names of an app's files. */
export function getfileRoute(server: ApiServer, { site }: PublicServerOptions): void {
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
      const { files } = await folderOf(site, { mod, env: zone, app }, repo);
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
        const own = await folderOf(site, { mod, env, app }, name);
        const { repo } = own;
        const common = app === COMMON ? null : await folderIn(repo, { mod, env, app: COMMON });
        const all = [
          ...own.files.map((file) => ({ file, folder: `${env}/${app}` })),
          ...notHidden(common?.files ?? [], own.files).map((file) => ({ file, folder: `${env}/${COMMON}` })),
        ].sort((a, b) => comparePaths(a.file.path, b.file.path));
        // A sum of a short secret says what it is.
        const secrets = all.some(({ file }) => file.secret) && (await maySeeSecrets(request, access, repo.repo));
        const listed = all.filter(({ file }) => secrets || !file.secret);
        const sums = await md5.of(
          repo.source,
          listed.map(({ file }) => file.blob),
        );
        const list = listed.map(({ file, folder }) => [
          `/${file.path}`,
          `${sums.get(file.blob)!}_#_${folder}/${file.path}`,
        ]);
        json(reply.code(200), Object.fromEntries(list));
      },
    });
  }
}

/** Where a file of the one stands in the way of a folder of the other, the app's own wins as well. */
function notHidden(common: readonly FileEntry[], own: readonly FileEntry[]): readonly FileEntry[] {
  const files = new Set(own.map(({ path }) => path));
  const folders = new Set(own.flatMap(({ path }) => parentFolders(path)));
  return common.filter(
    ({ path }) => !files.has(path) && !folders.has(path) && !parentFolders(path).some((folder) => files.has(folder)),
  );
}
