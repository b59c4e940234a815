import { describe, expect, test } from "vitest";
import { isLoopback, refuseOpenAddress } from "../../../../src/http/auth/loopback.ts";

test.each(["127.0.0.1", "127.255.0.9", "::1", "[::1]", "0:0:0:0:0:0:0:1", "localhost", "LocalHost"])(
  "%s is this machine",
  (host) => expect(isLoopback(host)).toBe(true),
);

test.each(["", "0.0.0.0", "::", "[::]", "128.0.0.1", "10.0.0.1", "localhost.example", "127.0.0.1.example", "127.1"])(
  "%j is not",
  (host) => expect(isLoopback(host)).toBe(false),
);

describe("without authentication", () => {
  test.each([":8080", "0.0.0.0:8080", "[::]:8080", "10.0.0.1:8080", "fssync.example:8080"])(
    "--listen %s is refused by name, with the ways out",
    (listenOn) => {
      expect(() => refuseOpenAddress(listenOn)).toThrow(
        expect.objectContaining({
          reason: "InvalidSpec",
          message: expect.stringMatching(
            /^--listen .*:8080: .*--tokens-secret or --kubernetes-auth.* 127\.0\.0\.1:8080; .*--metrics-listen .*:8080$/,
          ),
        }) as Error,
      );
    },
  );

  test.each(["127.0.0.1:0", "[::1]:8080", "localhost:8080", "no address"])("--listen %s is not", (listenOn) => {
    refuseOpenAddress(listenOn);
  });
});
