import { request as httpRequest } from "node:http";
import { describe, expect, test } from "vitest";
import type { ApiServer } from "../../../../src/http/api-server.ts";
import { authorize } from "../../../../src/http/auth/guard.ts";
import { noteCall } from "../../../../src/http/auth/note-call.ts";
import { FssyncError } from "../../../../src/model/errors.ts";
import type { Access, Action } from "../../../../src/ports/access.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { serve, type Served } from "../rig.ts";

const READS = { verb: "get", resource: "configapps" } as const;
const CHANGES = { verb: "update", resource: "configapps" } as const;

function routes(server: ApiServer): void {
  server.get("/open", { config: { needs: "open" } }, () => ({}));
  server.get("/read", { config: { needs: READS } }, ({ caller }) => caller);
  server.get("/read/:repo", { config: { needs: READS } }, ({ caller }) => caller);
  server.get("/secret", { config: { needs: READS } }, async (request) => {
    await authorize(request, ACCESS, { ...READS, subresource: "secrets" });
    return {};
  });
  server.post("/change", { config: { needs: CHANGES } }, (request) => {
    noteCall(request, "change", { repo: "files", revision: "main@sha1:0" });
    return {};
  });
  server.get("/old/list", { config: { needs: READS, compat: true } }, ({ caller }) => caller);
  server.get("/old/sync", { config: { needs: CHANGES, compat: true } }, ({ caller }) => caller);
}

/** Asked for, in order. */
let asked: Action[] = [];
const ACCESS: Access = {
  authenticate: async (token) => (token.startsWith("of-") ? { name: token.slice(3) } : undefined),
  may: async ({ name }, action) => {
    asked.push(action);
    return name === "root" || (action.verb !== "update" && action.repo !== "other" && !action.subresource);
  },
};

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Record<string, unknown>;
}

/** Not by fetch, which sets headers of its own. */
async function ask(
  { port }: Served,
  path: string,
  { method = "GET", body, ...headers }: Record<string, string> = {},
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const type = body === undefined ? {} : { "content-type": "application/json" };
  httpRequest({ host: "127.0.0.1", port, path, method, headers: { ...type, ...headers } }, (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (part: string) => (text += part));
    response.once("end", () =>
      resolve({
        status: response.statusCode!,
        headers: response.headers,
        body: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>),
      }),
    );
  })
    .once("error", reject)
    .end(body);
  return await promise;
}

const basic = (password: string) => `Basic ${Buffer.from(`x:${password}`).toString("base64")}`;

describe("with tokens", () => {
  test.each([
    ["Bearer of-ann"],
    ["bearer  of-ann"],
    [basic("of-ann")],
    [`Basic ${Buffer.from(":of-ann").toString("base64")}`],
  ])("%s is ann", async (authorization) => {
    await using served = await serve(routes, { access: ACCESS });
    await expect(ask(served, "/read", { authorization })).resolves.toMatchObject({
      status: 200,
      body: { name: "ann" },
    });
  });

  test.each([
    [undefined],
    ["Bearer"],
    ["Bearer ann"],
    ["Bearer of-ann of-bob"],
    ["Negotiate of-ann"],
    ["Basic of-ann"],
    ["Basic !!!"],
    [basic("")],
  ])("%s is nobody: 401 with both challenges", async (authorization) => {
    await using served = await serve(routes, { access: ACCESS });
    const answer = await ask(served, "/read", authorization === undefined ? {} : { authorization });
    expect(answer.status).toBe(401);
    expect(answer.headers["www-authenticate"]).toBe('Bearer realm="fssync", Basic realm="fssync", charset="UTF-8"');
    expect(answer.headers["content-type"]).toContain("application/problem+json");
    expect(answer.body).toMatchObject({ status: 401, reason: "Unauthorized" });
  });

  test("a password may hold colons", async () => {
    await using served = await serve(routes, { access: ACCESS });
    const { body } = await ask(served, "/read", { authorization: basic("of-a:b") });
    expect(body).toEqual({ name: "a:b" });
  });

  test("403 says who may not do what where", async () => {
    await using served = await serve(routes, { access: ACCESS });
    const change = await ask(served, "/change", { method: "POST", authorization: "Bearer of-ann" });
    expect(change.status).toBe(403);
    expect(change.body).toMatchObject({
      detail: "ann may not update configapps.fssync.dev of all repos; a token needs the role operate for it",
    });
    const other = await ask(served, "/read/other", { authorization: "Bearer of-ann" });
    expect(other.body).toMatchObject({
      detail: "ann may not get configapps.fssync.dev of repo other; a token needs the role read for it",
    });
    const secret = await ask(served, "/secret", { authorization: "Bearer of-ann" });
    expect(secret.body).toMatchObject({
      detail: "ann may not get configapps.fssync.dev/secrets of all repos; a token needs the role pull for it",
    });
    expect((await ask(served, "/secret", { authorization: "Bearer of-root" })).status).toBe(200);
  });

  test("every repo that a request names is asked for: none hides behind another", async () => {
    await using served = await serve(routes, { access: ACCESS });
    const authorization = "Bearer of-ann";
    expect((await ask(served, "/read/mine", { authorization })).status).toBe(200);
    expect((await ask(served, "/read/mine?repo=other", { authorization })).status).toBe(403);
    expect((await ask(served, "/read?repo=mine&repo=other", { authorization })).status).toBe(403);
    asked = [];
    const body = JSON.stringify({ repo: "theirs" });
    await ask(served, "/change?repo=mine", { method: "POST", body, authorization: "Bearer of-root" });
    expect(asked.map(({ repo }) => repo)).toEqual(["mine", "theirs"]);
  });

  test("a failing login is logged once a minute for each address, without the token", async () => {
    const clock = new ManualClock();
    await using served = await serve(routes, { access: ACCESS, clock });
    for (let guess = 0; guess < 5; guess++) await ask(served, "/read", { authorization: `Bearer wrong-${guess}` });
    await ask(served, "/read");
    const failures = () => served.log.filter(({ event }) => event === "LoginFailed");
    expect(failures()).toHaveLength(1);
    expect(failures()[0]).toMatchObject({ from: "127.0.0.1", unsaid: 0 });
    clock.advance(61_000);
    await ask(served, "/read", { authorization: "Bearer wrong-5", "x-forwarded-for": "192.0.2.7" });
    expect(failures()).toHaveLength(2);
    expect(failures()[1]).toMatchObject({ from: "127.0.0.1", unsaid: 4 });
    expect(JSON.stringify(served.log)).not.toContain("wrong-");
  });

  test("what is changed is logged with who, what, from where and the request's id", async () => {
    await using served = await serve(routes, { access: ACCESS });
    const headers = { authorization: "Bearer of-root", "x-forwarded-for": "192.0.2.7" };
    await ask(served, "/change", { method: "POST", ...headers });
    expect(served.log.find(({ event }) => event === "ApiCall")).toMatchObject({
      who: "root",
      what: "change",
      from: "127.0.0.1",
      reqId: expect.any(String),
      repo: "files",
      revision: "main@sha1:0",
    });
    expect(JSON.stringify(served.log)).not.toContain("of-root");
  });

  test("503 with Retry-After while it cannot be found out who asks or what they may", async () => {
    const away = async () => {
      throw new FssyncError("KubernetesUnavailable", "POST /apis/…: no answer within the time limit");
    };
    await using noLogin = await serve(routes, { access: { ...ACCESS, authenticate: away } });
    await using noAnswer = await serve(routes, { access: { ...ACCESS, may: away } });
    for (const served of [noLogin, noAnswer]) {
      const answer = await ask(served, "/read", { authorization: "Bearer of-ann" });
      expect(answer.status).toBe(503);
      expect(answer.headers["retry-after"]).toBe("5");
      expect(answer.body).toMatchObject({ reason: "KubernetesUnavailable" });
    }
  });
});

test("what was admitted is admitted still until the token is taken back, or what it may do", async () => {
  let known = true;
  let may = true;
  const access: Access = {
    authenticate: async () => (known ? { name: "ann" } : undefined),
    may: async (_, { repo }) => may || repo === undefined,
  };
  let admitted: (() => Promise<boolean>) | undefined;
  await using served = await serve(
    (server) =>
      server.get("/read/:repo", { config: { needs: READS } }, (request) => {
        admitted = () => server.admitsStill(request);
        return {};
      }),
    { access },
  );
  await ask(served, "/read/mine", { authorization: "Bearer of-ann" });
  await expect(admitted!()).resolves.toBe(true);
  may = false;
  await expect(admitted!()).resolves.toBe(false);
  [may, known] = [true, false];
  await expect(admitted!()).resolves.toBe(false);
});

describe("the predecessor's endpoints", () => {
  test("are for whoever reaches the address where that was asked for", async () => {
    await using served = await serve(routes, { access: ACCESS, compat: { anonymous: true } });
    await expect(ask(served, "/old/sync")).resolves.toMatchObject({ status: 200, body: { name: "anonymous" } });
    expect((await ask(served, "/read")).status).toBe(401);
    const known = await ask(served, "/old/sync", { authorization: "Bearer of-ann" });
    expect(known).toMatchObject({ status: 200, body: { name: "ann" } });
  });

  test("need a token else", async () => {
    await using served = await serve(routes, { access: ACCESS, compat: { anonymous: false } });
    expect((await ask(served, "/old/sync")).status).toBe(401);
    expect((await ask(served, "/old/sync", { authorization: "Bearer of-ann" })).status).toBe(403);
  });
});

describe("a page in a browser", () => {
  const OTHER = { "sec-fetch-site": "cross-site", origin: "http://evil.example" };
  test.each<[string, Record<string, string>]>([
    ["of another site", OTHER],
    ["of another port of this machine", { "sec-fetch-site": "same-site" }],
    ["of another site, in an old browser", { origin: "http://evil.example" }],
    ["in a sandbox, in an old browser", { origin: "null" }],
  ])("%s changes nothing, also with a password that the browser knows", async (_, headers) => {
    await using open = await serve(routes);
    await using closed = await serve(routes, { access: ACCESS });
    for (const served of [open, closed])
      for (const [path, method] of [
        ["/change", "POST"],
        ["/old/sync", "GET"],
      ] as const) {
        const answer = await ask(served, path, { method, ...headers, authorization: basic("of-root") });
        expect(answer.status, path).toBe(403);
        expect(answer.body["detail"]).toContain("another site");
      }
    expect(open.log.filter(({ event }) => event === "ApiCall")).toEqual([]);
  });

  test.each<[string, Record<string, string>]>([
    ["of this server", { "sec-fetch-site": "same-origin" }],
    ["that its user typed the address of", { "sec-fetch-site": "none" }],
  ])("%s may", async (_, headers) => {
    await using served = await serve(routes);
    expect((await ask(served, "/change", { method: "POST", ...headers })).status).toBe(200);
    expect((await ask(served, "/old/sync", headers)).status).toBe(200);
  });

  test("of this server may in an old browser", async () => {
    await using served = await serve(routes);
    const origin = `http://127.0.0.1:${served.port}`;
    expect((await ask(served, "/change", { method: "POST", origin })).status).toBe(200);
  });

  test("whose name resolves to this machine reads nothing and changes nothing without authentication", async () => {
    await using served = await serve(routes);
    for (const host of ["rebound.example", `rebound.example:${served.port}`, "10.0.0.11", "localhost.example"]) {
      expect((await ask(served, "/read", { host })).status, host).toBe(403);
      const sameOrigin = { method: "POST", host, "sec-fetch-site": "same-origin" };
      expect((await ask(served, "/change", sameOrigin)).status, host).toBe(403);
    }
    expect((await ask(served, "/open", { host: "rebound.example" })).status).toBe(200);
    for (const host of ["localhost", `LOCALHOST:${served.port}`, "127.0.0.2", "[::1]:8080"])
      expect((await ask(served, "/read", { host })).status, host).toBe(200);
  });

  test("any name will do with authentication", async () => {
    await using served = await serve(routes, { access: ACCESS });
    const headers = { host: "fssync.example", authorization: "Bearer of-ann" };
    expect((await ask(served, "/read", headers)).status).toBe(200);
  });
});

describe("a browser, whose pages may be of a name that resolves here now", () => {
  const MARKS: [string, Record<string, string>][] = [
    ["origin", { host: "rebound.example", origin: "http://rebound.example" }],
    ["sec-fetch-site", { "sec-fetch-site": "same-origin" }],
    ["sec-fetch-dest", { "sec-fetch-dest": "image" }],
    ["referer", { referer: "http://evil.example/" }],
    ["user-agent", { "user-agent": "Mozilla/5.0 (X11; Linux x86_64)" }],
  ];
  const options = { access: ACCESS, compat: { anonymous: true } };

  test.each(MARKS)("changes nothing for nobody, nor by a password: %s", async (_, marks) => {
    await using served = await serve(routes, options);
    const authorization = basic("of-root");
    for (const headers of [marks, { ...marks, authorization }]) {
      const answer = await ask(served, "/old/sync", headers);
      expect(answer.status).toBe(403);
      expect(answer.body["detail"]).toContain("Bearer");
    }
    expect((await ask(served, "/change", { method: "POST", ...marks, authorization })).status).toBe(403);
    const bearer = { method: "POST", ...marks, authorization: "Bearer of-root" };
    expect((await ask(served, "/change", bearer)).status).toBe(200);
    expect((await ask(served, "/read", { ...marks, authorization })).status).toBe(200);
  });

  test("reads for nobody what somebody typed the address of, and nothing for a page", async () => {
    await using served = await serve(routes, options);
    const typed = { "user-agent": "Mozilla/5.0", "sec-fetch-site": "none" };
    expect((await ask(served, "/old/list", typed)).status).toBe(200);
    for (const page of [{ origin: "http://rebound.example" }, { "sec-fetch-site": "cross-site" }])
      expect((await ask(served, "/old/list", { ...typed, ...page })).status).toBe(403);
  });

  test.each(["curl/8.5.0", "Wget/1.21.4", "Go-http-client/1.1", "python-requests/2.31.0", "Java/21.0.2"])(
    "is what %s is not",
    async (agent) => {
      await using served = await serve(routes, options);
      expect((await ask(served, "/old/sync", { "user-agent": agent })).status).toBe(200);
      const headers = { method: "POST", "user-agent": agent, authorization: basic("of-root") };
      expect((await ask(served, "/change", headers)).status).toBe(200);
    },
  );

  test("nor is Node's fetch", async () => {
    await using served = await serve(routes, options);
    expect((await fetch(`${served.url}/old/sync`)).status).toBe(200);
  });
});

test("a route that does not say what it needs stops the start", async () => {
  await expect(serve((server) => void server.get("/forgotten", () => ({})))).rejects.toThrow(
    "GET /forgotten does not say what it needs",
  );
});
