import type { Socket } from "node:net";
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
  /** After how many milliseconds each connection is closed on which nothing happens. */
  idleTimeouts(): number[];
}

/** The public server of a process that leads nothing, with routes of the test's own, on a port of this machine. */
export async function serve(
  routes: (server: ApiServer) => void,
  options: Partial<PublicServerOptions> = {},
): Promise<Served> {
  const log: Record<string, unknown>[] = [];
  const write = (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>);
  const sockets = new Set<Socket>();
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
  server.server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const url = await listen(server, "127.0.0.1:0");
  const port = Number(new URL(url).port);
  const idleTimeouts = () => [...sockets].map(({ timeout = 0 }) => timeout);
  return { url, port, server, log, idleTimeouts, [Symbol.asyncDispose]: () => server.close() };
}
