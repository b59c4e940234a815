import type { ApiServer } from "../api-server.ts";
import type { PublicServerOptions } from "../site.ts";
import { filelistRoute, getfileRoute } from "./lists.ts";
import { modifyRoute } from "./modify.ts";
import { staticRoute } from "./static.ts";
import { syncRoute } from "./sync.ts";

/** What the predecessor served, for the scripts that were written for it. docs/migration.md says what differs. */
export function compatRoutes(server: ApiServer, options: PublicServerOptions): void {
  syncRoute(server, options);
  getfileRoute(server, options);
  filelistRoute(server, options);
  modifyRoute(server, options);
  staticRoute(server, options);
}
