import type { ApiServer } from "../api-server.ts";
import type { PublicServerOptions } from "../site.ts";
import { archiveRoute } from "./archive-route.ts";
import { Contents } from "./content.ts";
import { fileRoute } from "./file-route.ts";

/** Files of apps for clients that pull them. */
export function fileRoutes(server: ApiServer, options: PublicServerOptions): void {
  const contents = new Contents(options.site);
  fileRoute(server, contents, options);
  archiveRoute(server, contents, options);
}
