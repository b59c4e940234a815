import { forBytes, type ApiServer } from "../api-server.ts";
import { giveUpSignal } from "../graceful-close.ts";
import { whoOf } from "../limits.ts";
import type { PublicServerOptions } from "../site.ts";
import { archive } from "./archive.ts";
import { contentHeaders, type Contents } from "./content.ts";
import { hasAlready, strongEtag } from "./etag.ts";
import { bytesSent, Places } from "./places.ts";
import { AppPath } from "../schemas/lists.ts";
import { bytesOf, CONTENT_PROBLEMS, ContentQuery, NOT_MODIFIED } from "./schemas.ts";
import { requireSecrets } from "./secrets.ts";
import { Archivable } from "./servable.ts";

/** Each is a git process and a thread that compresses; a small app lasts some milliseconds. */
const AT_A_TIME = { limit: 8, waiting: 1024, patience: 10_000, longest: 600_000, what: "archives" };

export function archiveRoute(server: ApiServer, contents: Contents, { access, clock }: PublicServerOptions): void {
  const places = new Places({ ...AT_A_TIME, clock });
  const archivable = new Archivable();
  const schema = {
    operationId: "getArchive",
    summary: "All files of an app as a gzipped tar, with owners, modes and symlinks",
    description:
      "To be extracted where the paths begin, `tar -xz -C /`. Its ETag is the app's digest. Folders are not in it: those that there are keep their modes.",
    tags: ["files"],
    params: AppPath,
    querystring: ContentQuery,
    response: { 200: bytesOf("The archive.", "application/gzip"), 304: NOT_MODIFIED, ...CONTENT_PROBLEMS },
  };
  for (const method of ["GET", "HEAD"] as const) {
    server.route({
      method,
      url: "/archive/:repo/:mod/:env/:app.tar.gz",
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
        const { source, repo } = content.repo;
        await requireSecrets(request, access, { repo, files: content.manifest, isSecret: content.isSecret });
        const etag = strongEtag(content.digest);
        const said = { ...contentHeaders(content, etag), "content-disposition": disposition(params.app) };
        if (hasAlready(headers["if-none-match"], etag)) return reply.code(304).headers(said).send();
        await server.takeTurn(request, "archives");
        const type = { "content-type": "application/gzip" };
        using place = new DisposableStack();
        const signal = giveUpSignal(reply);
        place.use(await places.take(whoOf(request), signal));
        const sizes = await archivable.sizes(source, content.manifest);
        if (method === "HEAD") return await reply.headers({ ...said, ...type }).send();
        const stream = archive(source, content.manifest, sizes);
        await places.hold(place.move(), stream, { signal, sent: bytesSent(reply) });
        return await reply.headers({ ...said, ...type }).send(stream);
      },
    });
  }
}

function disposition(app: string): string {
  const plain = app.replace(/[^\w.-]/g, "_");
  const exact = encodeURIComponent(app.toWellFormed()).replace(
    /['()*]/g,
    (mark) => `%${mark.charCodeAt(0).toString(16)}`,
  );
  return `attachment; filename="${plain}.tar.gz"${exact === plain ? "" : `; filename*=UTF-8''${exact}.tar.gz`}`;
}
