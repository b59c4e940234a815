import { execFile } from "node:child_process";
import { chmod, rm, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EventStream } from "../../support/event-stream.ts";
import { until } from "../../support/fleet.ts";
import { freePort, World, type Controller } from "../../support/world.ts";

const READ = "read-token-of-20-chars";
const PULL = "pull-token-of-20-chars";
const OPERATE = "operate-token-of-20-ch";
const APP = "/api/v1/apps/files/nginx/prod/web";
const FILE = "/files/files/nginx/prod/web/etc/a.conf";
const SECRET_FILE = "/files/files/nginx/prod/web/etc/key.pem";

type Sent = Omit<RequestInit, "headers"> & { readonly headers?: Readonly<Record<string, string>> };

let world: World;

beforeAll(async () => {
  world = await World.create({
    hosts: 1,
    kind: "ports",
    files: {
      "nginx/prod/web/etc/a.conf": "0\n",
      "nginx/prod/web/etc/key.pem": "private\n",
      "nginx/prod/web/.gitattributes": "etc/key.pem secret\n",
    },
  });
});
afterAll(() => world?.[Symbol.asyncDispose]());

async function putTokens(): Promise<void> {
  await world.putSecret("api", { read: `grafana ${READ}\n`, pull: PULL, operate: `# people\nann ${OPERATE}\n` });
}

describe("with tokens of a Secret", () => {
  let controller: Controller;
  beforeAll(async () => {
    await putTokens();
    controller = await world.start("--tokens-secret", "api");
    await world.settled(1);
  });
  afterAll(() => controller?.stop());

  async function status(token: string | undefined, path: string, init: Sent = {}): Promise<number> {
    const headers = { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...init.headers };
    const answer = await fetch(`${controller.url}${path}`, { ...init, headers });
    await answer.arrayBuffer();
    return answer.status;
  }

  const sync: Sent = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ repo: "files" }),
  };

  test.each<[role: string, token: string | undefined, statuses: readonly number[]]>([
    ["nobody", undefined, [401, 401, 401, 401, 401]],
    ["somebody unknown", "x".repeat(20), [401, 401, 401, 401, 401]],
    ["read", READ, [200, 200, 200, 403, 403]],
    ["pull", PULL, [403, 403, 200, 200, 403]],
    ["operate", OPERATE, [200, 200, 200, 200, 202]],
  ])("%s", async (_, token, statuses) => {
    const seen = [];
    for (const path of ["/api/v1/repos", APP, FILE, SECRET_FILE]) seen.push(await status(token, path));
    seen.push(await status(token, "/api/v1/sync", sync));
    expect(seen).toEqual(statuses);
  });

  test("health and metrics are open", async () => {
    for (const path of ["/healthz", "/readyz", "/metrics"]) expect(await status(undefined, path), path).toBe(200);
  });

  test("curl and wget show the token as a password, and of .netrc", async () => {
    const url = `${controller.url}${FILE}`;
    const { hostname } = new URL(url);
    await writeFile(join(world.dir, ".netrc"), `machine ${hostname} login x password ${PULL}\n`);
    await chmod(join(world.dir, ".netrc"), 0o600);
    await expect(run("curl", ["-sf", "-u", `x:${PULL}`, url])).resolves.toBe("0\n");
    await expect(run("curl", ["-sf", "--netrc", url])).resolves.toBe("0\n");
    await expect(run("curl", ["-sf", url])).rejects.toThrow();
    await expect(run("wget", ["-qO-", "--user=x", `--password=${PULL}`, url])).resolves.toBe("0\n");
    await expect(run("wget", ["-qO-", url])).resolves.toBe("0\n");
  });

  async function says(message: string): Promise<void> {
    const said = () => Promise.resolve(controller.log.some(({ msg }) => msg === message));
    await until(said, 10_000, `the log to say: ${message}`);
  }

  async function run(command: string, args: string[]): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const env = { PATH: process.env["PATH"], HOME: world.dir };
    execFile(command, args, { env, timeout: 20_000 }, (error, stdout) => (error ? reject(error) : resolve(stdout)));
    return await promise;
  }

  test("who changed something is in the log, tokens are not", async () => {
    const { length } = controller.logged("ApiCall");
    const headers = { ...sync.headers, "x-forwarded-for": "192.0.2.7", "x-request-id": "of-ann" };
    expect(await status(OPERATE, "/api/v1/sync", { ...sync, headers })).toBe(202);
    const calls = controller.logged("ApiCall").slice(length);
    expect(calls).toHaveLength(1);
    expect(calls[0]).toMatchObject({ who: "ann", what: "sync", from: "127.0.0.1", reqId: "of-ann" });
    for (const token of [READ, PULL, OPERATE]) expect(controller.running.stderr).not.toContain(token);
  });

  test("new tokens hold within seconds, without a restart, and who watches by an old one is ended; while the Secret is away the last ones do", async () => {
    const bob = "token-of-bob-of-20-chars";
    const watchBy = (token: string) =>
      EventStream.open(`${controller.url}/api/v1/hosts?watch=true`, { authorization: `Bearer ${token}` });
    using watching = await watchBy(OPERATE);
    await watching.synced();
    await world.putSecret("api", { operate: `bob ${bob}` });
    // Not by asking: wrong tokens are limited.
    await says("the API's tokens have changed");
    expect(await status(bob, "/api/v1/repos")).toBe(200);
    expect(await status(OPERATE, "/api/v1/repos")).toBe(401);
    using others = await watchBy(bob);
    await until(async () => watching.ended, 60_000, "the watch to be ended");
    expect([watching.response.complete, others.ended]).toEqual([true, false]);

    await rm(join(world.dir, "secrets", "api"), { recursive: true });
    const message = "the API's tokens cannot be read; the last good ones hold for five minutes";
    await says(message);
    expect(await status(bob, "/api/v1/repos")).toBe(200);
    await putTokens();
    await says("the API's tokens can be read again");
    expect(await status(READ, "/api/v1/repos")).toBe(200);
    expect(controller.log.filter(({ msg }) => msg === message)).toHaveLength(1);
  }, 120_000);
});

describe("without tokens", () => {
  test.each([":0", "0.0.0.0:0", "[::]:0"])("--listen %s is refused, by name and with the ways out", async (address) => {
    const { code, stderr } = await world.run("run", "--listen", address);
    expect(code).toBe(1);
    expect(stderr).toContain(`InvalidSpec: --listen ${address}: without authentication the API is for this machine`);
    for (const way of ["--tokens-secret", "--kubernetes-auth", "--metrics-listen"]) expect(stderr).toContain(way);
  });

  test.each([
    [["--kubernetes-auth"], "--kubernetes-auth is of use with --kubernetes only"],
    [["--compat-anonymous"], "--compat-anonymous is of use with --compat only"],
  ])("%j alone is refused", async (args, message) => {
    const { code, stderr } = await world.run("run", ...args);
    expect(code).toBe(1);
    expect(stderr).toContain(message);
  });

  test("metrics may be elsewhere, and have nothing of the API", async () => {
    const port = await freePort();
    const controller = await world.start("--metrics-listen", `:${port}`);
    const metrics = `http://${someAddress()}:${port}`;
    expect((await fetch(`${metrics}/metrics`)).status).toBe(200);
    expect((await fetch(`${metrics}/readyz`)).status).toBe(200);
    expect((await fetch(`${metrics}/api/v1/repos`)).status).toBe(404);
    expect((await controller.get("/metrics")).status).toBe(404);
    await controller.stop();
  });

  test("a page whose name resolves to this machine, or of another site, gets nowhere", async () => {
    const controller = await world.start();
    const ask = async (method: string, path: string, headers: Record<string, string>): Promise<number> => {
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      httpRequest(`${controller.url}${path}`, { method, headers }, (answer) => {
        answer.resume();
        resolve(answer.statusCode!);
      })
        .once("error", reject)
        .end();
      return await promise;
    };
    expect(await ask("GET", "/api/v1/repos", {})).toBe(200);
    expect(await ask("GET", "/api/v1/repos", { host: "rebound.example" })).toBe(403);
    expect(await ask("POST", "/api/v1/sync", { origin: "http://evil.example" })).toBe(403);
    expect(await ask("POST", "/api/v1/suspend", { "sec-fetch-site": "cross-site" })).toBe(403);
    expect(controller.logged("ApiCall")).toEqual([]);
    await controller.stop();
  });
});

test("a token that is too short stops the start, by secret, key and line", async () => {
  await world.putSecret("weak", { operate: "# people\nann hunter2" });
  const { code, stderr } = await world.run("run", "--listen", ":0", "--tokens-secret", "weak");
  expect(code).toBe(1);
  expect(stderr).toContain("SecretInvalid: Secret weak, key operate, line 2: the token has 7 characters");
  expect(stderr).not.toContain("hunter2");
});

/** Of this machine, and no loopback address where it has one. */
function someAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1";
}
