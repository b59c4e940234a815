import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { FastifyReply } from "fastify";
import type { Clock } from "../ports/clock.ts";
import type { ApiServer } from "./api-server.ts";

/** How long requests under way may take to end once the server closes; then their connections are cut. */
const CLOSE_DEADLINE = 5000;

declare module "fastify" {
  interface FastifyInstance {
    /**
     * Aborts when the server begins to close. Streams end themselves then, and whoever waits for something answers
     * with what there is; what is still open 5 s later is cut off. A handler asks `giveUpSignal(reply)`.
     */
    readonly closing: AbortSignal;
  }
}

/** Lets requests under way end when the server closes, and keeps no connection open for another one. */
export function closeGracefully(server: ApiServer, clock: Clock): void {
  const closing = new AbortController();
  const { all, silent } = connectionsOf(server.server);
  let deadline: Disposable | undefined;
  server.decorate("closing", { getter: () => closing.signal });
  server.addHook("preClose", (done) => {
    closing.abort();
    // Node itself waits for those that have not asked anything yet, and for handshakes.
    for (const socket of silent) socket.destroy();
    deadline = clock.after(CLOSE_DEADLINE, () => all.forEach((socket) => socket.destroy()));
    done();
  });
  server.addHook("onClose", (_, done) => {
    deadline?.[Symbol.dispose]();
    done();
  });
  server.addHook("onRequest", (request, reply, done) => {
    silent.delete(request.raw.socket);
    // Hijacked replies too; what was written has left before the socket ends.
    reply.raw.once("finish", () => closing.signal.aborted && request.raw.socket.destroySoon());
    done();
  });
}

/** Open connections as the kernel has them, and those, decrypted, on which nothing was asked yet. */
function connectionsOf(server: Server): { readonly all: ReadonlySet<Socket>; readonly silent: Set<Socket> } {
  const all = new Set<Socket>();
  const silent = new Set<Socket>();
  const keepIn = (sockets: Set<Socket>) => (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  };
  server.on("connection", keepIn(all));
  server.on("setSecureContext" in server ? "secureConnection" : "connection", keepIn(silent));
  return { all, silent };
}

/**
 * Aborts when nobody waits for more of this answer: whoever asked has left, it was sent, or the server closes.
 * (`request.signal` aborts as soon as the body was read, and never for a hijacked reply.)
 */
export function giveUpSignal({ raw, server: { closing } }: FastifyReply): AbortSignal {
  const over = new AbortController();
  const giveUp = () => over.abort();
  if (closing.aborted || raw.destroyed) giveUp();
  closing.addEventListener("abort", giveUp, { once: true });
  raw.once("close", () => {
    closing.removeEventListener("abort", giveUp);
    giveUp();
  });
  return over.signal;
}
