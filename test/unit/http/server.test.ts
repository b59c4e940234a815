import { once } from "node:events";
import { connect } from "node:net";
import { z } from "zod";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { FssyncError } from "../../../src/model/errors.ts";
import { HttpProblem } from "../../../src/http/problem.ts";
import { until } from "../../support/fleet.ts";
import { answerIn, received, send, type RawAnswer } from "../../support/raw-http.ts";
import { serve, type Served } from "./rig.ts";

const open = { config: { needs: "open" } } as const;
const JSON_BODY = { "content-type": "application/json" };

let served: Served;
beforeAll(async () => {
  served = await serve((server) => {
    server.get("/fine", open, () => ({ fine: true }));
    server.get("/items/:name", open, (request) => ({ name: (request.params as { name: string }).name }));
    server.get("/packed/:name.tar.gz", open, () => ({}));
    server.get("/chosen/:name(^(?!(?:none|nothing)$).+$)/*", open, () => ({}));
    server.get("/broken", open, () => {
      throw new TypeError("/etc/fssync/inside.ts:12 is undefined");
    });
    server.get("/reason/:reason", open, (request) => {
      const { reason } = request.params as { reason: "UnknownName" };
      throw new FssyncError(reason, "the message of /var/lib/fssync");
    });
    server.get("/teapot", open, () => {
      throw new HttpProblem(418, "short and stout", { headers: { "retry-after": "7" } });
    });
    server.post("/body", { ...open, schema: { body: z.strictObject({ n: z.int() }) } }, (request) => request.body);
    server.post("/large", { ...open, bodyLimit: 8 * 1024 * 1024 }, () => ({}));
    server.get("/slow", open, async () => {
      await new Promise((resolve) => setTimeout(resolve, 200));
      return { slow: true };
    });
  });
});
afterAll(() => served[Symbol.asyncDispose]());
beforeEach(() => void served.log.splice(0));

const get = (path: string, headers: Record<string, string> = {}) => fetch(`${served.url}${path}`, { headers });
const post = (path: string, body: string, headers: Record<string, string> = JSON_BODY) =>
  fetch(`${served.url}${path}`, { method: "POST", body, headers });
const raw = async (bytes: string): Promise<RawAnswer> => answerIn(await send(served.port, bytes));

async function expectProblem(answer: Response, status: number): Promise<Record<string, unknown>> {
  expect(answer.status).toBe(status);
  expect(answer.headers.get("content-type")).toContain("application/problem+json");
  const problem = (await answer.json()) as Record<string, unknown>;
  expect(problem).toMatchObject({ status, type: "about:blank", instance: answer.headers.get("x-request-id") });
  return problem;
}

function expectRawProblem({ status, headers, body }: RawAnswer, wanted: number): void {
  expect(status).toBe(wanted);
  expect(headers.get("content-type")).toContain("application/problem+json");
  expect(JSON.parse(body)).toMatchObject({ status: wanted, instance: headers.get("x-request-id") });
}

describe("request ids", () => {
  test("a well-formed one is taken, and is in the answer and in the log", async () => {
    const answer = await get("/fine?token=of-ann", { "x-request-id": "proxy-1:a/b=", authorization: "Bearer of-ann" });
    expect(answer.headers.get("x-request-id")).toBe("proxy-1:a/b=");
    await until(async () => served.log.length > 0, 5000, "the line");
    expect(served.log).toHaveLength(1);
    expect(served.log[0]).toMatchObject({ reqId: "proxy-1:a/b=", method: "GET", path: "/fine", status: 200 });
    expect(JSON.stringify(served.log)).not.toContain("of-ann");
  });

  test.each(["", "a b", "x".repeat(129), "a\u00e4"])("%j is not: the server makes one", async (given) => {
    const id = (await get("/fine", { "x-request-id": given })).headers.get("x-request-id");
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe("problems", () => {
  test("what breaks inside is 500: the log says why, the client is told nothing of it", async () => {
    const problem = await expectProblem(await get("/broken"), 500);
    expect(JSON.stringify(problem)).not.toMatch(/inside|TypeError|\.ts/);
    const line = served.log.find(({ msg }) => msg === "request failed");
    expect(line).toMatchObject({ reqId: problem["instance"], err: { type: "TypeError" } });
  });

  test.each([
    ["UnknownName", 404, true],
    ["InvalidSpec", 400, true],
    ["SuspendedElsewhere", 409, true],
    ["FetchFailed", 502, true],
    ["MirrorCorrupt", 503, false],
    ["StoreCorrupt", 500, false],
  ])("%s is %d", async (reason, status, told) => {
    const problem = await expectProblem(await get(`/reason/${reason}`), status);
    expect(problem["reason"]).toBe(reason);
    expect(problem["next"]).toMatch(/\w/);
    expect(String(problem["detail"]).includes("/var/lib")).toBe(told);
  });

  test("those of handlers have their headers", async () => {
    const answer = await get("/teapot");
    expect(answer.headers.get("retry-after")).toBe("7");
    expect(await expectProblem(answer, 418)).toMatchObject({ title: "I'm a Teapot", detail: "short and stout" });
  });

  test("a body that is not as the schema says is told where it is not", async () => {
    const problem = await expectProblem(await post("/body", '{"n":"one","a/b~c":1}'), 400);
    const notNumber = "Invalid input: expected number, received string";
    expect(problem["errors"]).toEqual([
      { pointer: "/n", detail: notNumber },
      { pointer: "/a~1b~0c", detail: "nothing here is called so" },
    ]);
    expect(problem["detail"]).toBe(`body/n: ${notNumber}; body/a~1b~0c: nothing here is called so`);
  });

  test("of a body that is wrong as a whole the pointer is empty", async () => {
    const { errors } = await expectProblem(await post("/body", "[1]"), 400);
    expect(errors).toEqual([{ pointer: "", detail: expect.stringContaining("expected object") as string }]);
  });

  test("a body that is wrong everywhere is told so in short", async () => {
    const keys = Array.from({ length: 10_000 }, (_, at) => [`k${at}`, 1] as const);
    const { errors } = await expectProblem(await post("/body", JSON.stringify(Object.fromEntries(keys))), 400);
    expect(errors).toHaveLength(20);
  });

  test("a body that is said to be a form, as curl does, is told what it should be said to be", async () => {
    const { detail } = await expectProblem(
      await post("/body", '{"n":1}', { "content-type": "application/x-www-form-urlencoded" }),
      415,
    );
    expect(detail).toContain("send content-type: application/json");
  });

  test.each([
    ["an unknown path", "GET", "/nothing", 404],
    ["a path that is longer than what there is", "GET", "/items/one/two", 404],
    ["an ending that is another", "POST", "/packed/one.tar.xz", 404],
    ["nothing before the ending", "POST", "/packed/.tar.gz", 404],
    ["what an expression leaves out", "POST", "/chosen/none/x", 404],
  ])("%s is unknown", async (_, method, path, status) => {
    const answer = await fetch(`${served.url}${path}?token=secret`, { method });
    expect(answer.headers.get("allow")).toBeNull();
    await expectProblem(answer, status);
  });

  test.each([
    ["DELETE", "/fine", "GET, HEAD"],
    ["OPTIONS", "/fine?more", "GET, HEAD"],
    ["PROPFIND", "/fine", "GET, HEAD"],
    ["GET", "/body", "POST"],
    ["PUT", "/items/one", "GET, HEAD"],
    ["POST", "/packed/one.tar.gz", "GET, HEAD"],
    ["POST", "/chosen/one/of/many", "GET, HEAD"],
  ])("%s %s: 405, with what there is", async (method, path, allow) => {
    const answer = await fetch(`${served.url}${path}`, { method });
    expect(answer.headers.get("allow")).toBe(allow);
    const { detail } = await expectProblem(answer, 405);
    expect(detail).toContain(`takes ${allow}, not ${method}`);
  });
});

describe("malformed requests are problems", () => {
  test.each([
    ["bad percent-encoding", "GET /items/%ZZ HTTP/1.1", 400],
    ["bytes that are no UTF-8", "GET /items/%ff%fe HTTP/1.1", 400],
    ["a name that is too long", `GET /items/${"a".repeat(1025)} HTTP/1.1`, 414],
    ["a method that does not exist", "FETCH /fine HTTP/1.1", 400],
    ["no HTTP at all", "hello?", 400],
    ["HTTP of another time", "GET /fine HTTP/7.3", 400],
    ["too long a path", `GET /${"a".repeat(17_000)} HTTP/1.1`, 431],
    ["headers that are too large", `GET /fine HTTP/1.1\r\nx-one: ${"a".repeat(17_000)}`, 431],
    ["many headers", `GET /fine HTTP/1.1\r\n${"x-one: 1\r\n".repeat(5000)}x-two: 2`, 431],
    ["two lengths", "POST /body HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3", 400],
    ["a length and chunks", "POST /body HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked", 400],
    ["no host", "GET /fine HTTP/1.1", 400, ""],
  ])("%s", async (_, head, status, host = "host: here\r\n") => {
    const answer = await raw(`${head}\r\n${host}connection: close\r\n\r\n`);
    if (host !== "") expectRawProblem(answer, status);
    else expect(answer.status).toBe(status);
  });

  test.each([
    ["no JSON", "{", JSON_BODY, 400],
    ["nothing", "", JSON_BODY, 400],
    ["a prototype", '{"__proto__":{"n":1},"n":1}', JSON_BODY, 400],
    ["depth", "[".repeat(500_000) + "]".repeat(500_000), JSON_BODY, 400],
    ["deep objects", '{"n":'.repeat(100_000) + "1" + "}".repeat(100_000), JSON_BODY, 400],
    ["another content type", "n=1", { "content-type": "application/x-www-form-urlencoded" }, 415],
    ["text", "hello", { "content-type": "text/plain" }, 415],
    ["no content type that is one", "{}", { "content-type": "nonsense" }, 415],
  ])("a body of %s", async (_, body, headers, status) => {
    await expectProblem(await post("/body", body, headers), status);
  });

  test("a body over 1 MiB is refused, but where the route takes more", async () => {
    const body = JSON.stringify({ n: "x".repeat(1024 * 1024) });
    await expectProblem(await post("/body", body), 413);
    expect((await post("/large", body)).status).toBe(200);
    const chunked = `POST /body HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`;
    expectRawProblem(await raw(`${chunked}200000\r\n${"1".repeat(0x200000)}\r\n0\r\n\r\n`), 413);
  });

  test("garbage after a request leaves the request and its answer alone", async () => {
    const socket = connect(served.port, "127.0.0.1");
    socket.write("GET /slow HTTP/1.1\r\nhost: here\r\n\r\n");
    await once(socket, "connect");
    socket.write("complete nonsense\r\n\r\n");
    const answer = await received(socket);
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200"]);
    expect(answer).toContain('{"slow":true}');
  });
});
