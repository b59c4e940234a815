import type { Server, ServerOptions } from "node:http";
import { normalizeIP } from "@fastify/rate-limit";
import type { FastifyReply, FastifyServerOptions } from "fastify";
import type { ApiServer } from "./api-server.ts";

/** What a client may take of a server: sizes in bytes, times in milliseconds. */
const BODY = 1024 * 1024;
const HEADERS = 16 * 1024;
/** A name in a path, percent-encoded or not: of a host at most 253 characters. */
const PATH_PARAMETER = 1024;
/** A thousand watchers must fit beside everybody else. */
export const CONNECTIONS = 4096;
/** A thousand watchers of one address must fit; nobody alone may have them all. */
const FROM_ONE_ADDRESS = 1500;
/** From the connection's first moment on, or the end of the request before. */
export const HEADERS_TIMEOUT = 15_000;
const REQUEST_TIMEOUT = 30_000;
/** For its next request, of a connection on which nobody has logged in yet. */
const KEEP_ALIVE_TIMEOUT = 10_000;
/** Without anything being taken of an answer that waits to be sent. */
const STALLED_TIMEOUT = 30_000;

/** How often times are looked at. */
const CHECKED_EVERY = 2000;

/** Caps of Node's own server. */
export const NODE_CAPS = {
  maxHeaderSize: HEADERS,
  headersTimeout: HEADERS_TIMEOUT,
  connectionsCheckingInterval: CHECKED_EVERY,
} satisfies ServerOptions;

/** Caps of Fastify. Bodies: a route may say another limit, `bodyLimit`. */
export const CAPS = {
  bodyLimit: BODY,
  requestTimeout: REQUEST_TIMEOUT,
  connectionTimeout: STALLED_TIMEOUT,
  keepAliveTimeout: KEEP_ALIVE_TIMEOUT,
  routerOptions: { maxParamLength: PATH_PARAMETER },
} satisfies FastifyServerOptions;

export interface ConnectionCaps {
  /** At a time. */
  readonly connections?: number;
  /** Of one address at a time; of IPv6 of one network. */
  readonly fromOneAddress?: number;
}

export function capConnections(server: Server, caps: ConnectionCaps = {}): void {
  const { connections = CONNECTIONS, fromOneAddress = FROM_ONE_ADDRESS } = caps;
  server.maxConnections = connections;
  const open = new Map<string, number>();
  server.on("connection", (socket) => {
    // A Unix socket has none: whoever may enter its folder is trusted.
    if (socket.remoteAddress === undefined) return;
    const address = normalizeIP(socket.remoteAddress);
    const before = open.get(address) ?? 0;
    if (before >= fromOneAddress) return void socket.destroy();
    open.set(address, before + 1);
    socket.once("close", () => {
      const left = open.get(address)! - 1;
      if (left > 0) open.set(address, left);
      else open.delete(address);
    });
  });
}

/** Ends whoever does not take the answer; an answer that is long in coming, or a stream that is silent, may be. */
export function endStalled(server: ApiServer): void {
  server.addHook("onRequest", (_, reply, done) => {
    reply.raw.on("timeout", () => endWhenStalled(reply));
    done();
  });
}

function endWhenStalled({ raw: { socket } }: FastifyReply): void {
  if (socket === null) return;
  if (socket.writableLength > 0) socket.destroy();
  else socket.setTimeout(STALLED_TIMEOUT);
}
