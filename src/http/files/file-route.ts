import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { FastifyReply } from "fastify";
import type { FileEntry } from "../../model/manifest.ts";
import { displayPath } from "../../model/path.ts";
import type { GitSource } from "../../ports/git-source.ts";
import { forBytes, type ApiServer } from "../api-server.ts";
import { giveUpSignal } from "../graceful-close.ts";
import { whoOf } from "../limits.ts";
import { HttpProblem } from "../problem.ts";
import type { PublicServerOptions } from "../site.ts";
import { type Content, contentHeaders, type Contents } from "./content.ts";
import { hasAlready, strongEtag } from "./etag.ts";
import { bytesSent, Places } from "./places.ts";
import { bytesOf, CONTENT_PROBLEMS, ContentQuery, FilePath, NOT_MODIFIED } from "./schemas.ts";
import { requireSecrets } from "./secrets.ts";
import { sizesOf } from "./servable.ts";

/** Each is a git process for as long as it lasts; a small file lasts some milliseconds. */
export const FILES_AT_A_TIME = { limit: 16, waiting: 4096, patience: 10_000, longest: 600_000, what: "files" };
/** What is not larger is read before it is answered: trouble with Git is a problem then, not a broken answer. */
export const WHOLE_MAX = 1024 * 1024;

export function fileRoute(server: ApiServer, contents: Contents, { access, clock }: PublicServerOptions): void {
  const places = new Places({ ...FILES_AT_A_TIME, clock });
  const schema = {
    operationId: "getFile",
    summary: "One file of an app, as a host has it",
    description:
      "Its ETag is the SHA-256 of the content; `x-fssync-owner`, `-group` and `-mode` say the rest. Symlinks are in the archive only.",
    tags: ["files"],
    params: FilePath,
    querystring: ContentQuery,
    response: { 200: bytesOf("The file.", "application/octet-stream"), 304: NOT_MODIFIED, ...CONTENT_PROBLEMS },
  };
  for (const method of ["GET", "HEAD"] as const) {
    server.route({
      method,
      url: "/files/:repo/:mod/:env/:app/*",
      exposeHeadRoute: false,
      config: { needs: { verb: "get", resource: "configapps", files: true } },
      schema: { ...schema, hide: method === "HEAD" },
      handler: async (request, typed) => {
        const reply = forBytes(typed);
        const { params, query, headers } = request;
        const content = await contents.find(params, {
          revision: query.revision,
          count: () => server.takeTurn(request, "costly"),
        });
        const file = fileIn(content, params["*"]);
        const { source, repo } = content.repo;
        await requireSecrets(request, access, { repo, files: [file], isSecret: content.isSecret });
        const etag = strongEtag((await source.checksums([file.blob])).get(file.blob)!);
        const said = { ...contentHeaders(content, etag), ...ownership(file) };
        if (hasAlready(headers["if-none-match"], etag)) return reply.code(304).headers(said).send();
        const size = (await sizesOf(source, [file])).get(file.blob)!;
        const type = { "content-type": "application/octet-stream", "content-length": size };
        if (method === "HEAD") return reply.headers({ ...said, ...type }).send();
        const body = await bodyOf({ source, file, size }, places, reply);
        return reply.headers({ ...said, ...type }).send(body);
      },
    });
  }
}

export async function bodyOf(
  { source, file, size }: { source: GitSource; file: FileEntry; size: number },
  places: Places,
  reply: FastifyReply,
): Promise<Buffer | Readable> {
  using place = new DisposableStack();
  const signal = giveUpSignal(reply);
  place.use(await places.take(whoOf(reply.request), signal));
  const content = source.read([file.blob]);
  if (size <= WHOLE_MAX) return await buffer(content);
  const stream = Readable.from(content, { objectMode: false });
  await places.hold(place.move(), stream, { signal, sent: bytesSent(reply) });
  return stream;
}

function fileIn({ manifest, repo, revision }: Content, path: string): FileEntry {
  const file = manifest.find((entry) => entry.path === path);
  if (!file) throw new HttpProblem(404, `there is no file ${displayPath(path)} in it, ${repo.repo} at ${revision}`);
  if (file.kind === "file") return file;
  throw new HttpProblem(404, `${displayPath(path)} is a symlink: it is in the archive, and what it leads to is served`);
}

function ownership({ owner, group, mode }: FileEntry): Record<string, string> {
  return { "x-fssync-owner": owner, "x-fssync-group": group, "x-fssync-mode": mode.toString(8).padStart(4, "0") };
}
