import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { until } from "../../support/fleet.ts";
import { World, type Controller } from "../../support/world.ts";

const MIB = 1024 * 1024;
const BIG = "/archive/files/nginx/prod/big.tar.gz";

let world: World;
let controller: Controller;
const sockets: Socket[] = [];

beforeAll(async () => {
  world = await World.create({ hosts: 1, kind: "ports", files: { "nginx/prod/web/etc/a.conf": "a\n" } });
  // Nobody shall wait for git to look for what random bytes have in common.
  await world.repo.git(["config", "core.compression", "0"]);
  await world.repo.git(["config", "core.bigFileThreshold", "1m"]);
  for (let part = 0; part < 20; part += 5) {
    const files = Array.from({ length: 5 }, (_, at) => [`nginx/prod/big/opt/${part + at}.bin`, randomBytes(10 * MIB)]);
    await world.repo.commit(Object.fromEntries(files) as Record<string, Buffer>);
  }
  await world.repo.commit({
    "nginx/prod/huge/opt/huge.bin": Buffer.alloc(128 * MIB + 1),
    "nginx/prod/huge/etc/small": "small\n",
  });
  controller = await world.start();
  await world.settled(1, 90_000);
}, 240_000);
afterAll(() => world[Symbol.asyncDispose]());
afterEach(() => sockets.splice(0).forEach((socket) => socket.destroy()));

/** Bytes of memory that the controller itself has. */
function memory(): number {
  const status = readFileSync(`/proc/${controller.running.child.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]) * 1024;
}

/** Git processes that read files for somebody. */
function readers(): number {
  return world.processes().filter(({ command }) => command.includes("cat-file")).length;
}

/** Begins to take the archive, and then takes nothing more of it. */
async function stall(): Promise<Socket> {
  const { port } = new URL(controller.url);
  const socket = connect(Number(port), "127.0.0.1");
  sockets.push(socket);
  socket.write(`GET ${BIG} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  await once(socket, "readable");
  expect((socket.read() as Buffer).toString("latin1")).toContain("200 OK");
  return socket;
}

test("200 MB go through without being held: the controller grows by less than 100 MB", async () => {
  await (await controller.get("/archive/files/nginx/prod/web.tar.gz")).arrayBuffer();
  const before = memory();
  let most = before;
  let bytes = 0;
  const answer = await controller.get(BIG);
  expect(answer.status).toBe(200);
  const counted = new Writable({
    write(chunk: Buffer, _, done) {
      bytes += chunk.length;
      most = Math.max(most, memory());
      done();
    },
  });
  await pipeline(answer.body!, createGunzip(), counted);
  expect(bytes).toBeGreaterThan(200 * MIB);
  expect(most - before).toBeLessThan(100 * MIB);
  await until(() => readers() === 0, 5000, "git to be done");
}, 180_000);

test("a client that stops taking holds one git; when it leaves nothing is left", async () => {
  const socket = await stall();
  await until(() => readers() === 1, 5000, "git to read");
  const before = memory();
  // Another one is served meanwhile.
  expect((await controller.get("/files/files/nginx/prod/web/etc/a.conf")).status).toBe(200);
  expect(memory() - before).toBeLessThan(50 * MIB);
  socket.destroy();
  await until(() => readers() === 0, 5000, "git to be ended");
});

test("eight at a time, of which one caller has seven; the next waits a little, and is told to come again", async () => {
  for (let count = 0; count < 7; count += 1) await stall();
  const refused = await controller.get("/archive/files/nginx/prod/web.tar.gz");
  expect(refused.status).toBe(503);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(await refused.json()).toMatchObject({ detail: expect.stringContaining("8 archives") as string });
  const waits = controller.get("/archive/files/nginx/prod/web.tar.gz");
  sockets.pop()!.destroy();
  expect((await waits).status).toBe(200);
}, 60_000);

test("a file that is too large is named before anything is sent, with the limit", async () => {
  for (const path of ["/archive/files/nginx/prod/huge.tar.gz", "/files/files/nginx/prod/huge/opt/huge.bin"]) {
    const answer = await controller.get(path);
    expect([path, answer.status]).toEqual([path, 413]);
    const { detail } = (await answer.json()) as { detail: string };
    expect(detail).toContain("opt/huge.bin");
    expect(detail).toContain(String(128 * MIB));
  }
  expect((await controller.get("/files/files/nginx/prod/huge/etc/small")).status).toBe(200);
});
