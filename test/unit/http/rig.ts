import { pino } from "pino";
import { systemClock } from "../../../src/clock/system-clock.ts";
import type { ApiServer } from "../../../src/http/api-server.ts";
import { listen } from "../../../src/http/listen.ts";
import { publicServer } from "../../../src/http/server.ts";
import { Metrics } from "../../../src/metrics/metrics.ts";
import type { PublicServerOptions } from "../../../src/http/site.ts";

export interface Served extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly server: ApiServer;
  /** What was logged, parsed. */
  readonly log: Record<string, unknown>[];
}

/** The public server of a process that leads nothing, with routes of the test's own, on a port of this machine. */
export async function serve(
  routes: (server: ApiServer) => void,
  options: Partial<PublicServerOptions> = {},
): Promise<Served> {
  const log: Record<string, unknown>[] = [];
  const write = (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>);
  const server = await publicServer({
    site: {
      version: "0",
      metrics: () => Promise.resolve(""),
      telemetry: new Metrics({ clock: systemClock, version: "0" }).http,
      notReady: () => null,
      desk: () => undefined,
    },
    access: null,
    metricsElsewhere: false,
    clock: systemClock,
    log: pino({ level: "debug" }, { write }),
    ...options,
  });
  routes(server);
  const url = await listen(server, "127.0.0.1:0");
  const port = Number(new URL(url).port);
  return { url, port, server, log, [Symbol.asyncDispose]: () => server.close() };
}
