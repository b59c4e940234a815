import { describe, expect, test } from "vitest";
import { connectError } from "../../../../src/transport/builtin/connect-error.ts";

const host = { key: "10.0.0.1:22", address: "10.0.0.1", port: 22, user: "root", root: "/" };

function of(message: string, facts: object): Error {
  return Object.assign(new Error(message), facts);
}

describe("what keeps a host from being reached", () => {
  test.each([
    [of("x", { code: "ENOTFOUND", syscall: "getaddrinfo" }), "NameResolutionFailed", "Could not resolve hostname"],
    [of("x", { code: "EAI_AGAIN", syscall: "getaddrinfo" }), "NameResolutionFailed", "Temporary failure"],
    [of("x", { code: "ECONNREFUSED", syscall: "connect" }), "ConnectRefused", "port 22: Connection refused"],
    [of("x", { code: "ETIMEDOUT", syscall: "connect" }), "ConnectTimeout", "Connection timed out"],
    [of("x", { code: "EHOSTUNREACH", syscall: "connect" }), "NetworkUnreachable", "No route to host"],
    [of("x", { code: "EACCES", syscall: "connect" }), "NetworkUnreachable", "Permission denied"],
    [of("x", { code: "EMFILE", syscall: "connect" }), "ControllerExhausted", "x"],
    [of("x", { code: "ETIMEDOUT", syscall: "read" }), "ConnectionLost", "10.0.0.1 port 22"],
    [of("x", { code: "ECONNRESET", syscall: "read" }), "ConnectionLost", "Connection reset by 10.0.0.1 port 22"],
    [of("All configured", { level: "client-authentication" }), "AuthFailed", "root@10.0.0.1: Permission denied"],
    [of("Timed out", { level: "client-timeout" }), "ConnectTimeout", "timed out"],
    [of("Too many authentication failures", { code: 2 }), "AuthFailed", "Permission denied"],
    [of("go\u001b[2J away", { code: 11 }), "ConnectionLost", "port 22:11: go\\x1b[2J away"],
    [
      of("Handshake failed: no matching host key format", { level: "handshake" }),
      "ProtocolError",
      "Unable to negotiate with 10.0.0.1 port 22: no matching host key format found",
    ],
    [of("Handshake failed: signature verification failed", { level: "handshake" }), "ConnectionLost", "signature"],
    [of("Connection lost before handshake", { level: "protocol" }), "ConnectionLost", "before handshake"],
  ])("%s is %s", (error, reason, message) => {
    const told = connectError(host, error);
    expect(told.reason).toBe(reason);
    expect(told.message).toContain(message);
  });

  test("a name with several addresses fails as the first of them", () => {
    const refused = of("x", { code: "ECONNREFUSED", syscall: "connect" });
    expect(connectError(host, new AggregateError([refused, refused])).reason).toBe("ConnectRefused");
  });

  test("what a host says is cut short", () => {
    expect(connectError(host, of("x".repeat(10_000), { code: 2 })).message.length).toBeLessThan(400);
  });
});
