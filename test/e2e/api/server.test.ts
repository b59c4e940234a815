import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { Agent, fetch as fetchBy } from "undici";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { selfSigned } from "../../support/certificate.ts";
import { until } from "../../support/fleet.ts";
import { received } from "../../support/raw-http.ts";
import { Controller, freePort, World } from "../../support/world.ts";

const WEB = "nginx/prod/web";

let world: World;
beforeAll(async () => {
  world = await World.create({ hosts: 1, kind: "ports", files: { [`${WEB}/etc/a.conf`]: "0\n" } });
});
afterAll(() => world[Symbol.asyncDispose]());

let running: Controller | undefined;
afterEach(() => running?.kill());

async function start(...args: string[]): Promise<Controller> {
  return (running = await world.start(...args));
}

/** As `start`, where the answers are not plain HTTP. */
async function startUnseen(...args: string[]): Promise<Controller> {
  const port = await freePort();
  const child = world.spawn(["run", "--listen", `127.0.0.1:${port}`, ...args]);
  const controller = (running = new Controller(child, `https://127.0.0.1:${port}`));
  await until(
    async () => {
      if (child.child.exitCode !== null) throw new Error(`fssync run ended: ${child.stderr}`);
      return controller.log.some(({ msg }) => msg === "controller started");
    },
    20_000,
    "the controller to start",
  );
  return controller;
}

describe("TLS", () => {
  const files = { cert: "", key: "" };
  beforeAll(() => {
    files.cert = join(world.dir, "tls.crt");
    files.key = join(world.dir, "tls.key");
  });

  test("is served by files, which are read again when they change, and metrics say when it ends", async () => {
    const [first, second] = [selfSigned(), selfSigned({ until: new Date("2032-01-02T03:04:05Z") })];
    await writeFile(files.cert, first.cert);
    await writeFile(files.key, first.key);
    const controller = await startUnseen("--tls-cert", files.cert, "--tls-key", files.key);
    expect(controller.log.find(({ msg }) => msg === "controller started")).toMatchObject({
      address: controller.url,
      metrics: `${controller.url}/metrics`,
    });
    expect(await metricsBy(controller.url, first.cert)).toContain("fssync_tls_certificate_expiry_timestamp_seconds ");
    await expect(metricsBy(controller.url, second.cert)).rejects.toThrow();
    await writeFile(files.key, second.key);
    await writeFile(files.cert, second.cert);
    const renewed = async () => (await metricsBy(controller.url, second.cert).catch(() => "")) !== "";
    await until(renewed, 20_000, "the new certificate");
    expect(await metricsBy(controller.url, second.cert)).toContain(
      `fssync_tls_certificate_expiry_timestamp_seconds ${Date.parse("2032-01-02T03:04:05Z") / 1000}`,
    );
    await writeFile(files.cert, "nonsense");
    await until(async () => controller.log.some(({ level }) => level === "error"), 20_000, "a complaint");
    expect(controller.log.find(({ level }) => level === "error")).toMatchObject({
      msg: "the new TLS certificate cannot be used; the one before stays in force",
      error: expect.stringContaining("tls.crt: holds no certificate") as string,
    });
    expect(await metricsBy(controller.url, second.cert)).toContain("fssync_leader 1");
    expect((await controller.stop()).code).toBe(0);
  });

  test("by half, or with what cannot be used, is refused at the start by name", async () => {
    await writeFile(files.cert, selfSigned().cert);
    await writeFile(files.key, selfSigned().key);
    const run = async (...args: string[]) => {
      const { code, stderr } = await world.run("run", "--listen", "127.0.0.1:0", ...args);
      return `${code} ${stderr}`;
    };
    expect(await run("--tls-cert", files.cert)).toMatch(/^1 .*--tls-cert is given, but not --tls-key/s);
    expect(await run("--tls-key", files.key)).toMatch(/^1 .*--tls-key is given, but not --tls-cert/s);
    expect(await run("--tls-cert", files.cert, "--tls-key", files.key)).toMatch(/^1 .*is not the key/s);
    expect(await run("--tls-cert", files.cert, "--tls-key", join(world.dir, "none"))).toMatch(/^1 .*none: cannot be/s);
  }, 60_000);

  async function metricsBy(url: string, ca: string): Promise<string> {
    const dispatcher = new Agent({ connect: { ca: [ca] } });
    try {
      return await (await fetchBy(`${url}/metrics`, { dispatcher })).text();
    } finally {
      await dispatcher.close();
    }
  }
});

describe("the end of the process", () => {
  test("answers who waits with what there is, ends streams, and keeps no connection that is idle", async () => {
    const [host] = world.fleet.hosts;
    const controller = await start();
    await world.settled(1);
    const port = Number(new URL(controller.url).port);
    const stream = connect(port, "127.0.0.1");
    stream.write("GET /api/v1/hosts?watch=true HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
    const idle = connect(port, "127.0.0.1");
    const ends = [received(stream), received(idle)];
    await Promise.all([once(stream, "data"), once(idle, "connect")]);
    await host!.freeze();
    const headers = { "content-type": "application/json" };
    const waiting = fetch(`${controller.url}/api/v1/sync?wait=5m`, {
      method: "POST",
      headers,
      body: JSON.stringify({ all: true, full: true }),
    });
    const begun = async () => {
      const { items } = (await (await controller.get("/api/v1/operations")).json()) as {
        items: { counts: { total: number } }[];
      };
      return items[0]?.counts.total === 1;
    };
    await until(begun, 10_000, "the host to be asked for");
    controller.running.child.kill("SIGTERM");
    await until(async () => (await controller.get("/readyz")).status === 503, 10_000, "it to be about to stop");
    // Whoever is impatient does not wait for hosts, but for who was promised an answer.
    controller.running.child.kill("SIGTERM");
    const answer = await waiting;
    expect([200, 202]).toContain(answer.status);
    expect(await answer.json()).toMatchObject({ kind: "sync", request: { all: true } });
    const [events] = await Promise.all(ends);
    // The last chunk: the stream was ended, not cut.
    expect(events).toMatch(/\r\n0\r\n\r\n$/);
    expect((await controller.running.ended).code).toBe(0);
    await host!.thaw();
  }, 60_000);
});

describe("what is logged and counted of requests", () => {
  test("a line at debug with the id, and series by route", async () => {
    const controller = await start();
    const secrets = { authorization: "Bearer hush-hush", cookie: "session=hush-hush" };
    await fetch(`${controller.url}/api/v1/apps/files/nginx/prod/none?`, {
      headers: { ...secrets, "x-request-id": "mine-1" },
    });
    await fetch(`${controller.url}/no/such/hush-hush?token=hush-hush`, { headers: secrets, method: "DELETE" });
    const line = () => controller.log.find(({ reqId }) => reqId === "mine-1");
    await until(async () => line() !== undefined, 5000, "the line");
    expect(line()).toMatchObject({ level: "debug", method: "GET", path: "/api/v1/apps/files/nginx/prod/none" });
    expect(controller.running.stderr.replaceAll("/no/such/hush-hush", "")).not.toContain("hush-hush");
    const [route, none] = ["/api/v1/apps/:repo/:mod/:env/:app", "none"];
    const metric = (labels: string) => controller.metric(`fssync_http_requests_total{${labels}}`);
    await until(
      async () => (await metric(`method="DELETE",route="${none}",code="404"`)) === 1,
      5000,
      "both to be counted",
    );
    expect(await metric(`method="GET",route="${route}",code="404"`)).toBe(1);
    expect(await controller.metric(`fssync_http_request_duration_seconds_count{method="GET",route="${route}"}`)).toBe(
      1,
    );
    expect(await controller.metrics()).not.toContain("hush-hush");
    expect(await controller.metric("fssync_http_connections")).toBeGreaterThan(0);
  });

  test("metrics have an address of their own where one is given", async () => {
    const port = await freePort();
    const controller = await start("--metrics-listen", `127.0.0.1:${port}`);
    expect(controller.log.find(({ msg }) => msg === "controller started")).toMatchObject({
      address: controller.url,
      metrics: `http://127.0.0.1:${port}/metrics`,
    });
    expect((await controller.get("/metrics")).status).toBe(404);
    const metrics = await fetch(`http://127.0.0.1:${port}/metrics`);
    expect(await metrics.text()).toContain("fssync_leader 1");
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${port}/api/v1/repos`)).status).toBe(404);
  });
});
