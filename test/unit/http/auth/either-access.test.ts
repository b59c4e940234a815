import { expect, test } from "vitest";
import { EitherAccess } from "../../../../src/http/auth/either-access.ts";
import type { Access } from "../../../../src/ports/access.ts";

const ACTION = { verb: "list", resource: "configapps" } as const;

/** Knows these tokens, and lets whom it knows do everything or nothing. */
function way(tokens: readonly string[], allows: boolean): Access & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    authenticate: async (token) => {
      asked.push(token);
      return tokens.includes(token) ? { name: token } : undefined;
    },
    may: async () => allows,
  };
}

test("whoever knew a caller says what they may; the others are not asked", async () => {
  const [first, second] = [way(["a"], true), way(["a", "b"], false)];
  const access = new EitherAccess([first, second]);
  const [a, b] = [(await access.authenticate("a"))!, (await access.authenticate("b"))!];
  expect(second.asked).toEqual(["b"]);
  await expect(access.may(a, ACTION)).resolves.toBe(true);
  await expect(access.may(b, ACTION)).resolves.toBe(false);
  await expect(access.authenticate("c")).resolves.toBeUndefined();
});

test("a caller of somebody else's making may nothing", async () => {
  const access = new EitherAccess([way(["a"], true)]);
  await expect(access.may({ name: "a" }, ACTION)).resolves.toBe(false);
});
