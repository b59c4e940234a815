import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { giveUpSignal } from "../../../src/http/graceful-close.ts";
import { aborted } from "../../../src/ports/abort.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { until } from "../../support/fleet.ts";
import { serve } from "./rig.ts";

const open = { config: { needs: "open" } } as const;

describe("a server that closes", () => {
  test("lets a request end that waits for something, and keeps no connection for another one", async () => {
    const waits = Promise.withResolvers<void>();
    const { server, url } = await serve((server) =>
      server.post("/wait", open, async (_, reply) => {
        waits.resolve();
        await aborted(giveUpSignal(reply));
        return { answer: "as it is" };
      }),
    );
    const headers = { "content-type": "application/json" };
    const answer = fetch(`${url}/wait`, { method: "POST", body: "{}", headers });
    await waits.promise;
    const closed = server.close();
    expect(await (await answer).json()).toEqual({ answer: "as it is" });
    await closed;
    await expect(fetch(url)).rejects.toThrow();
  });

  test("ends streams of hijacked replies", async () => {
    const { server, port } = await serve((server) =>
      server.get("/stream", open, async (_, reply) => {
        reply.hijack();
        reply.raw.writeHead(200, { "content-type": "text/event-stream" });
        reply.raw.write(": hello\n\n");
        await aborted(giveUpSignal(reply));
        reply.raw.end("event: bye\n\n");
      }),
    );
    const socket = connect(port, "127.0.0.1");
    socket.write("GET /stream HTTP/1.1\r\nhost: here\r\n\r\n");
    await once(socket, "readable");
    const closed = server.close();
    expect(await text(socket)).toContain("event: bye");
    await closed;
  });

  test("waits for nobody who has not asked anything yet", async () => {
    const clock = new ManualClock();
    const { server, port, url } = await serve(() => {}, { clock });
    const [silent, hesitant] = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")];
    const ended = [silent, hesitant].map((socket) => once(socket, "close"));
    hesitant.on("error", () => {}).write("GET /heal");
    await fetch(`${url}/healthz`);
    await server.close();
    await Promise.all(ended);
    expect(clock.timers).toBe(0);
  });

  test("cuts off what does not end in 5 s", async () => {
    const clock = new ManualClock();
    const hangs = Promise.withResolvers<void>();
    const { server, url } = await serve(
      (server) =>
        server.get("/hang", open, () => {
          hangs.resolve();
          return new Promise(() => {});
        }),
      { clock },
    );
    const answer = fetch(`${url}/hang`).catch((error: unknown) => error);
    await hangs.promise;
    const closed = server.close();
    await until(() => Promise.resolve(clock.timers === 1), 5000, "the deadline to be set");
    clock.advance(4999);
    expect(server.server.listening).toBe(false);
    clock.advance(1);
    expect(await answer).toBeInstanceOf(Error);
    await closed;
    expect(clock.timers).toBe(0);
  });
});

test("a handler learns when whoever asked has left, also after the body was read", async () => {
  const left = Promise.withResolvers<string>();
  const waits = Promise.withResolvers<void>();
  await using served = await serve((server) =>
    server.post("/wait", open, async (_, reply) => {
      const signal = giveUpSignal(reply);
      await new Promise((resolve) => setImmediate(resolve));
      if (signal.aborted) left.resolve("too early");
      waits.resolve();
      await aborted(signal);
      left.resolve("left");
      return {};
    }),
  );
  const socket = connect(served.port, "127.0.0.1");
  socket.write("POST /wait HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}");
  await waits.promise;
  socket.destroy();
  expect(await left.promise).toBe("left");
});
