import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { Agent, fetch } from "undici";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/clock/system-clock.ts";
import type { ApiServer } from "../../../../src/http/api-server.ts";
import { loadCertificate, type CertificateFiles } from "../../../../src/http/certificate-files.ts";
import { deskOf, type PublicServerOptions, type Site, type SiteDesk } from "../../../../src/http/site.ts";
import { Metrics } from "../../../../src/metrics/metrics.ts";
import { selfSigned } from "../../../support/certificate.ts";
import { until } from "../../../support/fleet.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { serve, type Served } from "../rig.ts";

const READS = { verb: "get", resource: "configapps" } as const;
const CHANGES = { verb: "update", resource: "configapps" } as const;

let stack: AsyncDisposableStack;
beforeEach(() => {
  stack = new AsyncDisposableStack();
});
afterEach(() => stack.disposeAsync());

function siteOf(parts: Partial<Site>): Site {
  return {
    version: "0",
    metrics: () => Promise.resolve("of this process\n"),
    telemetry: new Metrics({ clock: systemClock, version: "0" }).http,
    notReady: () => null,
    desk: () => undefined,
    ...parts,
  };
}

/** A process that leads; what its handlers got is told by `told`. */
async function leads(
  routes: (server: ApiServer, site: Site) => void = echo,
  options: Partial<PublicServerOptions> = {},
): Promise<Served> {
  const site = siteOf({ desk: () => ({}) as SiteDesk });
  return stack.use(await serve((server) => routes(server, site), { site, ...options }));
}

/** One that follows, and knows the routes that the leader has. */
async function follows(
  leaderApi: () => string | undefined,
  options: Partial<PublicServerOptions> = {},
): Promise<Served> {
  const site = siteOf({ leaderApi });
  return stack.use(await serve((server) => echo(server, site), { site, ...options }));
}

function echo(server: ApiServer, site: Site): void {
  const answer = (request: { url: string; headers: object; body?: unknown }) => {
    deskOf(site);
    return { url: request.url, headers: request.headers, body: request.body };
  };
  server.get("/echo/*", { config: { needs: READS } }, answer);
  server.post("/echo/*", { config: { needs: CHANGES }, bodyLimit: 1000 }, answer);
  server.post("/hooks/test", { config: { needs: "open" } }, answer);
  server.get("/local", { config: { needs: "open" } }, () => ({ local: true }));
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: { url?: string; headers?: Record<string, string>; body?: unknown; reason?: string; detail?: string };
}

/** Not by fetch, which changes paths and headers. */
async function ask(
  { port }: Served,
  path: string,
  {
    method = "GET",
    body = "",
    headers = {},
  }: { method?: string; body?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  httpRequest({ host: "127.0.0.1", port, path, method, headers, agent: false }, (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (part: string) => (text += part));
    response.once("error", reject);
    response.once("end", () =>
      resolve({ status: response.statusCode!, headers: response.headers, body: parsed(text) }),
    );
  })
    .once("error", reject)
    .end(body);
  return await promise;
}

function parsed(text: string): Answer["body"] {
  try {
    return JSON.parse(text) as Answer["body"];
  } catch {
    return {};
  }
}

/** A process that takes connections, counts the requests on them, and answers none. */
async function deaf(onRequest: (socket: Socket) => void): Promise<{ url: string; requests: number }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (data) => {
      if (/^(GET|POST) /.test(data.toString("latin1"))) found.requests++;
      onRequest(socket);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stack.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as { port: number };
  const found = { url: `http://127.0.0.1:${port}`, requests: 0 };
  return found;
}

const JSON_BODY = { "content-type": "application/json" };

describe("what a follower is asked", () => {
  test("goes to the leader as it is, and its answer comes back as it is", async () => {
    const leader = await leads();
    const follower = await follows(() => leader.url);
    const path = "/echo/a%2f..%2fb?x=%20&y=1";
    const got = await ask(follower, path, { headers: { "x-request-id": "one", accept: "application/json" } });
    expect(got.status).toBe(200);
    expect(got.body.url).toBe(path);
    expect(got.body.headers).toMatchObject({ accept: "application/json", "x-request-id": "one" });
    expect(got.headers["x-request-id"]).toBe("one");

    const posted = await ask(follower, "/echo/", { method: "POST", body: '{"a":[1]}', headers: JSON_BODY });
    expect(posted.body.body).toEqual({ a: [1] });
    const chunked = { ...JSON_BODY, "transfer-encoding": "chunked", expect: "100-continue" };
    const streamed = await ask(follower, "/echo/", { method: "POST", body: '{"a":[2]}', headers: chunked });
    expect(streamed.body.body).toEqual({ a: [2] });
    const head = await ask(follower, "/echo/", { method: "HEAD" });
    expect(head.status).toBe(200);
  });

  test("is answered without a body where the leader has none", async () => {
    const leader = await leads((server) => {
      server.get("/echo/*", { config: { needs: READS } }, (request, reply) => {
        if (request.headers["if-none-match"] === '"a"') return reply.code(304).header("etag", '"a"').send();
        return reply.header("etag", '"a"').send("0123456789");
      });
      server.post("/echo/*", { config: { needs: CHANGES } }, (_, reply) => reply.code(204).send());
    });
    const follower = await follows(() => leader.url);
    const unchanged = await ask(follower, "/echo/", { headers: { "if-none-match": '"a"' } });
    expect(unchanged).toMatchObject({ status: 304, headers: { etag: '"a"' } });
    const head = await ask(follower, "/echo/", { method: "HEAD" });
    expect(head).toMatchObject({ status: 200, headers: { etag: '"a"', "content-length": "10" } });
    const done = await ask(follower, "/echo/", { method: "POST", body: "{}", headers: JSON_BODY });
    expect(done.status).toBe(204);
  });

  test("hooks too, but not what is each process' own", async () => {
    const follower = await follows(() => "http://127.0.0.1:1");
    expect((await ask(follower, "/hooks/test", { method: "POST", body: "{}", headers: JSON_BODY })).status).toBe(503);
    for (const path of ["/local", "/healthz", "/metrics"]) expect((await ask(follower, path)).status, path).toBe(200);
    expect((await ask(follower, "/nothing")).status).toBe(404);
  });

  test("headers of a connection stay on it, in both directions", async () => {
    const leader = await leads((server) => {
      server.get("/echo/*", { config: { needs: READS } }, (request, reply) => {
        void reply.headers({ "x-of-the-link": "1", connection: "x-of-the-link, keep-alive", "x-kept": "1" });
        return { headers: request.headers };
      });
    });
    const follower = await follows(() => leader.url);
    const headers = {
      connection: "close, X-Mine",
      "x-mine": "1",
      te: "trailers",
      "proxy-authorization": "Basic eDp5",
      "x-forwarded-for": "192.0.2.7",
      host: "127.0.0.1:1",
    };
    const { body, headers: back } = await ask(follower, "/echo/", { headers });
    for (const name of ["x-mine", "te", "proxy-authorization"]) expect(body.headers).not.toHaveProperty(name);
    expect(body.headers?.["host"]).toBe(new URL(leader.url).host);
    expect(back).toMatchObject({ "x-kept": "1" });
    expect(back).not.toHaveProperty("x-of-the-link");
  });

  test("is done by nobody when nobody, or the follower itself, is said to lead", async () => {
    const none = await follows(() => undefined);
    expect((await ask(none, "/echo/")).status).toBe(503);
    const itself: Served = await follows(() => itself.url);
    const answer = await ask(itself, "/echo/");
    expect(answer.status).toBe(503);
    expect(answer.body.detail).toContain("does not lead");
  });

  test("is only passed on for who is known, and says who in the log when it changes something", async () => {
    const leader = await leads();
    const access = {
      authenticate: async (token: string) => (token === "of-ann" ? { name: "ann" } : undefined),
      may: async () => true,
    };
    const follower = await follows(() => leader.url, { access });
    expect((await ask(follower, "/echo/")).status).toBe(401);
    const headers = { ...JSON_BODY, authorization: "Bearer of-ann", "x-request-id": "two" };
    expect((await ask(follower, "/echo/", { headers })).status).toBe(200);
    await ask(follower, "/echo/?token=x", { method: "POST", body: "{}", headers });
    const lines = follower.log.filter(({ event }) => event === "ApiForwarded");
    expect(lines).toHaveLength(1);
    const facts = { who: "ann", from: "127.0.0.1", method: "POST", route: "/echo/*", reqId: "two" };
    expect(lines[0]).toMatchObject(facts);
    expect(leader.log.filter(({ reqId }) => reqId === "two")).not.toEqual([]);
  });

  test.each([
    ["said to be too large", {}],
    ["that turns out to be too large", { "transfer-encoding": "chunked" }],
  ])("a body %s is refused, as by the leader", async (_, more) => {
    const leader = await leads();
    const follower = await follows(() => leader.url);
    const sent = { method: "POST", body: JSON.stringify("x".repeat(2000)), headers: { ...JSON_BODY, ...more } };
    for (const served of [leader, follower]) expect((await ask(served, "/echo/", sent)).status).toBe(413);
  });
});

describe("an answer that goes on", () => {
  let left: boolean;
  let leader: Served;
  let follower: Served;

  beforeEach(async () => {
    left = false;
    leader = await leads((server) => {
      server.get("/echo/*", { config: { needs: READS } }, (_, reply) => {
        reply.hijack();
        reply.raw.once("close", () => (left = true));
        reply.raw.writeHead(200, { "content-type": "text/event-stream" });
        reply.raw.write("event: added\n\n");
      });
    });
    follower = await follows(() => leader.url);
  });

  async function watch(): Promise<IncomingMessage> {
    const request = httpRequest({ host: "127.0.0.1", port: follower.port, path: "/echo/", agent: false }).end();
    const [response] = (await once(request, "response")) as [IncomingMessage];
    const [first] = (await once(response, "data")) as [Buffer];
    expect(first.toString()).toBe("event: added\n\n");
    return response;
  }

  test("comes as it comes, and ends at the leader when the client leaves", async () => {
    const response = await watch();
    expect(left).toBe(false);
    response.destroy();
    await until(() => Promise.resolve(left), 5000, "the leader to see that the client has left");
  });

  test("is cut when the leader goes", async () => {
    const response = await watch();
    response.resume();
    const ended = once(response, "close").catch(() => {});
    leader.server.server.closeAllConnections();
    await ended;
    expect(response.complete).toBe(false);
  });

  test("ends in good order when the follower closes", async () => {
    const response = await watch();
    response.resume();
    const ended = once(response, "end");
    await follower.server.close();
    await ended;
    expect(response.complete).toBe(true);
    await until(() => Promise.resolve(left), 5000, "the leader to see it");
  });
});

describe("while the leader is away", () => {
  test("503 with Retry-After when it cannot be reached", async () => {
    const follower = await follows(() => "http://127.0.0.1:1");
    for (const method of ["GET", "POST"]) {
      const answer = await ask(follower, "/echo/", { method, body: method === "POST" ? "{}" : "", headers: JSON_BODY });
      expect(answer.status).toBe(503);
      expect(answer.headers["retry-after"]).toBe("5");
      expect(answer.body.reason).toBe("ControllerLost");
    }
  });

  test.each(["GET", "POST"])("502 when it goes before it has answered, and %s is not sent again", async (method) => {
    const leader = await deaf((socket) => socket.destroy());
    const follower = await follows(() => leader.url);
    const answer = await ask(follower, "/echo/", { method, body: method === "POST" ? "{}" : "", headers: JSON_BODY });
    expect(answer.status).toBe(502);
    expect(answer.body.reason).toBe("ControllerLost");
    expect(leader.requests).toBe(1);
  });

  test("a leader that hangs is waited for no longer than it leads", async () => {
    const clock = new ManualClock();
    const leader = await deaf(() => {});
    let leaderApi: string | undefined = leader.url;
    const follower = await follows(() => leaderApi, { clock });
    const answer = ask(follower, "/echo/");
    await until(() => Promise.resolve(leader.requests === 1), 5000, "the request");
    clock.advance(60_000);
    leaderApi = undefined;
    // It may still be telling how its work ended.
    clock.advance(2000);
    clock.advance(2000);
    expect((await answer).status).toBe(502);
    expect(clock.timers).toBe(0);
  });
});

describe("with TLS", () => {
  async function certificate(): Promise<CertificateFiles> {
    const dir = await mkdtemp(join(tmpdir(), "fssync-forward-"));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    const [tlsCert, tlsKey] = [join(dir, "tls.crt"), join(dir, "tls.key")];
    const { cert, key } = selfSigned();
    await writeFile(tlsCert, cert);
    await writeFile(tlsKey, key);
    return (await loadCertificate({ tlsCert, tlsKey }, { clock: systemClock, log: pino({ level: "silent" }) }))!;
  }

  async function statusOf(follower: Served): Promise<number> {
    const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
    stack.defer(() => dispatcher.close());
    const answer = await fetch(`${follower.url}/echo/`, { dispatcher });
    await answer.text();
    return answer.status;
  }

  test("the leader must show the certificate that the follower has itself, and no other", async () => {
    const [ours, another] = [await certificate(), await certificate()];
    const leader = await leads(echo, { tls: ours });
    expect(leader.url).toMatch(/^https:/);
    expect(await statusOf(await follows(() => leader.url, { tls: ours }))).toBe(200);
    expect(await statusOf(await follows(() => leader.url, { tls: another }))).toBe(503);
    const plain = await leads();
    expect(await statusOf(await follows(() => plain.url.replace("http:", "https:"), { tls: ours }))).toBe(503);
  });
});
