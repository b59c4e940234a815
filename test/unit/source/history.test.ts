import { expect, test } from "vitest";
import { parseLog } from "../../../src/source/history.ts";

const ID = "1".repeat(40);

function line(...[author, seconds, subject]: [string, string, string]): string {
  return `${ID}\0${author}\0${seconds}\0${subject}\0`;
}

test("a log is one commit after the other, padding and all", () => {
  const text = line("Ann   ", "1700000000", "first   ") + line("Bob", "1700000001", "");
  expect(parseLog(text, "main")).toEqual([
    { commit: ID, revision: `main@sha1:${ID}`, author: "Ann", at: 1_700_000_000_000, subject: "first" },
    { commit: ID, revision: `main@sha1:${ID}`, author: "Bob", at: 1_700_000_001_000, subject: "" },
  ]);
  expect(parseLog("", "main")).toEqual([]);
});

test("who calls themselves by their address is shown without its domain", () => {
  expect(parseLog(line("ann@example.com", "1", "s"), "main")[0]!.author).toBe("ann");
  expect(parseLog(line("Ann @ home", "1", "s"), "main")[0]!.author).toBe("Ann @ home");
});

test("control characters and turns of direction become blanks, and what is long is cut", () => {
  const [commit] = parseLog(line("A\u0007nn\u202e", "1", `\u001b[2J\u2066a\u2028b${"x".repeat(500)}`), "main");
  expect(commit!.author).toBe("A nn");
  expect(commit!.subject).toMatch(/^\[2J a bx+…$/);
  expect(commit!.subject).toHaveLength(200);
});
