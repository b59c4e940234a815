import type { Socket } from "node:net";
import type { ApiServer } from "./api-server.ts";
import { isKnown } from "./limits.ts";

/** Milliseconds; longer than a load balancer keeps a connection for its next request. */
const KEEP_ALIVE_TIMEOUT = 75_000;

/** Node keeps the answer under way there, null while there is none. */
type Connection = Socket & { _httpMessage?: object | null };

/**
 * Keeps a connection for long on which somebody has logged in; strangers could have them all otherwise, and do nothing.
 * After the hooks that find out who asks.
 */
export function keepAliveOfKnown(server: ApiServer): void {
  const known = new WeakSet<Connection>();
  server.addHook("onRequest", (request, reply, done) => {
    const socket: Connection = request.raw.socket;
    const keep = () => isKnown(request) && known.add(socket);
    keep();
    if (known.has(socket)) void reply.header("keep-alive", `timeout=${KEEP_ALIVE_TIMEOUT / 1000}`);
    // After Node's own listener, which has set the time of strangers.
    reply.raw.once("finish", () => {
      // Who sends a webhook is known only when it was read.
      keep();
      if (known.has(socket) && socket._httpMessage === null) socket.setTimeout(KEEP_ALIVE_TIMEOUT);
    });
    done();
  });
}
