import type { ApiServer } from "../api-server.ts";
import type { PublicServerOptions } from "../site.ts";

export function hostRoutes(_server: ApiServer, _options: PublicServerOptions): void {}
