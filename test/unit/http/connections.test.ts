import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { Access } from "../../../src/ports/access.ts";
import { until } from "../../support/fleet.ts";
import { serve, type Served } from "./rig.ts";

const NEEDS = { verb: "get", resource: "configapps" } as const;
const ACCESS: Access = {
  authenticate: async (token) => (token === "of-ann" ? { name: "ann" } : undefined),
  may: async () => true,
};

let served: Served;
let sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
  await served[Symbol.asyncDispose]();
});

async function come(from: string): Promise<Socket> {
  const socket = connect({ port: served.port, host: "127.0.0.1", localAddress: from });
  sockets.push(socket);
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** The answer, on a connection that is kept; nothing when it was closed. */
async function ask(socket: Socket, path = "/healthz", token?: string): Promise<string> {
  const shown = token === undefined ? "" : `authorization: Bearer ${token}\r\n`;
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.once("data", (chunk) => resolve(String(chunk))).once("close", () => resolve(""));
  socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${shown}\r\n`);
  return await promise;
}

test("one address has so many connections and no more; others have theirs, and one that ends makes room", async () => {
  served = await serve(() => {}, { caps: { fromOneAddress: 3 } });
  const isIn = async (from: string) => (await ask(await come(from))) !== "";
  const mine = [await come("127.0.0.2"), await come("127.0.0.2"), await come("127.0.0.2")];
  for (const socket of mine) expect(await ask(socket)).not.toBe("");
  expect([await isIn("127.0.0.2"), await isIn("127.0.0.2")]).toEqual([false, false]);
  expect(await isIn("127.0.0.3"), "another's").toBe(true);
  mine[0]!.destroy();
  await until(() => isIn("127.0.0.2"), 5000, "room for one more");
});

test("a connection is kept for ten seconds of a stranger, and for longer once somebody has logged in on it", async () => {
  served = await serve((server) => server.get("/x", { config: { needs: NEEDS } }, () => ({})), { access: ACCESS });
  const socket = await come("127.0.0.2");
  /** Seconds that the server promises, and milliseconds that it keeps. */
  const kept = async (path: string, token?: string) => {
    const answer = await ask(socket, path, token);
    return [Number(/^keep-alive: timeout=(\d+)/im.exec(answer)?.[1]), served.idleTimeouts()[0]!] as const;
  };
  for (const [path, token] of [["/healthz"], ["/x", "of-bob"]] as const) {
    const [promised, done] = await kept(path, token);
    expect(promised).toBe(10);
    expect(done).toBeGreaterThanOrEqual(10_000);
    expect(done).toBeLessThan(12_000);
  }
  expect(await kept("/x", "of-ann")).toEqual([75, 75_000]);
  expect(await kept("/healthz"), "from then on").toEqual([75, 75_000]);
});
