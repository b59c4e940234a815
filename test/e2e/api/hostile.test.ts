import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { until } from "../../support/fleet.ts";
import { answerIn, received, send } from "../../support/raw-http.ts";
import { World, type Controller } from "../../support/world.ts";

const JSON_POST = "POST /api/v1/sync HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n";
const IDLE_CONNECTIONS = 2000;
/** Of the machine's other work, not of ours. */
const PATIENCE = 5000;

let world: World;
let controller: Controller;
let port: number;
let before: number;
let others: Others;

beforeAll(async () => {
  // A host that stands still is waited for longer than anything here lasts.
  const spec = { ssh: { connectTimeout: "5m" } };
  world = await World.create({ hosts: 1, kind: "ports", files: { "nginx/prod/web/etc/a.conf": "0\n" }, spec });
  controller = await world.start();
  await world.settled(1);
  port = Number(new URL(controller.url).port);
}, 60_000);
afterAll(() => world[Symbol.asyncDispose]());

beforeEach(() => {
  before = memory();
  others = new Others();
});
afterEach(async () => {
  await others.expectServed();
  expect(memory() - before, "MiB more").toBeLessThan(200);
  expect(controller.log.filter(({ msg }) => msg === "request failed")).toEqual([]);
});

describe("while the server goes on answering others", () => {
  test("bodies without end are refused by their first MiB, or by what they say", async () => {
    const declared = await send(port, `${JSON_POST}content-length: 2000000000\r\n\r\n{"a":`);
    expect(answerIn(declared).status).toBe(413);
    const endless = open();
    endless.write(`${JSON_POST}transfer-encoding: chunked\r\n\r\n`);
    const answer = received(endless);
    const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`;
    for (let sent = 0; sent < 1000 && !endless.destroyed; sent++)
      if (!endless.write(chunk)) await Promise.race([once(endless, "drain"), once(endless, "close")]).catch(() => {});
    expect(answerIn(await answer).status).toBe(413);
  });

  test.each([
    ["arrays", "[".repeat(500_000)],
    ["closed arrays", "[".repeat(250_000) + "]".repeat(250_000)],
    ["objects", '{"repo":'.repeat(100_000) + "1" + "}".repeat(100_000)],
    ["objects where a list is wanted", `{"hosts":[${'{"a":['.repeat(50_000)}${"]}".repeat(50_000)}]}`],
  ])("deeply nested %s are 400", async (_, body) => {
    const headers = { "content-type": "application/json" };
    for (const path of ["/api/v1/sync", "/api/v1/suspend", "/api/v1/resume"])
      expect((await fetch(`${controller.url}${path}`, { method: "POST", headers, body })).status, path).toBe(400);
  });

  test("floods of headers are 431", async () => {
    const flood = `GET /api/v1/repos HTTP/1.1\r\nhost: 127.0.0.1\r\n${"x-more: 1\r\n".repeat(100_000)}\r\n`;
    const answers = await Promise.all(Array.from({ length: 50 }, () => send(port, flood)));
    // Who still sends may be told of the reset before they read.
    const statuses = new Set(answers.filter((answer) => answer !== "").map((answer) => answerIn(answer).status));
    expect([...statuses]).toEqual([431]);
  });

  test("many requests at once on one connection are answered in their order, up to the garbage after them", async () => {
    const socket = open();
    const ids = Array.from({ length: 500 }, (_, index) => `r-${index}`);
    socket.write(ids.map((id) => `GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nx-request-id: ${id}\r\n\r\n`).join(""));
    socket.write("\0\0 GARBAGE \r\n\r\n".repeat(1000));
    const text = await received(socket);
    const answered = [...text.matchAll(/x-request-id: (r-\d+)/g)].map(([, id]) => id!);
    expect(answered).toEqual(ids.slice(0, answered.length));
    expect(answered.length).toBeGreaterThan(0);
    expect(text.match(/HTTP\/1\.1 2\d\d/g)).toHaveLength(answered.length);
  });

  test(`${IDLE_CONNECTIONS} connections that say nothing keep nobody out, and are closed`, async () => {
    // Of one address that is more than it may have.
    const from = (index: number) => `127.0.0.${1 + (index % 2)}`;
    const idle = await Promise.all(Array.from({ length: IDLE_CONNECTIONS }, (_, index) => connected(from(index))));
    expect((await controller.get("/api/v1/repos")).status).toBe(200);
    await until(async () => (await connections()) >= IDLE_CONNECTIONS, 30_000, "all to be taken");
    expect((await controller.get("/api/v1/repos")).status).toBe(200);
    await Promise.all(idle.map((socket) => received(socket)));
    await until(async () => (await connections()) < 50, 20_000, "the connections to be gone");
  }, 90_000);

  test("what comes a byte at a time is 408, and an answer that nobody reads is broken off, one that is long in coming not", async () => {
    const headers = dripped("GET /api/v1/repos HTTP/1.1\r\nhost: 127.0.0.1\r\n", "x-more: 1\r\n");
    const body = dripped(`${JSON_POST}content-length: 100000\r\n\r\n{"all":true}`, " ");
    const unread = open();
    await once(unread, "connect");
    unread.write("GET /openapi.json HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".repeat(500));
    unread.pause();
    expect(answerIn(await headers).status).toBe(408);
    const slow = answerIn(await body);
    expect(slow.status).toBe(408);
    expect(JSON.parse(slow.body)).toMatchObject({ status: 408, title: "Request Timeout" });
    const [host] = world.fleet.hosts;
    await host!.freeze();
    const patient = fetch(`${controller.url}/api/v1/sync?wait=40s`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ all: true, full: true }),
    });
    expect(isConnectedTo(unread)).toBe(true);
    await until(async () => !isConnectedTo(unread), 90_000, "whoever reads nothing to be cut off");
    unread.destroy();
    // An answer that is long in coming is none that nobody reads.
    expect((await patient).status).toBe(202);
    await host!.thaw();
  }, 150_000);
});

test("what the server has counted of all that has no URL in it", async () => {
  const lines = (await controller.metrics())
    .split("\n")
    .filter((line) => line.startsWith("fssync_http_requests_total"));
  expect(lines.some((line) => line.includes('method="none",route="none",code="408"'))).toBe(true);
  expect(lines.some((line) => line.includes('method="none",route="none",code="431"'))).toBe(true);
  expect(lines.length).toBeLessThan(50);
});

/** Somebody who means well, at the same time. */
class Others {
  readonly #over = new AbortController();
  readonly #asking = this.#ask();
  #slowest = 0;
  #answers = 0;

  async expectServed(): Promise<void> {
    this.#over.abort();
    await this.#asking;
    expect(this.#answers).toBeGreaterThan(0);
    expect(this.#slowest, "ms that somebody waited").toBeLessThan(PATIENCE);
  }

  async #ask(): Promise<void> {
    do {
      const began = performance.now();
      const answer = await controller.get("/api/v1/repos");
      expect(answer.status).toBe(200);
      await answer.text();
      this.#answers++;
      this.#slowest = Math.max(this.#slowest, performance.now() - began);
      await sleep(50);
    } while (!this.#over.signal.aborted);
  }
}

async function connections(): Promise<number> {
  return (await controller.metric("fssync_http_connections"))!;
}

function open(from?: string): Socket {
  return connect({ port, host: "127.0.0.1", ...(from && { localAddress: from }) }).on("error", () => {});
}

async function connected(from: string): Promise<Socket> {
  const socket = open(from);
  await once(socket, "connect");
  return socket;
}

/** What comes back when `more` is sent letter by letter, for ever. */
async function dripped(begin: string, more: string): Promise<string> {
  const socket = open();
  socket.write(begin);
  let at = 0;
  const timer = setInterval(() => socket.writable && socket.write(more[at++ % more.length]!), 200);
  try {
    return await received(socket);
  } finally {
    clearInterval(timer);
  }
}

/** Resident MiB of the controller. */
function memory(): number {
  const status = readFileSync(`/proc/${controller.running.child.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) / 1024;
}

/** Whether the kernel has an established connection of the controller to this port. */
function isConnectedTo({ localPort }: Socket): boolean {
  const [server, client] = [port, localPort!].map((one) => one.toString(16).toUpperCase().padStart(4, "0"));
  return new RegExp(`: 0100007F:${server} 0100007F:${client} 01 `).test(readFileSync("/proc/net/tcp", "utf8"));
}
