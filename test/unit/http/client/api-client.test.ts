import { describe, expect, test } from "vitest";
import { ApiClient } from "../../../../src/http/client/api-client.ts";
import { refusal } from "../../../../src/http/client/refusal.ts";
import { unanswered } from "../../../../src/http/client/unanswered.ts";

const TOKEN = "token-0123456789abcdef";

describe("an address", () => {
  test.each([
    ["ftp://127.0.0.1/", "expected https"],
    ["127.0.0.1:8080", "expected"],
    ["", "expected a URL"],
    ["https://x:y@example.com", "a login does not belong"],
    ["http://127.0.0.1:1/?a=b", "no query"],
    ["https://example.com/#a", "no fragment"],
    ["http://fssync.example.com", "to fssync.example.com in the clear"],
    ["http://10.0.0.1:8080", "to 10.0.0.1 in the clear"],
    ["http://127.0.0.1.example.com", "in the clear"],
    ["http://[::2]:8080", "in the clear"],
    ["http://localhost.example.com", "in the clear"],
  ])("%s is refused", (server, said) => {
    const make = () => new ApiClient({ server, token: TOKEN });
    expect(make).toThrow(expect.objectContaining({ reason: "InvalidSpec", message: expect.stringContaining(said) }));
    expect(make).not.toThrow(expect.objectContaining({ message: expect.stringContaining(TOKEN) }));
    expect(make).not.toThrow(expect.objectContaining({ message: expect.stringContaining("x:y") }));
  });

  test.each([
    ["https://fssync.example.com/", "https://fssync.example.com"],
    ["https://example.com/fssync/", "https://example.com/fssync"],
    ["http://127.0.0.1:8080", "http://127.0.0.1:8080"],
    ["http://localhost:8080", "http://localhost:8080"],
    ["http://[::1]:8080", "http://[::1]:8080"],
    // Numbers are an address too.
    ["http://0x7f.1:8080", "http://127.0.0.1:8080"],
  ])("%s is taken", async (server, shown) => {
    await using client = new ApiClient({ server, token: TOKEN });
    expect(client.server).toBe(shown);
  });

  test("elsewhere is taken without TLS when there is no token to be seen", async () => {
    await using client = new ApiClient({ server: "http://fssync.example.com" });
    expect(client.server).toBe("http://fssync.example.com");
  });
});

test.each(["two\nlines-0123456789", "with blank", "ünicode"])("%j is no token", (token) => {
  const make = () => new ApiClient({ server: "https://example.com", token });
  expect(make).toThrow(expect.objectContaining({ reason: "InvalidSpec" }));
  expect(make).not.toThrow(expect.objectContaining({ message: expect.stringContaining(token) }));
});

describe("an answer that is no success", () => {
  test.each([
    [404, { detail: "no app x", reason: "UnknownName" }, "UnknownName", "no app x"],
    [409, { detail: "held", reason: "SuspendedElsewhere" }, "SuspendedElsewhere", "held"],
    [401, { detail: "no token" }, "Unauthorized", "no token"],
    [403, { title: "Forbidden" }, "Unauthorized", "Forbidden"],
    [429, { detail: "too many" }, "TooManyRequests", "too many"],
    [503, { detail: "nobody leads", reason: "SomethingNew" }, "ControllerLost", "nobody leads"],
    [400, { detail: "bad" }, "Internal", "bad"],
    [502, undefined, "ControllerLost", "answered 502"],
    [200, undefined, "ControllerLost", "answered 200"],
    [500, { detail: 5 }, "ControllerLost", "answered 500"],
    [404, { detail: "x", reason: "__proto__" }, "UnknownName", "x"],
  ])("%i %j is %s", (status, body, reason, message) => {
    const error = refusal("https://example.com", status, body);
    expect(error.reason).toBe(reason);
    expect(error.message).toContain(message);
    expect(error.message).toContain("https://example.com");
  });
});

test.each([
  [{ detail: "too many" }, "10", "https://example.com: too many; ask again in 10s"],
  [undefined, undefined, "https://example.com: too many requests"],
  [undefined, "Mon, 23 Nov 2026 04:00:00 GMT", "https://example.com: too many requests"],
])("one request too many says when to come again: %j, %s", (body, retryAfter, message) => {
  expect(refusal("https://example.com", 429, body, retryAfter)).toMatchObject({ reason: "TooManyRequests", message });
});

test.each([
  ["ECONNREFUSED", "NoController"],
  ["ENOTFOUND", "NoController"],
  ["UND_ERR_CONNECT_TIMEOUT", "NoController"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "NoController"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "NoController"],
  ["ECONNRESET", "ControllerLost"],
  ["UND_ERR_HEADERS_TIMEOUT", "ControllerLost"],
])("no answer because of %s is %s", (code, reason) => {
  expect(unanswered("https://example.com", Object.assign(new Error("it broke"), { code }))).toMatchObject({ reason });
});
