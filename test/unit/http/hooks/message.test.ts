import { describe, expect, test } from "vitest";
import { readMessage, whyNot } from "../../../../src/http/hooks/message.ts";

const JSON_TYPE = { "content-type": "application/json" };
const FORM = { "content-type": "application/x-www-form-urlencoded" };

function read(body: string | Buffer, headers: Record<string, string> = JSON_TYPE) {
  return readMessage("generic", headers, Buffer.from(body));
}

describe("what a webhook says", () => {
  test.for([
    ["gitlab", { "x-gitlab-event": "Push Hook" }, { ref: "refs/heads/a" }, { push: true, ref: "refs/heads/a" }],
    ["gitlab", { "x-gitlab-event": "Push Hook" }, {}, { push: true }],
    ["gitlab", { "x-gitlab-event": "System Hook" }, { ref: "refs/heads/a" }, { push: true, ref: "refs/heads/a" }],
    ["gitlab", { "x-gitlab-event": "System Hook" }, {}, { push: false, why: "System Hook without a ref is no push" }],
    ["gitlab", { "x-gitlab-event": "Issue Hook" }, { ref: "a" }, { push: false, why: "Issue Hook is no push" }],
    ["gitlab", { "x-gitlab-event": "constructor" }, {}, { push: false, why: "constructor is no push" }],
    ["gitlab", { "x-github-event": "ping" }, {}, { push: true }],
    ["github", { "x-github-event": "ping" }, { zen: "…" }, { push: false, why: "ping is no push" }],
    ["github", { "x-github-event": "delete" }, { ref: "a" }, { push: true, ref: "refs/heads/a" }],
    ["gitea", { "x-gitea-event": "push", "x-github-event": "ping" }, {}, { push: true }],
    ["gitea", { "x-gogs-event": "release" }, {}, { push: false, why: "release is no push" }],
    ["generic", { "x-github-event": "ping" }, {}, { push: true }],
  ] as const)("%s, %j, %j", ([sender, headers, body, message]) => {
    expect(readMessage(sender, { ...JSON_TYPE, ...headers }, Buffer.from(JSON.stringify(body)))).toEqual(message);
  });

  test("without a body it is a push, whatever its type says", () => {
    for (const headers of [{}, JSON_TYPE, FORM, { "content-type": "image/png" }])
      expect(read("", headers)).toEqual({ push: true });
  });

  test("a form has it in payload", () => {
    const payload = `payload=${encodeURIComponent('{"ref":"refs/heads/ü"}')}&more=1`;
    expect(read(payload, FORM)).toEqual({ push: true, ref: "refs/heads/ü" });
  });

  test.for(["Application/JSON; charset=utf-8", "application/cloudevents+json"])("%s is JSON", (type) => {
    expect(read('{"ref":"r"}', { "content-type": type })).toEqual({ push: true, ref: "r" });
  });

  test("nothing that is not its own is a ref", () => {
    expect(read('{"__proto__":{"ref":"refs/heads/a"},"constructor":{"ref":"b"}}')).toEqual({ push: true });
    expect(({} as { ref?: string }).ref).toBeUndefined();
  });
});

describe("what makes no sense is 400, another type 415", () => {
  test.for([
    ["no JSON", "{", JSON_TYPE, 400],
    ["a BOM", "\uFEFF{}", JSON_TYPE, 400],
    ["bytes that are no text", Buffer.from([0xff, 0xfe, 0x00]), JSON_TYPE, 400],
    ["an array", "[]", JSON_TYPE, 400],
    ["null", "null", JSON_TYPE, 400],
    ["a text", '"refs/heads/main"', JSON_TYPE, 400],
    ["a ref that is no text", '{"ref":["refs/heads/main"]}', JSON_TYPE, 400],
    ["a ref that is null", '{"ref":null}', JSON_TYPE, 400],
    ["nested too deeply for nothing", "[".repeat(1_000_000), JSON_TYPE, 400],
    ["a form without payload", "ref=refs/heads/main", FORM, 400],
    ["a form with two", "payload={}&payload={}", FORM, 400],
    ["a form with broken escapes", "payload=%7B%", FORM, 400],
    ["text", "{}", { "content-type": "text/plain" }, 415],
    ["no type", "{}", {}, 415],
  ] as const)("%s", ([, body, headers, statusCode]) => {
    expect(() => read(body, headers)).toThrow(expect.objectContaining({ statusCode }) as Error);
  });

  test("JSON that is nested deeply is taken for what it is", () => {
    const deep = `{"ref":"r","x":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    expect(read(deep)).toEqual({ push: true, ref: "r" });
  });
});

test("only the branch itself is the branch", () => {
  expect(whyNot({}, "main")).toBeNull();
  expect(whyNot({ ref: "refs/heads/main" }, "main")).toBeNull();
  expect(whyNot({ ref: "refs/heads/release/1.2" }, "release/1.2")).toBeNull();
  for (const ref of [
    "main",
    "refs/heads/Main",
    "refs/heads/main ",
    "refs/tags/main",
    "refs/heads/x/main",
    "",
    "refs/heads/",
  ])
    expect(whyNot({ ref }, "main")).toContain("is not the branch main");
  expect(whyNot({ ref: "x".repeat(10_000) }, "main")!.length).toBeLessThan(200);
});
