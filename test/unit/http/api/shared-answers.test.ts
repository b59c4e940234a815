import { expect, onTestFinished, test } from "vitest";
import type { ApiServer } from "../../../../src/http/api-server.ts";
import { serve } from "../rig.ts";

/** A route whose answer has a version, and how often it was put into words. */
async function setUp(pieces: (version: string) => Iterable<string> = (version) => [`{"version":"${version}"`, "}"]) {
  const said = { version: "1", written: 0 };
  const routes = (server: ApiServer) =>
    void server.get("/answer", { config: { needs: "open" } }, (request, reply) => {
      const { version } = said;
      return server.sharedAnswers.send(request, reply, {
        name: request.url,
        version,
        *pieces() {
          said.written += 1;
          yield* pieces(version);
        },
      });
    });
  const served = await serve(routes);
  onTestFinished(() => served[Symbol.asyncDispose]());
  const ask = (headers: Record<string, string> = {}, query = "") => fetch(`${served.url}/answer${query}`, { headers });
  return { said, ask, served };
}

test("500 who ask at once get one text", async () => {
  const { said, ask } = await setUp();
  const answers = await Promise.all(Array.from({ length: 500 }, () => ask()));
  const texts = new Set(await Promise.all(answers.map((answer) => answer.text())));
  expect([...texts]).toEqual([`{"version":"1"}`]);
  expect(answers[0]!.headers.get("content-type")).toBe("application/json; charset=utf-8");
  expect(said.written).toBe(1);
});

test("another version is another text with another tag", async () => {
  const { said, ask } = await setUp();
  const before = (await ask()).headers.get("etag")!;
  said.version = "2";
  const after = await ask({ "if-none-match": before });
  expect([after.status, await after.text()]).toEqual([200, `{"version":"2"}`]);
  expect(after.headers.get("etag")).not.toBe(before);
  expect((await ask({ "if-none-match": after.headers.get("etag")! })).status).toBe(304);
});

test("who has it already costs no text, though it was forgotten meanwhile", async () => {
  const { said, ask } = await setUp();
  const etag = (await ask()).headers.get("etag")!;
  for (let other = 0; other < 1000; other += 1) await ask({}, `?${other}`);
  const { written } = said;
  expect((await ask({ "if-none-match": etag })).status).toBe(304);
  expect(said.written).toBe(written);
  expect((await ask()).status).toBe(200);
  expect(said.written).toBe(written + 1);
});

test("texts of more than 64 MB are not kept together", async () => {
  const { said, ask } = await setUp(() => ["x".repeat(25_000_000)]);
  for (const query of ["?1", "?2", "?3", "?3", "?2", "?1"]) await (await ask({}, query)).arrayBuffer();
  expect(said.written).toBe(4);
});

test("a text that cannot be made is a problem, and the next one is tried anew", async () => {
  let broken = true;
  const { ask, said } = await setUp(function* () {
    yield "{";
    if (broken) throw new Error("broken");
    yield "}";
  });
  const failed = await ask();
  expect([failed.status, failed.headers.get("etag")]).toEqual([500, null]);
  expect(failed.headers.get("content-type")).toContain("application/problem+json");
  broken = false;
  expect(await (await ask()).text()).toBe("{}");
  expect(said.written).toBe(2);
});

test("a text of many bytes is what its pieces say", async () => {
  const pieces = Array.from({ length: 50_000 }, (_, at) => `ü ${at} 💥,`);
  const { ask } = await setUp(() => pieces);
  expect(await (await ask()).text()).toBe(pieces.join(""));
});
