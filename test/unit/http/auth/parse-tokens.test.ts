import { describe, expect, test } from "vitest";
import { digestOf, parseFirstTokens, parseTokens } from "../../../../src/http/auth/parse-tokens.ts";

const LONG = "0123456789abcdef";

function parsed(keys: Record<string, string>) {
  return parseFirstTokens("api", new Map(Object.entries(keys)));
}

test("each line is a token, of a name or of its key's", () => {
  const callers = parsed({
    read: `# of the dashboards\n\ngrafana ${LONG}1\r\n  ${LONG}2  \n`,
    pull: `web-pods\t${LONG}3`,
    operate: `ci@example.com ${LONG}4`,
  });
  expect([...callers.values()]).toEqual([
    { name: "grafana", role: "read" },
    { name: "read", role: "read" },
    { name: "web-pods", role: "pull" },
    { name: "ci@example.com", role: "operate" },
  ]);
  expect(callers.get(digestOf(`${LONG}3`))?.name).toBe("web-pods");
});

describe("refused, by secret, key and line, and never by the token", () => {
  test.each<[string, Record<string, string>, string]>([
    ["a short token", { read: "\nann secret-of-15-ch" }, "Secret api, key read, line 2: the token has 15 characters"],
    ["more than a name and a token", { read: `a b ${LONG}` }, "key read, line 1: expected NAME TOKEN"],
    ["a token twice", { read: `a ${LONG}`, operate: `#\nb ${LONG}` }, "key operate, line 2: the same token as in"],
    ["a token twice in one key", { pull: `a ${LONG}\na ${LONG}` }, "key pull, line 2: the same token as in"],
    ["a name that would break a line of the log", { read: `a"b ${LONG}` }, "key read, line 1: the name"],
    ["a token that no header carries", { read: `${LONG}é` }, "key read, line 1: the token holds characters"],
    ["a key that is no role", { admin: LONG }, "Secret api has a key admin: expected read, pull, operate"],
    ["no token at all", { read: "# none yet\n" }, "Secret api holds no tokens"],
  ])("%s", (_, keys, message) => {
    let said = "";
    expect(() => {
      try {
        parsed(keys);
      } catch (error) {
        said = (error as Error).message;
        throw error;
      }
    }).toThrow(
      expect.objectContaining({ reason: "SecretInvalid", message: expect.stringContaining(message) }) as Error,
    );
    expect(said).not.toContain(LONG);
    expect(said).not.toContain("secret-of");
  });
});

test("later on, what is wrong is told beside what is right", () => {
  const keys = { read: `ann ${LONG}1\nbob short\n`, admin: LONG, operate: `eve ${LONG}1\n` };
  const { callers, faults } = parseTokens("api", new Map(Object.entries(keys)));
  expect([...callers.values()]).toEqual([{ name: "ann", role: "read" }]);
  expect(faults).toEqual([
    "Secret api, key read, line 2: the token has 5 characters; 16 are the least",
    "Secret api has a key admin: expected read, pull, operate",
    "Secret api, key operate, line 1: the same token as in Secret api, key read, line 1; each token is for one name",
  ]);
});
