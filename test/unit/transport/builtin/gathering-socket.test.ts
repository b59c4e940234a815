import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { GatheringSocket } from "../../../../src/transport/builtin/gathering-socket.ts";

/** A socket that counts how often it is given something to send. */
class Counted extends GatheringSocket {
  sent = 0;

  override _write(...args: Parameters<GatheringSocket["_write"]>): void {
    this.sent += 1;
    super._write(...args);
  }

  override _writev(...args: Parameters<NonNullable<GatheringSocket["_writev"]>>): void {
    this.sent += 1;
    super._writev?.(...args);
  }
}

test("who is reset right after the end has closed", async () => {
  await using server = createServer((peer) => peer.on("error", () => undefined).resume());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = new GatheringSocket();
  socket.connect((server.address() as AddressInfo).port, "127.0.0.1");
  await once(socket, "connect");
  const closed = once(socket, "close");
  socket.end("goodbye");
  await new Promise((resolve) => process.nextTick(resolve));
  await Promise.resolve();
  socket.resetAndDestroy();
  await closed;
});

test("what is written in one turn leaves in one go, in its order, and the next turn in the next", async () => {
  await using server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection");
  const socket = new Counted();
  socket.connect((server.address() as AddressInfo).port, "127.0.0.1");
  await once(socket, "connect");
  const [peer] = await accepted;
  const seen: Buffer[] = [];
  peer.on("data", (chunk: Buffer) => seen.push(chunk));
  for (const piece of ["a", "b", "c"]) socket.write(piece);
  await new Promise((resolve) => setImmediate(resolve));
  for (const piece of ["d", "e"]) socket.write(piece);
  const closed = once(socket, "close");
  socket.end("f");
  // Although the peer has not said that it has nothing more to say.
  await Promise.all([once(peer, "end"), closed]);
  expect(Buffer.concat(seen).toString()).toBe("abcdef");
  expect(socket.sent).toBe(2);
});
